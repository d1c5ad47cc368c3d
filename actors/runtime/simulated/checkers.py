"""What must hold after everything that happened, as pure functions over what could be seen from outside.

They know no runtime: what publishers were told, the log, the inbox, what was paid for. So the same checks judge a
simulation and a run on real servers. Each returns what is wrong, in words; nothing means that it holds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from actors.runtime.simulated.seen import RUNTIME, Acquired, Asked, Group, Paid, Sent, Wrote, groups, send_place
from actors.runtime.simulated.wants import Wanted, check_effects, check_sends, wanted
from eventstore.store import InboxRow, Recorded
from protocol.message import tag_of
from protocol.reply import BUSY, CANCELLED, EXPIRED
from protocol.runtime import ActorRetried, CommandQuarantined
from protocol.subjects import Address, partition_of

__all__ = [
    "Acquired",
    "Asked",
    "Group",
    "Paid",
    "Sent",
    "Wanted",
    "Wrote",
    "check_applied_once",
    "check_asks",
    "check_effects",
    "check_epochs",
    "check_order",
    "check_positions",
    "check_quarantine",
    "check_sends",
    "check_stored",
    "groups",
    "wanted",
]

ASK_LATE_S = 15.0  # Three leases: the process that was to answer may die, and so may the one that took over.
PARKED = "parked"  # An outcome that is none yet.
_QUARANTINED = tag_of(CommandQuarantined)
_RETRIED = tag_of(ActorRetried)


def check_positions(log: Sequence[Recorded]) -> list[str]:
    """One writer a position: positions are dense, and so are the versions of every stream."""
    wrong: list[str] = []
    versions: Counter[Address] = Counter()
    for n, event in enumerate(log, start=1):
        versions[event.address] += 1
        if event.position != n:
            wrong.append(f"the event {n} of the log has position {event.position}")
        if event.version != versions[event.address]:
            wrong.append(f"{event.address} has version {event.version} as its event number {versions[event.address]}")
    return wrong


def check_epochs(ledger: Iterable[Acquired | Wrote]) -> list[str]:
    """No commit under an epoch after a later one began, nor by anybody but who began it. `ledger` is in the order of
    what happened."""
    wrong: list[str] = []
    current: dict[int, tuple[int, str]] = {}
    for entry in ledger:
        epoch, owner = current.get(entry.partition, (0, ""))
        match entry:
            case Acquired():
                if entry.epoch <= epoch:
                    wrong.append(f"partition {entry.partition}: epoch {entry.epoch} began after {epoch}")
                current[entry.partition] = (entry.epoch, entry.owner)
            case Wrote() if (entry.epoch, entry.owner) != (epoch, owner):
                wrong.append(
                    f"partition {entry.partition}: {entry.owner} wrote {entry.stream} in epoch {entry.epoch} "
                    f"while {owner} had it in epoch {epoch}"
                )
            case Wrote():
                pass
    return wrong


def check_applied_once(sent: Iterable[Sent], log: Sequence[Recorded], inbox: Iterable[InboxRow]) -> list[str]:
    """Every command that anybody was told to be accepted was applied exactly once, and no command was twice; what was
    told agrees with the log, and what the log has was sent by somebody."""
    wrong: list[str] = []
    caused = groups(log)
    for (_, id_), found in caused.items():
        if len(found) > 1:
            places = ", ".join(f"{group.address} at {group.first}" for group in found)
            wrong.append(f"the command {id_} was applied {len(found)} times: {places}")
    rows = _settled(inbox)
    known = {(each.to.project, each.id): each for each in sent}
    for key, each in known.items():
        wrong.extend(_told(each, caused.get(key, []), rows.get(key)))
    for key, found in caused.items():
        # Ids of ours name an event or a timer; whatever else there is, somebody must have sent.
        if "@" not in key[1] and not key[1].startswith("timer:") and key not in known and known:
            wrong.append(f"the command {key[1]} caused events at {found[0].first}, and nobody sent it")
    return wrong


def _settled(inbox: Iterable[InboxRow]) -> dict[tuple[str, str], InboxRow]:
    """How each command was settled, in the end: what waited for a parked actor was settled again, by its own id."""
    rows: dict[tuple[str, str], InboxRow] = {}
    for row in inbox:
        key = (row.address.project, row.id)
        if key not in rows or rows[key].outcome == PARKED:
            rows[key] = row
    return rows


def _told(each: Sent, found: Sequence[Group], row: InboxRow | None) -> list[str]:
    wrong: list[str] = []
    answers = [reply for reply in each.replies if reply.code != BUSY]
    # An ask that is answered later may end without an answer, though its command was accepted.
    ended = (EXPIRED, CANCELLED) if row is not None and row.outcome == "accepted" else ()
    said = [reply for reply in answers if reply.outcome != PARKED and reply.code not in ended]
    outcomes = sorted({reply.outcome for reply in said})
    if len(outcomes) > 1:
        wrong.append(f"{each.sender} was told of {each.id}: {' and '.join(outcomes)}")
    if each.insisted and not answers:
        wrong.append(f"{each.sender} sent {each.id} to {each.to} again and again, and was never answered")
    if answers and row is None and answers[0].code != "bad-address":
        wrong.append(f"{each.sender} was told that {each.id} is {answers[0].outcome}, and the inbox does not know it")
    if row is not None and said and row.outcome not in (said[0].outcome, PARKED):
        wrong.append(f"{each.sender} was told that {each.id} is {said[0].outcome}, the inbox says {row.outcome}")
    events = sum(group.count for group in found)
    if row is not None and row.outcome == "accepted" and not events:
        wrong.append(f"{each.id} was accepted, and the log has nothing of it")
    if events and row is None:
        wrong.append(f"{each.id} caused {events} events, and the inbox does not know it")
    # What waited for a parked actor is decided later, and so is what broke it when an operator has it tried again.
    if events and row is not None and row.outcome not in ("accepted", PARKED, "quarantined"):
        wrong.append(f"{each.id} was {row.outcome}, and caused {events} events")
    if found:
        wrong += [
            f"{each.sender} was told position {reply.position} for {each.id}, it is {found[0].first}"
            for reply in said
            if reply.outcome == "accepted" and reply.position not in (0, found[0].first)
        ]
    return wrong


def check_quarantine(log: Sequence[Recorded], inbox: Iterable[InboxRow]) -> list[str]:
    """Whatever broke its actor is told in the log, in its partition's stream, and nowhere else."""
    events = [event for event in log if event.type == _QUARANTINED]
    told = Counter(event.causation for event in events)
    wrong = [f"{e.causation} is quarantined in {e.address}, not its own partition" for e in events if not _at_home(e)]
    retried = Counter(event.causation for event in log if event.type == _RETRIED)
    wrong += [f"{id_} is quarantined {n} times in the log" for id_, n in told.items() if n > 1 + retried[id_]]
    outcomes: dict[str, set[str]] = {}
    for row in inbox:
        outcomes.setdefault(row.id, set()).add(row.outcome)
    for id_, said in outcomes.items():
        if ("quarantined" in said) != (told[id_] > 0):
            word = "no" if "quarantined" in said else "an"
            named = " and ".join(sorted(said))
            wrong.append(f"the inbox has {id_} as {named}, and the log has {word} event of its quarantine")
    return wrong


def _at_home(event: Recorded) -> bool:
    killer = msgspec.json.decode(event.body, type=CommandQuarantined)
    home = partition_of(Address(event.address.project, killer.kind, killer.name))
    return event.address == Address(event.address.project, "runtime", str(home))


def check_asks(
    asked: Iterable[Asked], inbox: Iterable[InboxRow], works_from_s: float, incarnation: int = 0
) -> list[str]:
    """Every ask ends: who asked hears something by the deadline, or by ASK_LATE_S after it; where everything was broken
    at the time, by that long after `works_from_s`. Nothing is promised where the reply was lost, or the request, also
    with the broker: the stream had been made anew so many times in the end."""
    wrong: list[str] = []
    known = {row.id for row in inbox}
    for ask in asked:
        arrived = ask.id in known or any(place[0] == incarnation for place in ask.copies)
        if ask.deadline_s is None or ask.reply_lost or not arrived:
            continue
        bound_s = max(ask.deadline_s, works_from_s) + ASK_LATE_S
        if ask.answered_s is None or ask.answered_s > bound_s:
            ended = "no answer" if ask.answered_s is None else f"an answer at {ask.answered_s:.3f} s"
            wrong.append(f"{ask.sender} asked {ask.id} of {ask.to} until {ask.deadline_s:.3f} s, and had {ended}")
    return wrong


def check_stored(sent: Iterable[Sent], inbox: Iterable[InboxRow], kept: Iterable[tuple[int, str]]) -> list[str]:
    """Whatever the stream holds is settled when nothing is under way: nothing that came in was passed over. `kept` are
    sequence and id of the commands that are in the stream at the end."""
    known = {row.id for row in inbox}
    senders = {each.id: each.sender for each in sent}
    return [
        f"the stream holds {id_} of {senders[id_]} at {sequence}, and nobody has settled it"
        for sequence, id_ in kept
        if id_ in senders and id_ not in known
    ]


def check_order(sent: Iterable[Sent], log: Sequence[Recorded]) -> list[str]:
    """Commands of one sender to one actor are applied in the order they were sent, and so are sends between actors.

    Of two commands of a publisher this is promised when the first was answered before the second was sent, or when in
    every stream that held the second the first stood before it.
    """
    caused = groups(log)
    lanes: dict[tuple[str, Address], list[tuple[Sent, int]]] = {}
    for each in sorted(sent, key=lambda each: each.number):
        found = caused.get((each.to.project, each.id), [])
        if found and found[0].address == each.to:
            lanes.setdefault((each.sender, each.to), []).append((each, found[0].first))
    wrong = [
        f"{sender} sent {first.id} before {second.id} to {to}, and it was applied after it ({at} > {before})"
        for (sender, to), lane in lanes.items()
        for n, (second, before) in enumerate(lane)
        for first, at in lane[:n]
        if at > before and _surely_first(first, second)
    ]
    return [*wrong, *_order_of_sends(log)]


def _surely_first(first: Sent, second: Sent) -> bool:
    if first.answered_s is not None and first.answered_s < second.first_sent_s:
        return True
    stood = dict(sorted(first.copies, reverse=True))  # The first copy of each.
    return bool(second.copies) and all(stood.get(i, sequence) < sequence for i, sequence in second.copies)


def _order_of_sends(log: Sequence[Recorded]) -> list[str]:
    wrong: list[str] = []
    last: dict[tuple[Address, str], tuple[tuple[int, int], str]] = {}
    for event in log:
        sent = send_place(event.causation)
        if sent is None or event.address.kind == RUNTIME:
            continue
        lane, place = (event.address, sent[0]), sent[1]
        before, id_ = last.get(lane, ((0, 0), ""))
        if place < before:
            wrong.append(f"{event.address} took {event.causation} after {id_}, which was sent later")
        last[lane] = max((before, id_), (place, event.causation))
    return wrong
