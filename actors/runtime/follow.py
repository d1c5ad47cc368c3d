"""What follows from one event, as the store keeps it: the ids, bodies and times of sends, timers and effects.

A turn and a re-enactment of it come to the same, since both ask here: ids are made of the event that wants something
("tools/t1@3") and its place among what that event wants.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from actors.runtime.kind import Answer, Cancel, CancelEffect, Effect, Reaction, Send, Timer
from eventstore.effects import DEADLINE, WITHDRAW, Order
from eventstore.store import Answer as NewAnswer
from eventstore.store import NewEffect, NewSend, NewTimer
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.message import Command, Event, tag_of
from protocol.reply import Reply
from protocol.subjects import Address, check_address, check_token, partition_of

Followed = NewSend | NewTimer | Cancel | NewEffect | NewAnswer


def followed(
    reactions: Iterable[Reaction], address: Address, version: int, now: datetime, correlation: str
) -> Iterator[Followed]:
    """What `react` said of the actor's event of that version, in order. ValueError for what no store can hold."""
    cause = address.reference(version)
    for n, reaction in enumerate(reactions):
        match reaction:
            case Send(kind, name, command):
                to = check_address(Address(address.project, kind, name))
                sender = f"{address.kind}/{address.name}"
                tag, body = encoded(command)
                yield NewSend(f"{cause}.{n}", to, partition_of(to), sender, tag, body, now, correlation, cause)
            case Timer(key, after_s, command):
                yield NewTimer(key, now + timedelta(seconds=after_s), *encoded(command), correlation, cause)
            case Cancel():
                yield reaction
            case Answer(ask, body):
                reply = Reply("accepted", ask, str(address), events=(cause,), answer=body)
                yield NewAnswer(ask, checked(f"the answer to {ask}", encode(reply)))
            case Effect(kind, work, safety, name, deadline_s):
                key = effect_key(f"{cause}.{n}", name)
                yield NewEffect(key, kind, safety, encode(work), now, correlation, cause)
                if deadline_s is not None:
                    order = Order(f"cancelled: not done within {deadline_s:g} s", key=key)
                    yield _order(f"{key}:deadline", DEADLINE, order, now + timedelta(seconds=deadline_s), correlation)
            case CancelEffect(name):
                check_token("effect name", name)
                order = Order("cancelled: it was withdrawn", name=name, version=version, place=n)
                yield _order(f"{cause}.{n}", WITHDRAW, order, now, correlation)


def effect_key(place: str, name: str) -> str:
    """The key of an effect that was wanted there ("tools/t1@3.0"), under its own name if it has one. ValueError."""
    return f"{place}:{check_token('effect name', name)}" if name else place


def _order(key: str, kind: str, order: Order, at: datetime, correlation: str) -> NewEffect:
    return NewEffect(key, kind, "idempotent", encode(order), at, correlation, key.partition(".")[0])


def encoded(message: Event | Command) -> tuple[str, bytes]:
    """Tag and body, or ValueError for a message too big to be stored and sent."""
    tag, body = tag_of(message), encode(message)
    return tag, checked(tag, body)


def checked(what: str, body: bytes) -> bytes:
    """`body`, or ValueError for one too big to be stored and sent."""
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"{what} has {len(body)} bytes, limit {BODY_BYTES_MAX}; big content belongs in a blob")
    return body
