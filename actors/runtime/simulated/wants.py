"""What the actors of a log have asked for, and whether it came: their sends, and their effects in the world."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.runtime.follow import followed
from actors.runtime.kind import Kind, Kinds
from actors.runtime.simulated.seen import Paid, groups, send_place
from eventstore.effects import is_order
from eventstore.store import NewEffect, NewSend, Recorded
from protocol.message import tag_of
from protocol.runtime import CommandQuarantined
from protocol.subjects import Address

_OUTCOME = ":outcome"
_QUARANTINED = tag_of(CommandQuarantined)


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
        if send_place(id_) is not None and (project, id_) not in wants.sends:
            wrong.append(f"{found[0].address} took the send {id_}, which nobody sent")
    return wrong


def check_effects(
    log: Sequence[Recorded], wants: Wanted, payments: Iterable[Paid], excused: Collection[str] = (),
    again: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """Every effect came to one outcome, and was paid for once where the provider can tell.

    That is: under its own key, and never after an outcome was taken; work of the class `once` is asked for once,
    whatever happened. Repeatable work may be paid for again in another attempt, since the worker of the one before may
    have died: but not twice in one attempt. `excused` are keys of effects whose outcome need not have come yet, `again`
    those of which a human has said that they are to be performed again.
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
