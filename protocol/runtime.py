"""Events the runtime itself writes, in the stream `runtime/<partition>`."""

from protocol.message import Event
from protocol.upcast import Upcast

BODY_QUOTED_BYTES_MAX = 256 * 1024  # In an event they take a third more, and an event holds 512 KiB.


class CommandQuarantined(Event, frozen=True, tag="runtime.quarantined.v1", omit_defaults=True):
    """A command whose turn broke. Its actor goes on without it; its bytes are here, or in the inbox alone when there
    are more than BODY_QUOTED_BYTES_MAX of them."""

    kind: str
    name: str
    id: str
    command_type: str
    error: str
    body: bytes = b""


EVENTS = (CommandQuarantined,)
RETIRED: tuple[Upcast, ...] = ()
