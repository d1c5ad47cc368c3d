"""`troupe trace`: what a task led to, as a tree of causes with times, tokens and costs.

Times are those of the events (`at`): when the command behind each was given, by the clock of the process that gave it.
A line follows from the line above it in the same column; a line that branches off begins with a mark, and what follows
from it stands in its column. Nothing is written, and no company need run.
"""

from collections.abc import AsyncGenerator, Sequence

from actors import casting
from actors.cli import output
from actors.cli.causes import Causes, Waiting, answer_of, tell
from actors.cli.exits import Exit, Stop
from actors.cli.figures import Figures, figures_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from actors.roles.playbook import load_playbooks
from actors.runtime.correlated import correlated
from actors.runtime.firings import setters
from actors.runtime.lineage import lineage, source_of
from actors.services.tools.catalogue import CATALOGUE
from eventstore.postgres.store import PostgresStore
from eventstore.store import EventStore, InboxRow, Recorded
from projections.moments import moments
from protocol.subjects import Address

EVENTS_MAX = 50_000  # Of one trace: it has to fit into memory, and into somebody's head.
IDS_AT_ONCE = 1_000
NO_BODY = b""


def trace(correlation: str, /, *, as_json: AsJson = False, place: Place = HERE) -> int:
    """Print what a task led to: commands, events, effects and their outcomes, with times and costs.

    Parameters
    ----------
    correlation
        The task, or whatever else the events name as their correlation.
    """
    settings = place.settings()

    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            causes = await gather(log, settings.project, correlation)
        if not causes.steps:
            raise Stop(
                Exit.NOT_FOUND,
                f"no event of the project {settings.project} has the correlation {correlation}: "
                "`troupe task list` names the tasks",
            )
        output.data(answer_of(causes)) if as_json else tell(causes)
        return Exit.OK

    return execute(work)


async def gather(log: PostgresStore, project: str, correlation: str) -> Causes:
    """Everything that a trace shows. Stop(FAILURE) for more than EVENTS_MAX events; StoreUnavailable."""
    head = await log.head()
    covered, known = await moments(log.pool, project, correlation, EVENTS_MAX + 1)
    found = correlated(log, project, correlation, head, known, min(covered, head))
    events, figures = await _read(found, correlation)
    firings: dict[Address, set[str]] = {}
    for recorded in events:
        if source_of(recorded.causation).origin == "timer":
            firings.setdefault(recorded.address, set()).add(recorded.causation)
    kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys())) if firings else {}
    steps = lineage(events, await setters(log, kinds, firings))
    settled = await _settled(
        log, project, [step.command for step in steps if step.source.origin in ("outside", "outcome")]
    )
    waiting = [
        Waiting(effect.key, effect.effect_kind, effect.state, effect.attempts, effect.claimed, effect.at)
        for effect in await log.effects.listed(project)
        if effect.correlation == correlation
    ]
    return Causes(project, correlation, head, steps, figures, settled, waiting)


async def _read(found: AsyncGenerator[Recorded], correlation: str) -> tuple[list[Recorded], dict[int, Figures]]:
    """The events without their bodies, and what they say."""
    events: list[Recorded] = []
    figures: dict[int, Figures] = {}
    async for recorded in found:
        if len(events) == EVENTS_MAX:
            raise Stop(
                Exit.FAILURE,
                f"more than {EVENTS_MAX} events have the correlation {correlation}: "
                f"read them with `troupe replay --correlation {correlation}`",
            )
        figures[recorded.position] = figures_of(recorded)
        events.append(_bare(recorded))
    return events, figures


def _bare(recorded: Recorded) -> Recorded:
    return Recorded(
        recorded.position, recorded.address, recorded.version, recorded.type, recorded.at, recorded.correlation,
        recorded.causation, NO_BODY,
    )  # fmt: skip


async def _settled(log: EventStore, project: str, ids: Sequence[str]) -> dict[str, InboxRow]:
    """What the inbox has of these commands."""
    rows: dict[str, InboxRow] = {}
    for begin in range(0, len(ids), IDS_AT_ONCE):
        rows.update(await log.inbox(project, ids[begin : begin + IDS_AT_ONCE]))
    return rows
