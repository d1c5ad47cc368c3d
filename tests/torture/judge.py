"""What must hold once everything is healed and nothing is under way any more, each under a name of its own.

Most of it is judged by the checkers of the simulation, which know only what publishers were told, the log, the inbox
and what was paid. What only real servers can show is added here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import anyio
import asyncpg
import msgspec

from actors.runtime.client import LATE_S
from actors.runtime.nats_bus import NatsBus
from actors.runtime.simulated.checkers import (
    Wanted,
    check_applied_once,
    check_effects,
    check_epochs,
    check_order,
    check_positions,
    check_quarantine,
    check_sends,
    check_stored,
    wanted,
)
from eventstore.postgres.store import PostgresStore
from eventstore.reading import events
from eventstore.store import InboxRow, Recorded, StoreError
from protocol.message import tag_of
from protocol.reply import BUSY, EXPIRED
from protocol.subjects import Address, stored_partition
from tests.torture.kinds import ALWAYS_HEARD, KINDS, Ended
from tests.torture.ledger import Ledger
from tests.torture.payments import Payment
from tests.torture.publishers import Told

QUIET_EVERY_S = 0.2
ASK_SLACK_S = 5.0  # What this process itself may be late in noticing, beside all that runs on the machine.
PAGE_S_MAX = 3.0
ENDED = tag_of(Ended)

_UNDER_WAY = {
    "sends": "select count(*) from outbox",
    "effects": "select count(*) from effects",
    "timers": "select count(*) from timers",
    "open asks": "select count(*) from asks where answer is null",
}
_INBOX = """
select project, kind, name, id, type, outcome, detail, first_position, events from inbox where outbox = 0
"""


@dataclass(frozen=True)
class Evidence:
    """Everything that could be seen of a run that is over."""

    told: Sequence[Told]
    log: Sequence[Recorded]
    inbox: Sequence[InboxRow]
    wants: Wanted
    payments: Sequence[Payment]


async def under_way(store: PostgresStore) -> dict[str, int]:
    """How much the store holds that is not done yet."""
    return {what: await store.pool.fetchval(query) for what, query in _UNDER_WAY.items()}


async def quiet(store: PostgresStore, timeout_s: float) -> dict[str, int]:
    """Wait until nothing is under way; what still is after `timeout_s` (nothing: {})."""
    left: dict[str, int] = {"everything": -1}
    with anyio.move_on_after(timeout_s):
        while True:
            try:
                left = {what: n for what, n in (await under_way(store)).items() if n}
                if not left:
                    return {}
            except (OSError, StoreError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # Its connections are of the time before the server was started again.
            await anyio.sleep(QUIET_EVERY_S)
    return left


async def evidence(store: PostgresStore, told: Iterable[Told], payments: Sequence[Payment]) -> Evidence:
    log = [event async for event in events(store)]
    rows = await store.pool.fetch(_INBOX)
    inbox = [
        InboxRow(r["id"], Address(r["project"], r["kind"], r["name"]), r["type"], r["outcome"], r["detail"],
                 r["first_position"], r["events"])
        for r in rows
    ]  # fmt: skip
    return Evidence(list(told), log, inbox, wanted(log, KINDS), payments)


async def judge(found: Evidence, store: PostgresStore, bus: NatsBus, ledger: Ledger) -> dict[str, list[str]]:
    """By the name of what must hold: what is wrong with it."""
    notes = await ledger.notes(found.log)
    told = [_as_settled(each) for each in found.told]
    kept, unsettled = await _stream(bus, store)
    busy = {told.id for told in found.told if any(reply.code == BUSY for reply in told.replies)}
    return {
        "accepted is applied exactly once": check_applied_once(told, found.log, found.inbox),
        "every sender's order is kept": check_order(told, found.log),
        "positions and versions are dense": check_positions(found.log),
        "nobody writes after a later epoch began": check_epochs(notes.entries),
        "nobody moves a cursor that is another's": list(notes.trespasses),
        "every send is applied once": check_sends(found.log, found.wants, ALWAYS_HEARD),
        "every effect is paid once": [
            *check_effects(found.log, found.wants, found.payments),
            *_paid(found),
        ],
        "what broke its actor is in quarantine": check_quarantine(found.log, found.inbox),
        "what the stream holds is settled": [
            *check_stored([told for told in found.told if told.id not in busy], found.inbox, kept),
            *unsettled,
        ],
        "every ask ends by its deadline": _asks(found.told),
        "what is answered later is what it came to": _answers(found),
        "nobody is parked but who broke": await _parked(store),
        "the chain vouches for every event": await _chain(store, len(found.log)),
    }


def _asks(told: Iterable[Told]) -> list[str]:
    wrong: list[str] = []
    for each in told:
        if each.deadline_s is None:
            continue
        if each.ended_s is None:
            wrong.append(f"the ask {each.id} never ended")
            continue
        took_s = each.ended_s - each.first_sent_s
        if took_s > each.deadline_s + LATE_S + ASK_SLACK_S:
            wrong.append(f"the ask {each.id} ended after {took_s:.1f} s, its deadline was {each.deadline_s:.1f} s")
        if each.not_stored and each.replies:
            wrong.append(f"the ask {each.id} was not stored, and yet answered")
    return wrong


def _as_settled(told: Told) -> Told:
    """What it was told of the command itself. That its answer did not come in time is an end of the ask, and says
    nothing of that."""
    if not told.later:
        return told
    rest = [reply for reply in told.replies if reply.code != EXPIRED]
    return replace(told, replies=rest, insisted=told.insisted and (bool(rest) or not told.replies))


def _answers(found: Evidence) -> list[str]:
    """Whoever hears an answer hears what the log has, however often."""
    ended = {(e.address, e.job): e for event in found.log if (e := _end_in(event)) is not None}
    wrong: list[str] = []
    for told in found.told:
        for reply in told.replies if told.later else ():
            if reply.answer is None:
                continue
            end = ended.get((told.to, told.id))
            if end is None or (end.ask, reply.answer) != (told.id, {"job": end.job, "to": end.to}):
                wrong.append(f"{told.sender} was answered {reply.answer} to {told.id}, the log has {end}")
    return wrong


@dataclass(frozen=True)
class _End:
    address: Address
    job: str
    to: str
    ask: str


def _end_in(event: Recorded) -> _End | None:
    if event.type != ENDED:
        return None
    body = msgspec.json.decode(event.body, type=Ended)
    return _End(event.address, body.job, body.to, body.ask)


async def _parked(store: PostgresStore) -> list[str]:
    rows = await store.pool.fetch("select kind, name, reason from parked_actors where name not like 'broken-%'")
    return [f"{row['kind']}/{row['name']} is parked: {row['reason']}" for row in rows]


def _paid(found: Evidence) -> list[str]:
    """Whoever hears that it was paid can find the payment."""
    paid = {payment.key for payment in found.payments}
    return [
        f"{event.causation} says that it was paid, and it was not"
        for event in found.log
        if event.type == ENDED and b'"paid"' in event.body
        and event.causation.removesuffix(":outcome") not in paid
    ]  # fmt: skip


def paid_again(payments: Iterable[Payment]) -> dict[str, int]:
    """How many keys of each class were paid for more than once."""
    times = Counter((payment.safety, payment.key) for payment in payments)
    return dict(Counter(safety for (safety, _), n in times.items() if n > 1))


async def _chain(store: PostgresStore, count: int) -> list[str]:
    verified = await store.audit.verify()
    wrong = [] if verified.broken is None else [f"the chain is broken: {verified.broken}"]
    gap = (await store.gaps.find()).gap
    wrong += [] if gap is None else [f"there is a gap beside the log: {gap}"]
    return wrong if await store.head() == count else [*wrong, "somebody still writes"]


async def _stream(bus: NatsBus, store: PostgresStore) -> tuple[list[tuple[int, str]], list[str]]:
    """Sequence and id of every command that the stream holds; and those that lie above their partition's cursor and
    that nobody settled. A cursor whose witness is not there speaks of a stream that was lost."""
    rows = await store.pool.fetch("select id, cursor, witness from partitions where cursor > 0")
    standing = {r["cursor"]: await bus.witness_at(r["cursor"]) for r in rows}
    cursors = {r["id"]: r["cursor"] for r in rows if standing[r["cursor"]] == r["witness"]}
    known = {r["id"] for r in await store.pool.fetch("select id from inbox")}
    last = (await bus.client.jetstream().stream_info(bus.stream)).state.last_seq
    kept: list[tuple[int, str]] = []
    wrong: list[str] = []
    feed = await bus.open_feed(0)
    try:
        reached = 0
        while reached < last:
            with anyio.move_on_after(PAGE_S_MAX) as waiting:
                for message in await feed.next():
                    reached = message.sequence
                    if any(name.lower() == "troupe-outbox" for name in message.headers):
                        continue
                    id_ = message.identity(bus.stream)
                    kept.append((message.sequence, id_))
                    cursor = cursors.get(stored_partition(message.subject, bus.root), 0)
                    if message.sequence > cursor and id_ not in known:
                        wrong.append(f"{id_} at {message.sequence} lies above its cursor and is not settled")
            if waiting.cancelled_caught:
                break  # What comes last was erased or purged: nothing follows.
    finally:
        await feed.close()
    return kept, wrong
