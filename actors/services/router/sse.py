"""Server-sent events as model providers stream them (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Pure: bytes go in as the network cuts them, whole events come out.
"""

from dataclasses import dataclass

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name ("message" when the stream names none) and its data, lines joined by a newline."""

    name: str
    data: str


class EventReader:
    """Collects events from pieces of a stream. An event the stream breaks off in is never given."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._first = True

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that `piece` completes. A line ends with LF, CR LF or CR; bytes that are no UTF-8 are replaced."""
        waiting = self._rest.endswith(b"\r")
        self._rest += piece
        if not waiting and b"\n" not in piece and b"\r" not in piece:
            return []  # Inside a line, which may be long: nothing of it is looked at twice.
        # A CR at the very end may be half of a CR LF: it waits for the next piece.
        text = bytes(self._rest)
        held = text.endswith(b"\r")
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(lines.pop() + (b"\r" if held else b""))
        return [event for line in lines if (event := self._line(line.decode("utf-8", "replace"))) is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if self._first:
            line, self._first = line.removeprefix(_BOM), False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        return None  # Comments, ids and retry times say nothing about the answer.

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", "\n".join(self._data)
        found = bool(self._data)
        self._name, self._data = "", []
        return ServerEvent(name, data) if found else None
