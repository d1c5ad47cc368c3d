"""Whatever happens to snapshots, a fold through them is the fold of the whole history, on every adapter."""

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.runtime.folding import fold
from actors.runtime.kind import Kind
from actors.runtime.turn import Loaded
from eventstore.snapshots import Snapshot
from eventstore.store import EventStore, NewEvent
from protocol.codec import encode
from protocol.message import tag_of
from protocol.subjects import Address
from tests.kit.counting import COUNTER, Added, Count
from tests.kit.long_mode import rounds
from tests.kit.snapshots import spoil_snapshot
from tests.kit.units import NOON

EXAMPLES = rounds(usual=40, long=1_000)  # Each is up to 16 calls on a real server.
EVERY = 3  # Events after which a fold keeps a snapshot.
KINDS: tuple[Kind[Any], ...] = (COUNTER, replace(COUNTER, state_version=2))  # Two versions of one program.
_names = count(1)


@dataclass(frozen=True)
class Append:
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Folded:
    """By one of the two programs."""

    by: int


@dataclass(frozen=True)
class Put:
    """Somebody puts what is true at a version: so many events before the last, or after it."""

    behind: int
    by: int


@dataclass(frozen=True)
class Spoil:
    """The snapshot is changed where it lies: its version, its body, or its schema."""

    what: str


@dataclass(frozen=True)
class Unreadable:
    """A snapshot of the right schema that says nothing."""

    by: int


@dataclass(frozen=True)
class Drop:
    pass


Call = Append | Folded | Put | Spoil | Unreadable | Drop
programs = st.integers(0, len(KINDS) - 1)
calls = st.one_of(
    st.builds(Append, st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)),
    st.builds(Folded, programs),
    st.builds(Put, st.integers(-2, 4), programs),
    st.builds(Spoil, st.sampled_from(["version", "body", "schema"])),
    st.builds(Unreadable, programs),
    st.just(Drop()),
)


@dataclass
class Model:
    """The history, and the snapshot that is there: its version and schema, None once it is good for nothing."""

    history: list[int]
    version: int = 0
    schema: str | None = None

    def state(self, version: int) -> Count:
        return Count(sum(self.history[:version]), version)

    def put(self, version: int, schema: str | None) -> bool:
        if version > len(self.history) or version < self.version <= len(self.history):
            return False
        self.version, self.schema = version, schema
        return True

    def fold(self, schema: str, readable: bool) -> None:
        begun = self.version if self.schema == schema and readable else 0
        if self.schema == schema and not readable:
            self.version, self.schema = 0, None
        if len(self.history) - begun >= EVERY:
            self.put(len(self.history), schema)


class Story:
    """One stream, its model, and what is done to both."""

    def __init__(self, store: EventStore, address: Address) -> None:
        self.store, self.address = store, address
        self.model = Model([])
        self.readable = True

    async def put(self, version: int, kind: Kind[Any], body: bytes) -> None:
        if version > 0:
            snapshot = Snapshot(self.address, version, kind.state_schema, body)
            taken = await self.store.snapshots.put(snapshot)
            assert taken == self.model.put(version, kind.state_schema)
            if taken:
                self.readable = body != b"nonsense"

    async def happens(self, call: Call) -> None:
        model, now = self.model, len(self.model.history)
        match call:
            case Append(numbers=numbers):
                new = [NewEvent(tag_of(Added), encode(Added(n)), NOON, "run", "c1") for n in numbers]
                await self.store.append(self.address, new, now)
                model.history += numbers
            case Folded(by=by):
                kind = KINDS[by]
                assert await fold(self.store, kind, self.address) == Loaded(model.state(now), now)
                before = (model.version, model.schema)
                model.fold(kind.state_schema, self.readable)
                if (model.version, model.schema) != before:
                    self.readable = True
            case Put(behind=behind, by=by):
                version = now - behind
                await self.put(version, KINDS[by], encode(model.state(version)))
            case Unreadable(by=by):
                await self.put(now, KINDS[by], b"nonsense")
            case Spoil(what=what):
                await self.spoil(what)
            case Drop():
                await self.store.snapshots.drop(self.address)
                model.version, model.schema, self.readable = 0, None, True

    async def spoil(self, what: str) -> None:
        """The schema is spoilt into the other program's: only its hash tells."""
        if self.model.version == 0 or self.model.schema is None:
            return
        there = await self.store.snapshots.get(self.address, self.model.schema)
        assert there is not None
        other = next(kind.state_schema for kind in KINDS if kind.state_schema != there.schema)
        spoilt = {"version": replace(there, version=there.version + 1), "body": replace(there, body=encode(Count(-5)))}
        instead = spoilt.get(what, replace(there, schema=other))
        await spoil_snapshot(self.store, instead)
        self.model.version, self.model.schema, self.readable = instead.version, None, True

    async def check(self) -> None:
        for kind in KINDS:
            there = await self.store.snapshots.get(self.address, kind.state_schema)
            expected = self.model.version if kind.state_schema == self.model.schema else None
            assert (there.version if there else None) == expected


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(calls, max_size=16))
async def test_a_fold_is_right_whatever_happens_to_snapshots(
    store: EventStore, script: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.folding.SNAPSHOT_EVERY_EVENTS", EVERY)
    story = Story(store, Address("demo", "counter", f"n{next(_names)}"))
    for call in [*script, Folded(0), Folded(1), Folded(0)]:
        await story.happens(call)
        await story.check()
