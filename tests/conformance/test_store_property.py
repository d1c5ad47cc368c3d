"""Any sequence of appends and commits comes to what a small model says, on every adapter."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore.store import Append, Appended, EventStore, NewEvent, Recorded, Selection, StreamWrite, Unit, Verdict
from tests.kit.units import Owner, actor, event, external

EXAMPLES = 40  # Each is up to 8 calls on a real server.
_projects = count(1)

names = st.sampled_from(["a1", "a2", "a3"])
expectations = st.sampled_from(["right", "right", "right", "wrong", "unchecked"])


@dataclass(frozen=True)
class Write:
    """Events, by what they say, for a stream; before it is known what version is the right one to expect."""

    name: str
    says: tuple[int, ...]
    expectation: str


@dataclass(frozen=True)
class Group:
    """An append. `id` "" is none."""

    writes: tuple[Write, ...]
    id: str


@dataclass(frozen=True)
class Again:
    """The identical call of `append_all` once more: the last one, or one before."""

    back: int


@dataclass(frozen=True)
class Wish:
    """A unit, before it is known what version is the right one to expect. `partition` 9 is nobody's."""

    name: str
    events: int
    expectation: str
    commands: frozenset[str]
    partition: int


writes = st.builds(
    Write,
    st.sampled_from(["free", "b1", "a1"]),
    # Few things to say: so that now and then the very same is written for another reason.
    st.lists(st.integers(0, 1), max_size=3).map(tuple),
    st.sampled_from(["right", "right", "unchecked", "unchecked", "wrong", "stale", "none"]),
)
groups = st.builds(
    Group,
    st.lists(writes, min_size=1, max_size=2, unique_by=lambda write: write.name).map(tuple),
    st.sampled_from(["", "", "", "i1", "i2"]),
)
calls = st.lists(groups, min_size=1, max_size=4).map(tuple)
repetitions = st.builds(Again, st.integers(1, 3))
wishes = st.builds(
    Wish,
    names,
    st.integers(0, 3),
    expectations,
    st.frozensets(st.sampled_from([f"c{n}" for n in range(12)]), min_size=1, max_size=2),
    st.sampled_from([0, 0, 1, 9]),
)
scripts = st.lists(st.one_of(calls, repetitions, st.lists(wishes, max_size=5)), max_size=9)


@dataclass
class Model:
    """What the log should be: streams by name, commands settled, the order of all events."""

    versions: dict[str, int] = field(default_factory=dict[str, int])
    fenced: set[str] = field(default_factory=set[str])
    settled: set[str] = field(default_factory=set[str])
    # Stream, version and what it says.
    log: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    # By id of an append: what it wrote, and where.
    named: dict[str, tuple[object, int, int]] = field(default_factory=dict[str, tuple[object, int, int]])

    def expected(self, name: str, expectation: str) -> int | None:
        version = self.versions.get(name, 0)
        named = {"right": version, "wrong": version + 1, "unchecked": None, "stale": max(0, version - 1), "none": 0}
        return named[expectation]

    def write(self, name: str, says: Iterable[int]) -> None:
        for said in says:
            self.versions[name] = self.versions.get(name, 0) + 1
            self.log.append((name, self.versions[name], said))

    def append(self, append: Append) -> tuple[str, int, int]:
        """Status, first and last position (from 1, in this project's part of the log)."""
        written = [(write.address.name, [said(event) for event in write.events]) for write in append.writes]
        if append.id in self.named:
            before, first, last = self.named[append.id]
            return ("known", first, last) if before == [w for w in written if w[1]] else ("taken", 0, 0)
        if any(write.address.name in self.fenced for write in append.writes):
            return "fenced", 0, 0
        if any(write.expected not in (None, self.versions.get(write.address.name, 0)) for write in append.writes):
            first = 0 if append.id else self._found(append)
            count = sum(len(write.events) for write in append.writes)
            return ("known", first, first + count - 1) if first else ("conflict", 0, 0)
        before = len(self.log)
        for name, says in written:
            self.write(name, says)
        first, last = (before + 1, len(self.log)) if len(self.log) > before else (0, 0)
        if append.id:
            self.named[append.id] = ([w for w in written if w[1]], first, last)
        return "committed", first, last

    def _found(self, append: Append) -> int:
        """Where the very same events lie side by side, 0: nowhere, or it cannot be told."""
        writes = [write for write in append.writes if write.events]
        if not writes or any(write.expected is None for write in writes):
            return 0
        wanted = [
            (write.address.name, version, said(event))
            for write in writes
            for version, event in enumerate(write.events, start=1 + (write.expected or 0))
        ]
        starts = (n for n, row in enumerate(self.log) if row == wanted[0])
        return next((n + 1 for n in starts if self.log[n : n + len(wanted)] == wanted), 0)

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
            self.write(wish.name, range(wish.events))
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


def said(new: NewEvent | Recorded) -> int:
    return int(new.body.removeprefix(b'{"n":').removesuffix(b"}"))


def as_append(group: Group, model: Model, project: str) -> Append:
    return Append(
        tuple(
            StreamWrite(
                actor(write.name, project=project),
                tuple(event(said) for said in write.says),
                model.expected(write.name, write.expectation),
            )
            for write in group.writes
        ),
        group.id,
    )


def shifted(verdicts: Sequence[Appended], base: int) -> list[tuple[str, int, int]]:
    """Verdicts with positions that count from `base`."""
    return [(v.status, max(0, v.first_position - base), max(0, v.last_position - base)) for v in verdicts]


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
async def test_a_log_is_what_its_calls_say(
    store: EventStore, owner: Owner, script: list[tuple[Group, ...] | Again | list[Wish]]
) -> None:
    project = f"p{next(_projects)}"  # A project of its own: each example begins with an empty part of the log.
    base, model = await store.head(), Model()
    made: list[list[Append]] = []
    for call in script:
        before = len(model.log)
        if isinstance(call, tuple):
            made.append([as_append(group, model, project) for group in call])
        if isinstance(call, tuple) or (isinstance(call, Again) and len(made) >= call.back):
            appends = made[-1 if isinstance(call, tuple) else -call.back]
            verdicts = await store.append_all(appends)
            assert shifted(verdicts, base) == [model.append(append) for append in appends]
        elif isinstance(call, list):
            verdicts = await owner.commit(*(as_unit(wish, model, project) for wish in call))
            assert [verdict.status for verdict in verdicts] == model.commit(call)
            check_positions(base, model, before, call, verdicts)
    rows = await store.read(0, selection=Selection(project=project))
    assert [row.position for row in rows] == list(range(base + 1, base + 1 + len(model.log)))
    assert [(row.address.name, row.version, said(row)) for row in rows] == model.log
    assert set(await store.inbox(project, [f"c{n}" for n in range(12)])) == model.settled
    for name in model.versions:
        stream = await store.read_stream(actor(name, project=project))
        assert stream == [row for row in rows if row.address.name == name]
