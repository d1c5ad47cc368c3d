"""Three tiny kinds of actor, enough to show every promise of the runtime.

- `counter` adds numbers; it can be told to break in each of its functions.
- `player` plays ping-pong with another player through sends.
- `worker` asks for an effect, sets a timer, and remembers what came of them.
"""

from typing import assert_never

import msgspec

from actors.runtime.kind import Cancel, Effect, Kind, Reaction, Send, Timer
from protocol.message import Command, Event, Refusal
from protocol.subjects import Address


class Add(Command, frozen=True, tag="counter.add.v1", omit_defaults=True):
    """`trouble`: "decide", "evolve" or "react" breaks there, "many" and "big" say too much, "send" writes to nobody."""

    n: int = 1
    trouble: str = ""


class Added(Event, frozen=True, tag="counter.added.v1", omit_defaults=True):
    n: int
    trouble: str = ""


class Undeclared(Event, frozen=True, tag="counter.undeclared.v1"):
    """An event that its kind does not list."""


class Count(msgspec.Struct, frozen=True):
    total: int = 0
    adds: int = 0


def _counter_decide(_: Count, command: Add) -> tuple[Event, ...]:
    match command.trouble:
        case "decide":
            raise KeyError("no\0such thing")
        case "many":
            return (Added(1),) * 300
        case "big":
            return (Added(1, "x" * 600_000),)
        case "undeclared":
            return (Undeclared(),)
        case _:
            pass
    if command.n < 0:
        raise Refusal("negative", f"cannot add {command.n}; add what is there")
    return (Added(command.n, command.trouble),) if command.n else ()


def _counter_evolve(state: Count, event: Added) -> Count:
    if event.trouble == "evolve":
        raise RuntimeError("cannot become that")
    return Count(state.total + event.n, state.adds + 1)


def _counter_react(_: Count, event: Added) -> tuple[Reaction, ...]:
    match event.trouble:
        case "react":
            raise RuntimeError("cannot say that")
        case "send":
            return (Send("counter", "no such name", Add()),)
        case "timer":
            return (Timer("k" * 600, 1.0, Add()),)  # A key no store can hold.
        case _:
            return ()


def _count(_: Address) -> Count:
    return Count()


COUNTER = Kind(
    "counter", (Add,), (Added,), _count, _counter_decide, _counter_evolve, _counter_react, external=(Add,), state=Count
)


class Serve(Command, frozen=True, tag="player.serve.v1"):
    """Play `rallies` balls with `to`."""

    to: str
    rallies: int


class Ball(Command, frozen=True, tag="player.ball.v1"):
    sender: str
    n: int
    rallies: int


class Hit(Event, frozen=True, tag="player.hit.v1"):
    """The ball number `n` was played to `to`."""

    to: str
    n: int
    rallies: int


class Hits(msgspec.Struct, frozen=True):
    name: str
    seen: tuple[int, ...] = ()


def _player_decide(_: Hits, command: Serve | Ball) -> tuple[Event, ...]:
    match command:
        case Serve(to=to, rallies=rallies):
            return tuple(Hit(to, n, n) for n in range(1, rallies + 1))  # So many balls at once, in order.
        case Ball(sender=sender, n=n, rallies=rallies):
            return (Hit(sender, n, rallies),)
        case _:
            assert_never(command)


def _player_evolve(state: Hits, event: Hit) -> Hits:
    return Hits(state.name, (*state.seen, event.n))


def _player_react(state: Hits, event: Hit) -> tuple[Reaction, ...]:
    if event.rallies == 0:
        return ()
    return (Send("player", event.to, Ball(state.name, event.n, event.rallies - 1)),)


def _hits(address: Address) -> Hits:
    return Hits(address.name)


PLAYER = Kind("player", (Serve, Ball), (Hit,), _hits, _player_decide, _player_evolve, _player_react, external=(Serve,))


class Begin(Command, frozen=True, tag="worker.begin.v1", omit_defaults=True):
    """Do `job`; remind me of it after `after_s`, if that is not negative."""

    job: str
    after_s: float = -1.0


class Forget(Command, frozen=True, tag="worker.forget.v1"):
    """No reminder."""


class Remind(Command, frozen=True, tag="worker.remind.v1"):
    job: str


class Report(Command, frozen=True, tag="worker.report.v1"):
    job: str
    came_to: str


class Begun(Event, frozen=True, tag="worker.begun.v1"):
    job: str
    after_s: float


class Forgotten(Event, frozen=True, tag="worker.forgotten.v1"):
    pass


class Reminded(Event, frozen=True, tag="worker.reminded.v1"):
    job: str


class Reported(Event, frozen=True, tag="worker.reported.v1"):
    job: str
    came_to: str


class Job(msgspec.Struct, frozen=True, tag="counting.job"):
    job: str


class Idle(msgspec.Struct, frozen=True):
    pass


def _worker_decide(_: Idle, command: Begin | Forget | Remind | Report) -> tuple[Event, ...]:
    match command:
        case Begin(job=job, after_s=after_s):
            return (Begun(job, after_s),)
        case Forget():
            return (Forgotten(),)
        case Remind(job=job):
            return (Reminded(job),)
        case Report(job=job, came_to=came_to):
            return (Reported(job, came_to),)
        case _:
            assert_never(command)


def _worker_evolve(state: Idle, _: Event) -> Idle:
    return state


def _worker_react(_: Idle, event: Event) -> tuple[Reaction, ...]:
    match event:
        case Begun(job=job, after_s=after_s) if after_s >= 0:
            return (Timer("late", after_s, Remind(job)),)
        case Begun(job=job):
            return (Effect("job", Job(job), "once" if job.startswith("once") else "repeatable"),)
        case Forgotten():
            return (Cancel("late"),)
        case _:
            return ()


def _idle(_: Address) -> Idle:
    return Idle()


WORKER = Kind(
    "worker",
    (Begin, Forget, Remind, Report),
    (Begun, Forgotten, Reminded, Reported),
    _idle,
    _worker_decide,
    _worker_evolve,
    _worker_react,
    external=(Begin, Forget),
)

KINDS = {kind.name: kind for kind in (COUNTER, PLAYER, WORKER)}
