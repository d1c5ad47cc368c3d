"""What must hold after everything that happened, as pure functions over what could be seen from outside.

They know no runtime: what publishers were told, the log, the inbox, what was paid for. So the same checks judge a
simulation and a run on real servers. Each returns what is wrong, in words; nothing means that it holds.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from actors.runtime.follow import followed
from actors.runtime.kind import Kind, Kinds
from eventstore.effects import is_order
from eventstore.store import InboxRow, NewEffect, NewSend, Recorded
from protocol.message import tag_of
from protocol.reply import BUSY, Reply
from protocol.runtime import ActorRetried, CommandQuarantined
from protocol.subjects import Address, partition_of

_SEND = re.compile(r"([A-Za-z0-9][\w-]*)/([A-Za-z0-9][\w-]*)@([0-9]+)\.([0-9]+)")
_OUTCOME = ":outcome"
RUNTIME = "runtime"  # The kind of the streams in which the runtime tells of commands.
PARKED = "parked"  # An outcome that is none yet.
_QUARANTINED = tag_of(CommandQuarantined)
_RETRIED = tag_of(ActorRetried)
ASK_LATE_S = 15.0  # Three leases: the process that was to answer may die, and so may the one that took over.


class Sent(Protocol):
    """A command as its publisher saw it; of simulated/publishers.py, or a record of a real one's.

    `copies` say where it was stored, as far as that is known: how often the stream had been made anew before, and the
    sequence there. `insisted`: it was sent until it was answered. Times are seconds of one clock.
    """

    @property
    def id(self) -> str: ...
    @property
    def to(self) -> Address: ...
    @property
    def sender(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def insisted(self) -> bool: ...
    @property
    def first_sent_s(self) -> float: ...
    @property
    def answered_s(self) -> float | None: ...
    @property
    def replies(self) -> Sequence[Reply]: ...
    @property
    def copies(self) -> Sequence[tuple[int, int]]: ...


class Asked(Sent, Protocol):
    """A command with a deadline. `reply_lost`: the road lost what was to answer it."""

    @property
    def deadline_s(self) -> float | None: ...
    @property
    def reply_lost(self) -> bool: ...


class Paid(Protocol):
    """Something that the world did under an effect's key. `attempt` counts from 1."""

    @property
    def project(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def safety(self) -> str: ...
    @property
    def attempt(self) -> int: ...


@dataclass(frozen=True)
class Acquired:
    """A partition was taken: a new epoch of it began."""

    partition: int
    epoch: int
    owner: str


@dataclass(frozen=True)
class Wrote:
    """A unit was committed under that fence."""

    partition: int
    epoch: int
    owner: str
    stream: str


@dataclass(frozen=True)
class Group:
    """The events that one command caused: how many there are side by side from `first` on, in one stream."""

    address: Address
    first: int
    count: int


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


def groups(log: Sequence[Recorded]) -> dict[tuple[str, str], list[Group]]:
    """What each command caused its actor to do, by project and id: one group if it was applied once. What the runtime
    says of it in streams of its own is none of that."""
    found: dict[tuple[str, str], list[Group]] = {}
    ends: dict[tuple[str, str], tuple[Address, int]] = {}
    for event in log:
        if event.address.kind == RUNTIME:
            continue
        key = (event.address.project, event.causation)
        here = found.setdefault(key, [])
        if here and ends[key] == (event.address, event.version - 1):
            here[-1] = Group(event.address, here[-1].first, here[-1].count + 1)
        else:
            here.append(Group(event.address, event.position, 1))
        ends[key] = (event.address, event.version)
    return found


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
    said = [reply for reply in answers if reply.outcome != PARKED]
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
    for reply in said:
        if reply.outcome == "accepted" and reply.position and found and reply.position != found[0].first:
            wrong.append(f"{each.sender} was told position {reply.position} for {each.id}, it is {found[0].first}")
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
    stood = {incarnation: sequence for incarnation, sequence in sorted(first.copies, reverse=True)}
    return bool(second.copies) and all(stood.get(i, sequence) < sequence for i, sequence in second.copies)


def _order_of_sends(log: Sequence[Recorded]) -> list[str]:
    wrong: list[str] = []
    last: dict[tuple[Address, str], tuple[tuple[int, int], str]] = {}
    for event in log:
        match = _SEND.fullmatch(event.causation)
        if match is None or event.address.kind == RUNTIME:
            continue
        lane, place = (event.address, f"{match[1]}/{match[2]}"), (int(match[3]), int(match[4]))
        before, id_ = last.get(lane, ((0, 0), ""))
        if place < before:
            wrong.append(f"{event.address} took {event.causation} after {id_}, which was sent later")
        last[lane] = max((before, id_), (place, event.causation))
    return wrong


@dataclass(frozen=True)
class Wanted:
    """What the actors of a log have asked for, by project and id."""

    sends: Mapping[tuple[str, str], NewSend]
    effects: Mapping[tuple[str, str], NewEffect]


def wanted(log: Sequence[Recorded], kinds: Kinds) -> Wanted:
    """Every send and every effect that the events of a log want: their actors' functions are run on it again."""
    sends: dict[tuple[str, str], NewSend] = {}
    effects: dict[tuple[str, str], NewEffect] = {}
    states: dict[Address, Any] = {}
    for event in log:
        kind: Kind[Any] | None = kinds.get(event.address.kind)
        if kind is None:
            continue
        decoded = kind.event_vocabulary.decode(event.body, event.type)
        before = states[event.address] if event.address in states else kind.initial(event.address)
        states[event.address] = state = kind.evolve(before, decoded)
        project = event.address.project
        for what in followed(kind.react(state, decoded), event.address, event.version, event.at, event.correlation):
            match what:
                case NewSend():
                    sends[project, what.id] = what
                case NewEffect() if not is_order(what.effect_kind):  # An order has no outcome of its own.
                    effects[project, what.key] = what
                case _:
                    pass
    return Wanted(sends, effects)


def check_sends(log: Sequence[Recorded], wants: Wanted, heard: frozenset[str]) -> list[str]:
    """Every send was applied exactly once, by the actor it was for. `heard` are the types of the commands that always
    cause an event; of others the log need not have a trace."""
    wrong: list[str] = []
    caused, broke = groups(log), {event.causation for event in log if event.type == _QUARANTINED}
    for key, send in wants.sends.items():
        found = [group for group in caused.get(key, []) if group.address == send.to]
        if send.type in heard and len(found) != 1 and send.id not in broke:
            wrong.append(f"the send {send.id} ({send.type}) to {send.to} was applied {len(found)} times")
    for (project, id_), found in caused.items():
        if _SEND.fullmatch(id_) and (project, id_) not in wants.sends:
            wrong.append(f"{found[0].address} took the send {id_}, which nobody sent")
    return wrong


def check_effects(
    log: Sequence[Recorded], wants: Wanted, payments: Iterable[Paid], excused: Collection[str] = (),
    again: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """Every effect came to one outcome, and was paid for once where the provider can tell.

    That is: under its own key, and never after an outcome was taken; work of the class `once` is asked for once,
    whatever happened. Repeatable work may be paid for again in another attempt, since the worker of the one before may
    have died: but not twice in one attempt. `excused` are keys of effects whose outcome need not have come yet, `again` those of
    which a human has said that they are to be performed again.
    """
    wrong: list[str] = []
    caused = groups(log)
    paid: dict[tuple[str, str], list[Paid]] = {}
    for payment in payments:
        paid.setdefault((payment.project, payment.key), []).append(payment)
    for (project, key), effect in wants.effects.items():
        ended = len(caused.get((project, f"{key}{_OUTCOME}"), []))
        if ended != 1 and key not in excused:
            wrong.append(f"the effect {key} came to {ended} outcomes")
        of_it = paid.get((project, key), [])
        if effect.safety == "once" and len(of_it) > 1 and key not in again:
            wrong.append(f"the effect {key} may be done once, and was paid for {len(of_it)} times")
        attempts = Counter(payment.attempt for payment in of_it)
        wrong.extend(f"the effect {key} was paid {n} times in its attempt {a}" for a, n in attempts.items() if n > 1)
    wrong.extend(f"{key} was paid for, and nobody wanted it" for _, key in sorted(paid.keys() - wants.effects.keys()))
    for project, id_ in caused:
        if id_.endswith(_OUTCOME) and (project, id_.removesuffix(_OUTCOME)) not in wants.effects:
            wrong.append(f"the outcome {id_} was taken, and nobody wanted the effect")
    return wrong
