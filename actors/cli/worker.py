"""One more process for a company that runs."""

from typing import Annotated

import anyio
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit
from actors.cli.options import HERE, THINKING, ModelChoice, Place
from actors.cli.running import execute
from actors.host import joined

Effects = Annotated[
    str | None, Parameter(help="Kinds of effects to perform, with commas between (default: all; '': none).")
]


def worker(*, effects: Effects = None, place: Place = HERE, thinking: ModelChoice = THINKING) -> int:
    """Join the running company until Ctrl-C: take a share of its actors, and perform effects.

    The company runs in the state folder of this machine, or on the servers that TROUPE_NATS_URL and
    TROUPE_POSTGRES_URL name. A worker may be stopped, or killed, at any moment: the others take over.
    """
    settings = place.settings(thinking)
    wanted = None if effects is None else [kind.strip() for kind in effects.split(",") if kind.strip()]

    async def work() -> int:
        async with joined(settings, wanted) as process:
            output.say(f"{'Effects':<12} {', '.join(process.effects) or 'none'}")
            output.say(f"{'Metrics':<12} {process.metrics_url}")
            output.say(f"{'Log':<12} {process.log}")
            output.note("Joined. Ctrl-C hands over, and ends.")
            await anyio.sleep_forever()
        return Exit.OK

    return execute(work)
