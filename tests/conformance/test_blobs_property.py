"""Any sequence of puts, streams, names and collections comes to what a small model says, on every adapter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from eventstore.blobs import CHUNK_BYTES, GRACE_S
from eventstore.snapshots import Snapshot
from eventstore.store import EventStore, Unit
from tests.kit.blobs import age_blobs, streamed
from tests.kit.long_mode import rounds
from tests.kit.units import FUTURE, Owner, accepts, actor, effect, event, external, send, timer

EXAMPLES = rounds(usual=40, long=1_000)  # Each is up to 14 calls on a real server.
_projects = count(1)

# Those with a number below 3 name nobody; 3 names 0, 4 names 3 and 1, 5 lies in chunks and names 2.
CONTENTS: list[bytes] = [b"a", b"", b"c" * 300]


def digest_of(n: int) -> str:
    return sha256(CONTENTS[n]).hexdigest()


CONTENTS.append(b"after " + digest_of(0).encode())
CONTENTS.append(f"{digest_of(3)}{digest_of(1).upper()}".encode())
CONTENTS.append(b"-" * (CHUNK_BYTES - 11) + digest_of(2).encode() + b"-")
HELD: dict[int, set[int]] = {3: {0}, 4: {1, 3}, 5: {2}}

numbers = st.integers(0, len(CONTENTS) - 1)
PLACES = ["event", "command", "send", "timer", "effect", "snapshot", "plain"]


@dataclass(frozen=True)
class Put:
    n: int
    streamed: bool


@dataclass(frozen=True)
class Name:
    n: int
    place: str


@dataclass(frozen=True)
class Pass:
    """Time passes: so many graces."""

    graces: float


@dataclass(frozen=True)
class Collect:
    rehearse: bool


@dataclass(frozen=True)
class Accept:
    """What was sent is taken by its receiver, who says nothing."""


Call = Put | Name | Pass | Collect | Accept
calls = st.one_of(
    st.builds(Put, numbers, st.booleans()),
    st.builds(Put, numbers, st.booleans()),
    st.builds(Name, numbers, st.sampled_from(PLACES)),
    st.builds(Pass, st.sampled_from([0.4, 0.7, 1.5])),
    st.builds(Collect, st.booleans()),
    st.just(Accept()),
)


@dataclass
class Model:
    """Ages of the blobs that must be there, those that may be there as well, and who is named."""

    there: dict[int, float] = field(default_factory=dict[int, float])
    perhaps: set[int] = field(default_factory=set[int])
    named: set[int] = field(default_factory=set[int])
    sent: list[int] = field(default_factory=list[int])
    once_named: set[int] = field(default_factory=set[int])

    def put(self, n: int) -> None:
        self.there[n] = 0.0
        self.perhaps.discard(n)

    def collect(self) -> None:
        while doomed := {n for n, age in self.there.items() if age > 1.0 and n not in self._kept()}:
            # One that was named when an earlier collection looked may stay, and so may what such a one names.
            may_stay = self.once_named | _held_by(self.perhaps)
            self.perhaps |= doomed & may_stay
            self.there = {n: age for n, age in self.there.items() if n not in doomed}

    def _kept(self) -> set[int]:
        return {*self.named, *self.sent, *_held_by(self.there)}


def _held_by(holders: Iterable[int]) -> set[int]:
    return {n for holder in holders for n in HELD.get(holder, set())}


async def name(store: EventStore, owner: Owner, project: str, call: Name, key: int) -> None:
    body = b'{"n":"%s"}' % digest_of(call.n).encode()
    address, id_ = actor(f"a{key}", project=project), f"c{key}"
    bare = Unit(key % 2, address, None, (external(id_),))
    said = structs.replace(event(causation=id_), body=body)
    match call.place:
        case "event":
            await owner.commit(structs.replace(bare, events=(said,)))
        case "command":
            await owner.commit(structs.replace(bare, settled=(external(id_, body=body),)))
        case "send":
            sent = structs.replace(send(f"s{key}", actor("taker", project=project)), body=body)
            await owner.commit(structs.replace(bare, sends=(sent,)))
        case "timer":
            await owner.commit(structs.replace(bare, timers=(timer("t", FUTURE, body),)))
        case "effect":
            await owner.commit(structs.replace(bare, effects=(replace(effect(f"task/a{key}@1.0"), body=body),)))
        case "snapshot":
            await owner.commit(structs.replace(bare, events=(event(causation=id_),)))
            assert await store.snapshots.put(Snapshot(address, 1, "s", body))
        case _:
            await store.append(actor(f"free{key}", project=project), [said])


async def accept(store: EventStore, owner: Owner, project: str, key: int) -> None:
    taker = actor("taker", project=project)
    waiting = await store.pending_sends([taker], 100)
    settled = tuple(accepts(row.outbox_id, row.id) for row in waiting)
    if settled:
        await owner.commit(Unit(0, taker, None, settled))


async def call_it(store: EventStore, owner: Owner, project: str, model: Model, call: Call, keys: Iterator[int]) -> None:
    match call:
        case Put(n=n, streamed=as_stream):
            pieces = [CONTENTS[n][:7], CONTENTS[n][7:]]
            written = await store.blobs.write(project, streamed(pieces)) if as_stream else None
            stored = written.sha256 if written else await store.blobs.put(project, CONTENTS[n])
            assert stored == digest_of(n)
            model.put(n)
        case Name(n=n, place=place):
            await name(store, owner, project, call, next(keys))
            model.once_named.add(n)
            model.sent.append(n) if place == "send" else model.named.add(n)
        case Pass(graces=graces):
            await age_blobs(store, graces * GRACE_S)
            model.there = {n: age + graces for n, age in model.there.items()}
        case Collect(rehearse=rehearse):
            await store.blobs.collect(dry_run=rehearse)
            if not rehearse:
                model.collect()
        case Accept():
            await accept(store, owner, project, next(keys))
            model.sent.clear()


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(calls, max_size=14))
async def test_blobs_are_what_their_calls_say(store: EventStore, owner: Owner, script: list[Call]) -> None:
    project, model, keys = f"p{next(_projects)}", Model(), count(1)
    for call in [*script, Pass(1.5), Collect(False)]:
        await call_it(store, owner, project, model, call, keys)
        found = {blob.sha256 async for blob in store.blobs.each(project)}
        must = {digest_of(n) for n in model.there}
        assert must <= found <= must | {digest_of(n) for n in model.perhaps}
    for n in model.there:
        pieces = [piece async for piece in store.blobs.open(project, digest_of(n))]
        assert b"".join(pieces) == CONTENTS[n] == await store.blobs.get(project, digest_of(n))
    assert [bad async for bad in store.blobs.check(project)] == []
