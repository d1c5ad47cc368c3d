"""The options of `troupe replay`, in groups, and what they come to."""

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from actors.cli.exits import Exit, Stop
from actors.cli.options import Place
from eventstore.store import Selection
from protocol.envelope import BadHeader, parse_time
from protocol.subjects import BadSubject, check_token

PACE_MAX = 1_000_000.0  # Times as fast as it happened, or events a second: beyond it, leave pace out.
CONSUMER_LENGTH_MAX = 64  # Characters.


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Which events; all that is given must hold."""

    first: Annotated[int, Parameter(name="--from", help="The first position (they count from 1).")] = 1
    last: Annotated[int | None, Parameter(name="--to", help="The last position; default: the last at the start.")] = (
        None
    )
    kind: Annotated[str | None, Parameter(help='Only streams of that kind ("task", "tools", "architect").')] = None
    actor: Annotated[str | None, Parameter(help='Only that actor: KIND/ID ("tools/t1").')] = None
    types: Annotated[
        tuple[str, ...],
        Parameter(name="--type", negative=(), help='Only events of that type ("tools.called.v1"); may be repeated.'),
    ] = ()
    correlation: Annotated[
        str | None, Parameter(name=("--correlation", "--task"), help="Only what that task (or other run) caused.")
    ] = None
    since: Annotated[
        str | None,
        Parameter(help='Only what the log took at that time or later ("2026-01-31T12:00:00Z").'),
    ] = None
    until: Annotated[str | None, Parameter(help="Only what the log took before that time.")] = None
    backward: Annotated[bool, Parameter(negative=(), help="The last event first.")] = False
    follow: Annotated[
        bool, Parameter(negative=(), help="Go on with what is committed from now on, until Ctrl-C or --to.")
    ] = False

    def selection(self, project: str | None) -> Selection:
        """The events that are meant. Stop(USAGE) for what cannot be."""
        if self.first < 1 or (self.last is not None and self.last < self.first):
            raise Stop(Exit.USAGE, "positions count from 1, and --to must not be before --from")
        if self.backward and self.follow:
            raise Stop(Exit.USAGE, "--follow goes on with what comes last, --backward begins with it: choose one")
        kind, name = self.kind, None
        if self.actor is not None:
            if kind is not None:
                raise Stop(Exit.USAGE, "--actor KIND/ID names the kind: leave --kind out")
            kind, name = _actor(self.actor)
        since, until = _time("--since", self.since), _time("--until", self.until)
        return Selection(project, kind, name, self.types or None, self.correlation, since, until)

    @property
    def chosen(self) -> bool:
        """Whether any of it was given."""
        return self != Which()


@Parameter(name="*")
@dataclass(frozen=True)
class Onto:
    """Publishing instead of printing."""

    to_subject: Annotated[
        str | None,
        Parameter(
            help="Publish each event on that NATS subject, its bytes as they are stored; {project} {kind} {id} {event} "
            "stand for the event's own."
        ),
    ] = None
    pace: Annotated[
        str | None,
        Parameter(help='"original", or how many times as fast as it happened, by the times of the events.'),
    ] = None
    rate: Annotated[float | None, Parameter(help="At most so many events a second.")] = None
    consumer: Annotated[
        str | None,
        Parameter(help="A name under which the next run goes on behind the last acknowledged event."),
    ] = None
    anew: Annotated[bool, Parameter(negative=(), help="Forget how far the consumer had come, and begin again.")] = False

    @property
    def chosen(self) -> bool:
        """Whether any of it was given."""
        return self != Onto()

    def check(self, backward: bool) -> None:
        """Stop(USAGE) for what cannot be together."""
        if self.to_subject is None:
            raise Stop(Exit.USAGE, "--pace, --rate, --consumer and --anew go with --to-subject SUBJECT")
        if self.pace is not None and self.rate is not None:
            raise Stop(Exit.USAGE, "--pace and --rate both say how fast: choose one")
        if backward and (self.consumer is not None or self.pace is not None):
            raise Stop(Exit.USAGE, "--consumer and --pace go forward in the log: leave --backward out")
        if self.anew and self.consumer is None:
            raise Stop(Exit.USAGE, "--anew is about a consumer: name it with --consumer")
        if self.consumer is not None:
            _consumer(self.consumer)
        assert self.speed >= 0, "or it is refused"
        assert self.per_second >= 0, "or it is refused"

    @property
    def speed(self) -> float:
        """Times as fast as it happened (0: whatever can be done). Stop(USAGE)."""
        if self.pace is None:
            return 0.0
        return 1.0 if self.pace == "original" else _positive("--pace", self.pace)

    @property
    def per_second(self) -> float:
        """Events a second (0: whatever can be done). Stop(USAGE)."""
        return 0.0 if self.rate is None else _positive("--rate", str(self.rate))


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which company; and whose state is to be shown, since `--state` means both."""

    state: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            negative=(),
            help="--state KIND ID: print that actor's state instead. --state PATH: the state folder, as everywhere "
            "(both: the folder first).",
        ),
    ] = ()
    at: Annotated[int | None, Parameter(help="With --state KIND ID: as it was at that position.")] = None
    diff: Annotated[
        tuple[int, int] | None,
        Parameter(negative=(), help="With --state KIND ID: what changed between two positions, and by which events."),
    ] = None
    project: Annotated[
        str | None, Parameter(help="Project (default: of events all, of a state TROUPE_PROJECT, or 'default').")
    ] = None
    schema: Annotated[
        str | None, Parameter(help="The log: a fork's name (default: TROUPE_SCHEMA, or the company's own log).")
    ] = None

    @property
    def place(self) -> Place:
        """The company. Stop(USAGE)."""
        self._check()
        folder = Path(self.state[0]) if len(self.state) % 2 else None
        return Place(folder, self.project, self.schema)

    @property
    def whose(self) -> tuple[str, str] | None:
        """Kind and id of whose state is to be shown. Stop(USAGE)."""
        self._check()
        return None if len(self.state) < 2 else (self.state[-2], self.state[-1])

    def _check(self) -> None:
        if len(self.state) > 3:
            raise Stop(Exit.USAGE, f"--state {' '.join(self.state)}: give KIND ID of an actor, or a state folder")
        if len(self.state) < 2 and (self.at is not None or self.diff is not None):
            raise Stop(Exit.USAGE, "--at and --diff go with --state KIND ID")
        if self.at is not None and self.diff is not None:
            raise Stop(Exit.USAGE, "--diff A B names both positions: leave --at out")


def _actor(text: str) -> tuple[str, str]:
    kind, slash, name = text.partition("/")
    try:
        if slash:
            return check_token("kind", kind), check_token("id", name)
    except BadSubject as error:
        raise Stop(Exit.USAGE, f"--actor {text}: {error}") from error
    raise Stop(Exit.USAGE, f"--actor {text}: write KIND/ID, such as tools/t1")


def _consumer(name: str) -> None:
    try:
        check_token("consumer", name)
    except BadSubject as error:
        raise Stop(Exit.USAGE, f"--consumer {name}: {error}") from error
    if len(name) > CONSUMER_LENGTH_MAX:
        raise Stop(Exit.USAGE, f"--consumer has {len(name)} characters, limit {CONSUMER_LENGTH_MAX}")


def _positive(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= PACE_MAX:  # Also for nan.
        also = '"original" or ' if option == "--pace" else ""
        raise Stop(Exit.USAGE, f"{option} {text}: give {also}a number above 0, at most {PACE_MAX:g}")
    return value


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text, option)
    except BadHeader as error:
        raise Stop(Exit.USAGE, str(error)) from error
