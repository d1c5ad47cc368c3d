"""Any history of appends, commits and forks, of forks too: every log is what a model says, on every adapter."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.store import EventStore, Recorded
from tests.conformance.test_fork import whole
from tests.kit.long_mode import rounds
from tests.kit.units import Owner, actor, event, unit

EXAMPLES = rounds(usual=4, long=200)  # Each makes up to three forks, on a real server.
FORKS_MAX = 3
NAMES = ("a1", "a2", "a3")
_numbers = count(1)


@dataclass(frozen=True)
class Append:
    """Plain, to a stream that no actor owns."""

    log: int
    events: int


@dataclass(frozen=True)
class Commit:
    """Units for different actors; one without events settles its command silently."""

    log: int
    units: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Fork:
    """At that part (in 16ths) of the log."""

    log: int
    part: int


logs = st.integers(0, FORKS_MAX)
steps = st.one_of(
    st.builds(Append, logs, st.integers(1, 3)),
    st.builds(
        Commit,
        logs,
        st.lists(
            st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), min_size=1, max_size=3, unique_by=lambda u: u[0]
        ).map(tuple),
    ),
    st.builds(Fork, logs, st.integers(0, 16)),
)
scripts = st.lists(steps, min_size=3, max_size=14)


@dataclass
class Log:
    """A store and what it should be: its events, the end of each of its commits, and what is settled: by which event,
    or (negative) after how many commits."""

    store: EventStore
    owner: Owner
    events: list[Recorded]
    ends: list[int] = field(default_factory=list[int])
    settled: dict[str, int] = field(default_factory=dict[str, int])
    before: int = 0  # What other examples left in this log.

    async def append(self, step: Append, project: str) -> None:
        address = actor("free", project=project)
        version = sum(row.address == address for row in self.events)
        await self.store.append(address, [event(n) for n in range(step.events)], version)
        await self._learn()

    async def commit(self, step: Commit, project: str) -> None:
        commands = [f"c{next(_numbers)}" for _ in step.units]
        units = [
            unit(name, sum(row.address == actor(name, project=project) for row in self.events) if events else None,
                 command, events, address=actor(name, project=project))
            for (name, events), command in zip(step.units, commands, strict=True)
        ]  # fmt: skip
        verdicts = await self.owner.commit(*units)
        assert [verdict.status for verdict in verdicts] == ["committed"] * len(units)
        if any(events for _, events in step.units):
            await self._learn()
        for verdict, command in zip(verdicts, commands, strict=True):
            self.settled[command] = verdict.first_position or -len(self.ends)

    async def _learn(self) -> None:
        self.events += await self.store.read(len(self.events))
        self.ends.append(len(self.events))

    def known(self, position: int) -> dict[str, int]:
        """What is settled in a fork at that position."""
        whole_commits = sum(end <= position for end in self.ends)
        return {
            id_: where
            for id_, where in self.settled.items()
            if (where <= position if where > 0 else -where <= whole_commits)
        }


async def forked(stack: AsyncExitStack, log: Log, position: int) -> Log:
    name = f"f{next(_numbers)}"
    async with log.store.forks.creating(position, name):
        pass
    store = await stack.enter_async_context(log.store.forks.opened(name))
    ends = [end for end in log.ends if end <= position]
    if position not in (0, log.before, *ends):
        ends.append(position)  # The part of a commit that was cut.
    return Log(store, await Owner.of(store, 0), log.events[:position], ends, log.known(position), log.before)


async def check(log: Log, project: str) -> None:
    assert await log.store.read(0) == log.events
    await whole(log.store)
    for end in log.ends:
        assert end in await log.store.audit.roots_at([end])
    ids = [f"c{n}" for n in range(1, next(_numbers))]
    found = await log.store.inbox(project, ids)
    assert set(found) == set(log.settled)
    for id_, row in found.items():
        assert row.first_position == max(log.settled[id_], 0)
        causes = [each.position for each in log.events if each.causation == id_]
        assert row.events == len(causes)


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts)
async def test_every_log_is_what_its_history_says(
    store: EventStore, owner: Owner, script: list[Append | Commit | Fork]
) -> None:
    project = f"p{next(_numbers)}"
    events = await store.read(0)
    family = [Log(store, owner, events, before=len(events))]
    async with AsyncExitStack() as stack:
        for step in script:
            log = family[step.log % len(family)]
            match step:
                case Append():
                    await log.append(step, project)
                case Commit():
                    await log.commit(step, project)
                case Fork(part=part):
                    position = log.before + (len(log.events) - log.before) * part // 16
                    if len(family) <= FORKS_MAX:
                        family.append(await forked(stack, log, position))
        for log in family:
            await check(log, project)
        for log in family[1:]:
            await log.store.release([0], log.owner.id)
    for fork in await store.forks.listed():
        await store.forks.drop(fork.name)
