"""Three small kinds of actor whose logs show every loss, repetition and inversion.

- `counter` adds numbers. One that is told to `break` breaks, every time.
- `player` hits balls to another player, who hits them back: sends between actors, many at once.
- `clerk` has jobs done: an effect of each class, reminded by a timer, and hears what came of them. Who placed an order
  is answered when its job has ended.

States are small however long a run is.
"""

from typing import Literal, assert_never

import msgspec

from actors.runtime.kind import Answer, Effect, Kind, Reaction, Send, Timer
from protocol.message import Command, Event
from protocol.subjects import Address
from tests.kit.counting import COUNTER

Safety = Literal["idempotent", "repeatable", "once"]


class Serve(Command, frozen=True, tag="player.serve.v1"):
    """Hit `balls` balls to `to`, each to go over the net `rallies` times."""

    to: str
    balls: int
    rallies: int


class Ball(Command, frozen=True, tag="player.ball.v1"):
    sender: str
    rallies: int


class Hit(Event, frozen=True, tag="player.hit.v1"):
    to: str
    rallies: int


class Player(msgspec.Struct, frozen=True):
    name: str
    hits: int = 0


def _player(address: Address) -> Player:
    return Player(address.name)


def _player_decide(_: Player, command: Serve | Ball) -> tuple[Event, ...]:
    match command:
        case Serve(to=to, balls=balls, rallies=rallies):
            return (Hit(to, rallies),) * balls
        case Ball(sender=sender, rallies=rallies):
            return (Hit(sender, rallies - 1),)
        case _:
            assert_never(command)


def _player_evolve(state: Player, _: Hit) -> Player:
    return Player(state.name, state.hits + 1)


def _player_react(state: Player, event: Hit) -> tuple[Reaction, ...]:
    return (Send("player", event.to, Ball(state.name, event.rallies)),) if event.rallies else ()


PLAYER = Kind(
    "player", (Serve, Ball), (Hit,), _player, _player_decide, _player_evolve, _player_react, external=(Serve,)
)


class Commission(Command, frozen=True, tag="clerk.commission.v1"):
    """Have `job` done, in work of that class, once `after_s` have passed."""

    job: str
    safety: Safety
    after_s: float = 0.0


class Order(Command, frozen=True, tag="clerk.order.v1"):
    """The same, at once; it is answered when that is done."""

    job: str
    safety: Safety
    ask: str = ""


class Due(Command, frozen=True, tag="clerk.due.v1"):
    """The time of that job has come."""

    job: str
    safety: Safety
    ask: str = ""


class Came(Command, frozen=True, tag="clerk.came.v1"):
    """What that job came to."""

    job: str
    to: str
    ask: str = ""


class Commissioned(Event, frozen=True, tag="clerk.commissioned.v1"):
    job: str
    safety: Safety
    after_s: float
    ask: str = ""


class Started(Event, frozen=True, tag="clerk.started.v1"):
    job: str
    safety: Safety
    ask: str = ""


class Ended(Event, frozen=True, tag="clerk.ended.v1"):
    job: str
    to: str
    ask: str = ""


class Job(msgspec.Struct, frozen=True):
    job: str
    safety: Safety
    ask: str = ""


class Result(msgspec.Struct, frozen=True):
    """What an order is answered with."""

    job: str
    to: str


class Desk(msgspec.Struct, frozen=True):
    commissioned: int = 0
    ended: int = 0


def _desk(_: Address) -> Desk:
    return Desk()


def _clerk_decide(_: Desk, command: Commission | Order | Due | Came) -> tuple[Event, ...]:
    match command:
        case Commission(job=job, safety=safety, after_s=after_s):
            return (Commissioned(job, safety, after_s),)
        case Order(job=job, safety=safety, ask=ask):
            return (Commissioned(job, safety, 0.0, ask),)
        case Due(job=job, safety=safety, ask=ask):
            return (Started(job, safety, ask),)
        case Came(job=job, to=to, ask=ask):
            return (Ended(job, to, ask),)
        case _:
            assert_never(command)


def _clerk_evolve(state: Desk, event: Commissioned | Started | Ended) -> Desk:
    match event:
        case Commissioned():
            return Desk(state.commissioned + 1, state.ended)
        case Started():
            return state
        case Ended():
            return Desk(state.commissioned, state.ended + 1)
        case _:
            assert_never(event)


def _clerk_react(_: Desk, event: Commissioned | Started | Ended) -> tuple[Reaction, ...]:
    match event:
        case Commissioned(job=job, safety=safety, after_s=after_s, ask=ask):
            return (Timer(job, after_s, Due(job, safety, ask)),)
        case Started(job=job, safety=safety, ask=ask):
            return (Effect("job", Job(job, safety, ask), safety),)
        case Ended(job=job, to=to, ask=ask):
            return (Answer(ask, Result(job, to)),) if ask else ()
        case _:
            assert_never(event)


CLERK = Kind(
    "clerk",
    (Commission, Order, Due, Came),
    (Commissioned, Started, Ended),
    _desk,
    _clerk_decide,
    _clerk_evolve,
    _clerk_react,
    external=(Commission, Order),
    later=(Order,),
)

KINDS = {kind.name: kind for kind in (COUNTER, PLAYER, CLERK)}

# Each of these causes an event whenever it is taken: a send of one that left no trace was lost.
ALWAYS_HEARD = frozenset({"player.ball.v1"})
