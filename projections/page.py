"""A page of the log, decoded once for all the views that fold it."""

import re
from collections.abc import Iterator, Sequence

from eventstore.store import Recorded
from protocol.codec import Malformed, Vocabulary
from protocol.message import Event

# A NUL as JSON writes it, behind whole pairs of backslashes: PostgreSQL's text has none, U+FFFD stands in for it.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Page:
    """Events of the log in order, `last` the position up to which nothing of interest is left out (at least that of
    the last event)."""

    def __init__(self, events: Sequence[Recorded], last: int) -> None:
        self.events = events
        self.last = last
        self._decoded: dict[int, Event | Malformed] = {}

    def singly(self) -> Iterator["Page"]:
        """The same, one event a page."""
        for index, recorded in enumerate(self.events, start=1):
            yield Page([recorded], self.last if index == len(self.events) else recorded.position)

    def decoded(self, index: int, vocabulary: Vocabulary[Event]) -> Event:
        """The event at that place, whose type is in the vocabulary. Malformed."""
        found = self._decoded.get(index)  # A tag is one class, whichever view asks first.
        if found is None:
            recorded = self.events[index]
            body = recorded.body
            try:
                found = vocabulary.decode(_NUL.sub(rb"\1\\ufffd", body) if b"\\u0000" in body else body, recorded.type)
            except Malformed as error:
                found = error
            self._decoded[index] = found
        if isinstance(found, Malformed):
            raise found
        return found
