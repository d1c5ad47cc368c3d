"""Three small kinds that between them use every way in which actors speak: for simulations that must be quick.

- `tally` adds numbers; silent, refusing and breaking as it is told.
- `rally` plays balls with others through sends, several at once and in order.
- `desk` has work of all three classes done in the world, is reminded by timers, and answers who inquired when it
  knows.
"""

from typing import assert_never

import msgspec

from actors.runtime.kind import (
    Answer,
    Cancel,
    CancelEffect,
    Effect,
    EffectCall,
    Kind,
    Performer,
    Performers,
    Reaction,
    Safety,
    Send,
    Timer,
)
from actors.runtime.simulated import Ports
from protocol.message import Command, Event, Refusal
from protocol.subjects import Address


class Add(Command, frozen=True, tag="tally.add.v1"):
    """0 is silent, a negative number is refused, 13 breaks the actor."""

    n: int


class Added(Event, frozen=True, tag="tally.added.v1"):
    n: int


class Total(msgspec.Struct, frozen=True):
    total: int = 0
    adds: int = 0


def _tally_decide(_: Total, command: Add) -> tuple[Event, ...]:
    if command.n == 13:
        raise KeyError("thirteen")
    if command.n < 0:
        raise Refusal("negative", f"cannot add {command.n}; add what is there")
    return (Added(command.n),) * min(command.n, 3)


def _tally_evolve(state: Total, event: Added) -> Total:
    return Total(state.total + event.n, state.adds + 1)


def _tally_react(_: Total, __: Added) -> tuple[Reaction, ...]:
    return ()


TALLY = Kind(
    "tally", (Add,), (Added,), lambda _: Total(), _tally_decide, _tally_evolve, _tally_react, external=(Add,),
    state=Total,
)  # fmt: skip


class Serve(Command, frozen=True, tag="rally.serve.v1"):
    """Play `balls` balls at once to each of `to`; each goes back and forth `rallies` times."""

    to: tuple[str, ...]
    balls: int
    rallies: int


class Ball(Command, frozen=True, tag="rally.ball.v1"):
    sender: str
    n: int
    rallies: int


class Hit(Event, frozen=True, tag="rally.hit.v1"):
    to: str
    n: int
    rallies: int


class Hits(msgspec.Struct, frozen=True):
    name: str
    hits: int = 0


def _rally_decide(_: Hits, command: Serve | Ball) -> tuple[Event, ...]:
    match command:
        case Serve(to=to, balls=balls, rallies=rallies):
            return tuple(Hit(name, n, rallies) for n in range(1, balls + 1) for name in to)
        case Ball(sender=sender, n=n, rallies=rallies):
            return (Hit(sender, n, rallies),)
        case _:
            assert_never(command)


def _rally_evolve(state: Hits, _: Hit) -> Hits:
    return Hits(state.name, state.hits + 1)


def _rally_react(state: Hits, event: Hit) -> tuple[Reaction, ...]:
    if event.rallies == 0:
        return ()
    return (Send("rally", event.to, Ball(state.name, event.n, event.rallies - 1)),)


RALLY = Kind(
    "rally", (Serve, Ball), (Hit,), lambda address: Hits(address.name), _rally_decide, _rally_evolve, _rally_react,
    external=(Serve,), state=Hits,
)  # fmt: skip


JOB_S_MAX = 20.0  # A deadline that some of the jobs miss when everything goes wrong.


class Begin(Command, frozen=True, tag="desk.begin.v1"):
    """Have `job` done by the world, in that class; be reminded of it after so many seconds (negative: never)."""

    job: str
    safety: Safety
    remind_s: float = -1.0


class Forget(Command, frozen=True, tag="desk.forget.v1"):
    """Neither the reminder nor the job is wanted any more."""

    job: str


class Inquire(Command, frozen=True, tag="desk.inquire.v1"):
    """Have `job` done by the world, and say then what it came to."""

    job: str
    ask: str = ""


class Remind(Command, frozen=True, tag="desk.remind.v1"):
    job: str


class Report(Command, frozen=True, tag="desk.report.v1"):
    job: str
    came_to: str


class Begun(Event, frozen=True, tag="desk.begun.v1"):
    job: str
    safety: Safety
    remind_s: float


class Forgotten(Event, frozen=True, tag="desk.forgotten.v1"):
    job: str


class Reminded(Event, frozen=True, tag="desk.reminded.v1"):
    job: str


class Inquired(Event, frozen=True, tag="desk.inquired.v1"):
    job: str
    ask: str


class Reported(Event, frozen=True, tag="desk.reported.v1"):
    """`ask` waits to hear it ("": nobody does)."""

    job: str
    came_to: str
    ask: str = ""


class Job(msgspec.Struct, frozen=True, tag="desk.job"):
    job: str
    safety: Safety


class CameTo(msgspec.Struct, frozen=True):
    """What is said to who inquired."""

    came_to: str


class Open(msgspec.Struct, frozen=True):
    jobs: int = 0
    asks: dict[str, str] = {}


def _desk_decide(state: Open, command: Begin | Inquire | Forget | Remind | Report) -> tuple[Event, ...]:
    match command:
        case Begin(job=job, safety=safety, remind_s=remind_s):
            return (Begun(job, safety, remind_s),)
        case Inquire(job=job, ask=ask):
            return (Inquired(job, ask),)
        case Forget(job=job):
            return (Forgotten(job),)
        case Remind(job=job):
            return (Reminded(job),)
        case Report(job=job, came_to=came_to):
            return (Reported(job, came_to, state.asks.get(job, "")),)
        case _:
            assert_never(command)


def _desk_evolve(state: Open, event: Event) -> Open:
    match event:
        case Begun():
            return Open(state.jobs + 1, state.asks)
        case Inquired(job=job, ask=ask):
            return Open(state.jobs + 1, {**state.asks, job: ask})
        case Reported(job=reported):
            return Open(state.jobs - 1, {job: ask for job, ask in state.asks.items() if job != reported})
        case _:
            return state


def _desk_react(_: Open, event: Event) -> tuple[Reaction, ...]:
    match event:
        case Begun(job=job, safety=safety, remind_s=remind_s):
            work = Effect("job", Job(job, safety), safety, job, JOB_S_MAX if safety == "idempotent" else None)
            return (Timer(job, remind_s, Remind(job)), work) if remind_s >= 0 else (work,)
        case Inquired(job=job):
            return (Effect("job", Job(job, "repeatable"), "repeatable"),)
        case Reported(came_to=came_to, ask=ask) if ask:
            return (Answer(ask, CameTo(came_to)),)
        case Forgotten(job=job):
            return (Cancel(job), CancelEffect(job))
        case _:
            return ()


DESK = Kind(
    "desk", (Begin, Inquire, Forget, Remind, Report), (Begun, Inquired, Forgotten, Reminded, Reported),
    lambda _: Open(), _desk_decide, _desk_evolve, _desk_react, external=(Begin, Inquire, Forget), later=(Inquire,),
    state=Open,
)  # fmt: skip

KINDS = {kind.name: kind for kind in (TALLY, RALLY, DESK)}
HEARD = frozenset(("rally.ball.v1", "desk.report.v1"))


def performers(ports: Ports) -> Performers:
    """The job is done by the world that a process of a simulation reaches."""

    async def perform(call: EffectCall, work: Job) -> Report:
        return Report(work.job, await ports.provider.pay(call, work.safety))

    def give_up(_: EffectCall, work: Job, error: str) -> Report:
        return Report(work.job, f"given up: {error}")

    def done(_: EffectCall, work: Job, words: str) -> Report:
        return Report(work.job, f"done: {words}")

    return {"job": Performer("job", Job, perform, give_up, concurrent_max=4, attempts_max=4, timeout_s=30.0, done=done)}


def at(kind: str, name: str) -> Address:
    return Address("demo", kind, name)
