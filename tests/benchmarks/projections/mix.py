"""The events that everything here is measured with: tasks from submission to conclusion, many at once.

Every task is the small run of tests/kit, whose four roles call tools, ask models, fail and are late, and whose choices
wait in a queue first; 68 events of 25 types, bodies of about 120 bytes. Sixteen tasks go on side by side and step by
step, each with an id of its own; agents, models and repositories take turns, as they do in a company. One project, ten
seconds a step: a million events are about a week.

The bodies are encoded once, with placeholders: a million events are laid out in some seconds.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.orchestrator import RoleRequested
from protocol.registry import ChoiceQueued
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, small_run

PROJECT = "demo"
TASKS_AT_ONCE = 16
AGENTS = 8  # Of each role, and models.
REPOSITORIES = 500
STEP_S = 10.0
_TASK, _REPOSITORY, _FIRST = "task-placeholder", b"/srv/repo", b'-1"'


@dataclass(frozen=True)
class _Step:
    """One event of every task; `name`: of its stream, "" where that is the task's."""

    kind: str
    name: str
    type: str
    body: bytes


@cache
def _steps() -> tuple[_Step, ...]:
    steps: list[_Step] = []

    def add(address: Address, event: Event) -> None:
        name = "" if address.name == _TASK else address.name
        steps.append(_Step(address.kind, name, tag_of(event), encode(event)))

    for happened in small_run(PROJECT, _TASK):
        add(happened.address, happened.event)
        if isinstance(happened.event, RoleRequested):
            add(Address(PROJECT, "registry", "main"), ChoiceQueued(happened.event.role, _TASK))
    return tuple(steps)


def block_events() -> int:
    """Events of the tasks that go on side by side: what is made is a multiple of it."""
    return TASKS_AT_ONCE * len(_steps())


def whole(events: int) -> int:
    """The next number of events that whole tasks make."""
    return -(-events // block_events()) * block_events()


def history(first_block: int = 0) -> Iterator[tuple[Address, NewEvent]]:
    """Events without end, from that block on; those of one task are always the same."""
    made, block = first_block * block_events(), first_block
    while True:
        first = block * TASKS_AT_ONCE
        for number, step in enumerate(_steps(), start=block * len(_steps())):
            at = BEGIN + timedelta(seconds=number * STEP_S)
            for n in range(first, first + TASKS_AT_ONCE):
                made += 1
                yield _event(step, n, made, at + timedelta(seconds=(n - first) * STEP_S / TASKS_AT_ONCE))
        block += 1


def _event(step: _Step, n: int, made: int, at: datetime) -> tuple[Address, NewEvent]:
    task = f"task-{n:07d}"
    body = step.body.replace(_TASK.encode(), task.encode()).replace(_REPOSITORY, b"/srv/repo-%d" % (n % REPOSITORIES))
    body = body.replace(_FIRST, b'-%d"' % (n % AGENTS + 1))
    correlation, causation = f"00000000-0000-7000-8000-{n:012x}", f"00000000-0000-7000-9000-{made:012x}"
    return Address(PROJECT, step.kind, step.name or task), NewEvent(step.type, body, at, correlation, causation)


async def fill(store: PostgresStore, events: int) -> int:
    """Store that many (a number that is `whole`) in an empty log; how many there are."""

    async def source() -> AsyncIterator[tuple[Address, NewEvent]]:
        made = history()
        for _ in range(events):
            yield next(made)

    return await store.archive.import_events(source())
