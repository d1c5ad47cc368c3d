"""Reads what a subscription of ours brings straight from the bytes of the connection.

nats-py makes a message object, a queue entry and a task's turn of each message, and parses headers nobody asked for: a
quarter of a busy worker's time. Frames of a subscription that is heard directly are recognised here and handed on, as
bytes, in the turn of the event loop that read them; all other frames are nats-py's, in their order.
"""

import re
from collections.abc import Callable

import structlog
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

CONTROL_LINE_BYTES_MAX = 4_096  # nats-py gives up on a longer one, and so it shall.

# What a stream's consumer delivers has a reply subject. Source: the NATS client protocol, MSG and HMSG.
_WITH_HEADERS = re.compile(rb"HMSG (\S+) (\d+) (\S+) (\d+) (\d+)\r\n")
_WITHOUT = re.compile(rb"MSG (\S+) (\d+) (\S+) (\d+)\r\n")

Heard = Callable[[bytes, bytes, bytes, bytes], None]
"""Subject, reply subject, headers (with their first line; empty: none) and body. It must not wait."""

log = structlog.get_logger("bus")


class DirectParser(Parser):
    """nats-py's parser with a short cut for the subscriptions in `direct`, by their number."""

    def __init__(self, client: object, direct: dict[int, Heard]) -> None:
        super().__init__(client)
        self._direct = direct

    async def parse(self, data: bytes = b"") -> None:
        if self._direct and self.state == AWAITING_CONTROL_LINE:
            if self.buf:
                data = bytes(self.buf) + data
                self.buf.clear()
            read = self._read(data)
            rest = data[read:] if read else data
            if not rest or self._incomplete(rest):
                self.buf.extend(rest)
                return
            data = rest
        await super().parse(data)

    def _read(self, data: bytes) -> int:
        """Hand on the frames at the beginning that are heard directly; how many bytes they were."""
        at, direct = 0, self._direct
        while True:
            found = _WITH_HEADERS.match(data, at)
            if found is not None:
                subject, sid, reply, headed, size = found.groups()
            else:
                found = _WITHOUT.match(data, at)
                if found is None:
                    return at
                subject, sid, reply, size = found.groups()
                headed = b"0"
            heard = direct.get(int(sid))
            begin = found.end()
            end = begin + int(size)
            if heard is None or len(data) < end + 2:
                return at
            body = begin + int(headed)
            hand_on(heard, subject, reply, data[begin:body], data[body:end])
            at = end + 2

    def _incomplete(self, data: bytes) -> bool:
        """Whether this is the beginning of a frame that is heard directly."""
        found = _WITH_HEADERS.match(data) or _WITHOUT.match(data)
        if found is None:
            return len(data) < CONTROL_LINE_BYTES_MAX and b"\r\n" not in data
        return int(found[2]) in self._direct and len(data) < found.end() + int(found[found.lastindex or 0]) + 2


def hand_on(heard: Heard, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
    """Whatever goes wrong in there must not end the reading of the connection."""
    try:
        heard(subject, reply, headers, body)
    except Exception:
        log.exception("nats.not_heard", subject=subject.decode("utf-8", "replace"))


def parse_headers(raw: bytes) -> dict[str, str]:
    """The headers of a frame, without its first line; what is no header is passed over, the last of a name counts."""
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return found
