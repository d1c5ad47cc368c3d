"""The command line: reads the arguments, hands over to the command, turns what went wrong into an exit code."""

import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError

from actors.cli import agent, artifact, audit, blob, dead, effect, fork, output, projection, subject, task, upgrade
from actors.cli.demo import demo
from actors.cli.dev import dev
from actors.cli.doctor import doctor
from actors.cli.exits import Exit, Stop
from actors.cli.pub import pub
from actors.cli.query import query
from actors.cli.replay import replay
from actors.cli.run import run
from actors.cli.tap import tap
from actors.cli.trace import trace
from actors.cli.usage import usage
from actors.cli.version import version
from actors.cli.worker import worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (see exits.py)."""
    app = make_app()
    try:
        result: Any = app(list(sys.argv[1:] if arguments is None else arguments))
    except CycloptsError as error:
        output.note(f"troupe: {error} (see `troupe --help`)")
        return Exit.USAGE
    except Stop as stop:
        output.note(f"troupe: {stop.message}")
        return stop.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return result if isinstance(result, int) else Exit.OK


def make_app() -> App:
    """The commands."""
    app = App(
        name="troupe",
        help="A company of AI agents on a message bus whose every decision is a fact in a log you can replay.",
        help_format="plaintext",
        version=version,
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for command in (dev, worker, run, demo, pub, tap, replay, trace, usage, query, doctor):
        app.command(command)
    groups = (task, agent, artifact, audit, blob, dead, effect, fork, projection, subject, upgrade)
    for group in groups:
        app.command(group.app)
    return app
