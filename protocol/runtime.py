"""Words of the runtime itself: events it writes, in the stream `runtime/<partition>`, and commands that every actor's
subject takes, whatever its kind."""

from protocol.message import Command, Event
from protocol.upcast import Upcast

BODY_QUOTED_BYTES_MAX = 256 * 1024  # In an event they take a third more, and an event holds 512 KiB.


class CommandQuarantined(Event, frozen=True, tag="runtime.quarantined.v1", omit_defaults=True):
    """A command whose turn broke. Its actor is parked until somebody retries or drops it; the command's bytes are here,
    or in the inbox alone when there are more than BODY_QUOTED_BYTES_MAX of them."""

    kind: str
    name: str
    id: str
    command_type: str
    error: str
    body: bytes = b""


class ActorRetried(Event, frozen=True, tag="runtime.retried.v1", omit_defaults=True):
    """A parked actor goes on: the command `id`, which had broken it, is decided again, then what waited for it. What is
    sent again of that has this event as its cause. `late`: also what had a deadline that has passed. `by` is who
    had it so, as a pseudonymous id ("": not said)."""

    kind: str
    name: str
    id: str
    late: bool = False
    by: str = ""


class ActorDropped(Event, frozen=True, tag="runtime.dropped.v1", omit_defaults=True):
    """A parked actor goes on without the command `id`, which had broken it and stays quarantined; the rest as in
    ActorRetried."""

    kind: str
    name: str
    id: str
    late: bool = False
    by: str = ""


class CancelCommand(Command, frozen=True, tag="runtime.cancel.v1"):
    """Withdraw the command with that id, sent to this actor before: one that was not decided yet never is, and an ask
    that is still open ends. Its asker is told `refused` with the code "cancelled"; what has happened stays."""

    id: str


COMMANDS = (CancelCommand,)
EVENTS = (CommandQuarantined, ActorRetried, ActorDropped)
RETIRED: tuple[Upcast, ...] = ()
