"""Any sequence of appends and commits comes to what a model of a dozen lines says, on every adapter."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.store import EventStore, Selection, StoreError, Unit, Verdict, VersionConflict
from tests.kit.units import Owner, actor, event, external

EXAMPLES = 40  # Each is up to 8 calls on a real server.
_projects = count(1)

names = st.sampled_from(["a1", "a2", "a3"])
expectations = st.sampled_from(["right", "right", "right", "wrong", "unchecked"])


@dataclass(frozen=True)
class Append:
    name: str
    events: int
    expectation: str


@dataclass(frozen=True)
class Wish:
    """A unit, before it is known what version is the right one to expect. `partition` 9 is nobody's."""

    name: str
    events: int
    expectation: str
    commands: frozenset[str]
    partition: int


appends = st.builds(Append, st.sampled_from(["free", "a1"]), st.integers(0, 3), expectations)
wishes = st.builds(
    Wish,
    names,
    st.integers(0, 3),
    expectations,
    st.frozensets(st.sampled_from([f"c{n}" for n in range(12)]), min_size=1, max_size=2),
    st.sampled_from([0, 0, 1, 9]),
)
scripts = st.lists(st.one_of(appends, st.lists(wishes, max_size=5)), max_size=8)


@dataclass
class Model:
    """What the log should be: streams by name, commands settled, the order of all events."""

    versions: dict[str, int] = field(default_factory=dict[str, int])
    fenced: set[str] = field(default_factory=set[str])
    settled: set[str] = field(default_factory=set[str])
    log: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def expected(self, name: str, expectation: str) -> int | None:
        version = self.versions.get(name, 0)
        return {"right": version, "wrong": version + 1, "unchecked": None}[expectation]

    def write(self, name: str, events: int) -> None:
        for _ in range(events):
            self.versions[name] = self.versions.get(name, 0) + 1
            self.log.append((name, self.versions[name]))

    def alone(self, wish: Wish) -> str:
        if wish.partition == 9:
            return "fenced"
        if wish.commands & self.settled:
            return "known"
        return "conflict" if wish.expectation == "wrong" else "committed"

    def commit(self, batch: list[Wish]) -> list[str]:
        fates = [self.alone(wish) for wish in batch]
        standing: list[Wish] = []
        won: list[Wish] = []
        for n, wish in enumerate(batch):
            if fates[n] != "committed":
                continue
            writes = [w.name for w in standing if w.events or w.expectation == "right"]
            taken = set[str]().union(*(w.commands for w in standing))
            own = bool(wish.events) or wish.expectation == "right"
            if (own and wish.name in writes) or wish.commands & taken:
                # Known only if the first that wanted the command is the one that got it.
                firsts = [next(w for w in standing if c in w.commands) for c in wish.commands & taken]
                fates[n] = "known" if any(first in won for first in firsts) else "conflict"
            else:
                won.append(wish)
            standing.append(wish)
        for wish in won:
            self.write(wish.name, wish.events)
            self.settled |= wish.commands
            if wish.events:
                self.fenced.add(wish.name)
        return fates


def as_unit(wish: Wish, model: Model, project: str) -> Unit:
    first = min(wish.commands)
    return Unit(
        wish.partition,
        actor(wish.name, project=project),
        model.expected(wish.name, wish.expectation),
        tuple(external(command) for command in sorted(wish.commands)),
        tuple(event(n, first) for n in range(wish.events)),
    )


async def append(store: EventStore, model: Model, project: str, call: Append) -> None:
    address = actor(call.name, project=project)
    events = [event(n) for n in range(call.events)]
    expected = model.expected(call.name, call.expectation)
    if call.name in model.fenced:
        with pytest.raises(StoreError, match="belongs to an actor"):
            await store.append(address, events, expected)
    elif call.expectation == "wrong":
        with pytest.raises(VersionConflict):
            await store.append(address, events, expected)
    else:
        await store.append(address, events, expected)
        model.write(call.name, call.events)


def check_positions(base: int, model: Model, before: int, batch: list[Wish], verdicts: tuple[Verdict, ...]) -> None:
    """Winners' events lie in the order of the batch, without a gap."""
    following = base + before + 1
    for wish, verdict in zip(batch, verdicts, strict=True):
        wrote = verdict.status == "committed" and wish.events
        assert verdict.first_position == (following if wrote else 0)
        following += wish.events if wrote else 0
    assert following == base + len(model.log) + 1


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=scripts)
async def test_a_log_is_what_its_calls_say(store: EventStore, owner: Owner, script: list[Append | list[Wish]]) -> None:
    project = f"p{next(_projects)}"  # A project of its own: each example begins with an empty part of the log.
    base, model = await store.head(), Model()
    for call in script:
        before = len(model.log)
        if isinstance(call, Append):
            await append(store, model, project, call)
        else:
            verdicts = await owner.commit(*(as_unit(wish, model, project) for wish in call))
            assert [verdict.status for verdict in verdicts] == model.commit(call)
            check_positions(base, model, before, call, verdicts)
    rows = await store.read(0, selection=Selection(project=project))
    assert [row.position for row in rows] == list(range(base + 1, base + 1 + len(model.log)))
    assert [(row.address.name, row.version) for row in rows] == model.log
    assert set(await store.inbox(project, [f"c{n}" for n in range(12)])) == model.settled
    for name in model.versions:
        stream = await store.read_stream(actor(name, project=project))
        assert stream == [row for row in rows if row.address.name == name]
