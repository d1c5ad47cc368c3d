"""What the log says of data subjects: that one was forgotten. Written by the store itself, in the same transaction that
destroys the key, into the stream `subject/<key id>`; there is no actor of that kind and no command."""

from protocol.message import Event

FORGOTTEN_BELL = (
    "forget"  # `troupe.fx.forget` tells the company that a subject was forgotten. A hint, as every doorbell.
)


class SubjectForgotten(Event, frozen=True, tag="subject.forgotten.v1"):
    """The key of that id is destroyed: whatever was sealed under it is unreadable for good, in the log, in snapshots,
    views and blobs. The text stays where it is, so the hash chain over it stays valid. Who the subject was is not
    said."""

    key: str


EVENTS = (SubjectForgotten,)
