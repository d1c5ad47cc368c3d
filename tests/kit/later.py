"""A kind of actor that answers later: somebody inquires about something, and somebody else resolves it."""

from typing import assert_never

import msgspec

from actors.runtime.kind import Answer, Kind, Reaction
from protocol.message import Command, Event, Refusal
from protocol.subjects import Address


class Inquire(Command, frozen=True, tag="clerk.inquire.v1", omit_defaults=True):
    """What about it? "" is refused, "nothing" is no news, "now" is known already."""

    about: str
    ask: str = ""


class Resolve(Command, frozen=True, tag="clerk.resolve.v1"):
    """Everybody who inquired about it is told."""

    about: str
    words: str


class Withdraw(Command, frozen=True, tag="clerk.withdraw.v1"):
    ask: str


class Inquired(Event, frozen=True, tag="clerk.inquired.v1"):
    about: str
    ask: str


class Resolved(Event, frozen=True, tag="clerk.resolved.v1"):
    words: str
    asks: tuple[str, ...]


class Withdrawn(Event, frozen=True, tag="clerk.withdrawn.v1"):
    ask: str


class Told(msgspec.Struct, frozen=True):
    """An answer."""

    words: str


class Inquiries(msgspec.Struct, frozen=True):
    """Open asks, with what each is about."""

    open: dict[str, str] = {}


def _decide(state: Inquiries, command: Inquire | Resolve | Withdraw) -> tuple[Event, ...]:
    match command:
        case Inquire(about="nothing"):
            return ()
        case Inquire(about=""):
            raise Refusal("no-subject", "inquire about something")
        case Inquire(about="now", ask=ask):
            return (Inquired("now", ask), Resolved("at once", (ask,)))
        case Inquire(about=about, ask=ask):
            return (Inquired(about, ask),)
        case Resolve(about=about, words=words):
            return (Resolved(words, tuple(ask for ask, on in state.open.items() if on == about)),)
        case Withdraw(ask=ask):
            if state.open.get(ask) == "forever":
                raise Refusal("not-so", "that cannot be withdrawn")
            return (Withdrawn(ask),) if ask in state.open else ()
        case _:
            assert_never(command)


def _evolve(state: Inquiries, event: Inquired | Resolved | Withdrawn) -> Inquiries:
    match event:
        case Inquired(about=about, ask=ask):
            return Inquiries(state.open | {ask: about})
        case Resolved(asks=asks):
            return Inquiries({ask: about for ask, about in state.open.items() if ask not in asks})
        case Withdrawn(ask=gone):
            return Inquiries({ask: about for ask, about in state.open.items() if ask != gone})
        case _:
            assert_never(event)


def _react(_: Inquiries, event: Inquired | Resolved | Withdrawn) -> tuple[Reaction, ...]:
    return tuple(Answer(ask, Told(event.words)) for ask in event.asks) if isinstance(event, Resolved) else ()


def _none(_: Address) -> Inquiries:
    return Inquiries()


CLERK = Kind(
    "clerk",
    (Inquire, Resolve, Withdraw),
    (Inquired, Resolved, Withdrawn),
    _none,
    _decide,
    _evolve,
    _react,
    external=(Inquire, Resolve),
    later=(Inquire,),
    cancelled=Withdraw,
    state=Inquiries,
)
