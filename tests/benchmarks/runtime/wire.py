"""A NATS connection that does only what a load generator needs, in as little processor time as Python can.

On a machine of two cores the client's own time is taken from what it measures. So frames are put together from prepared
bytes, everything one read of the socket allows is answered with one write, and no task wakes for a single message.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

CONNECT_S_MAX = 10.0
NATS_PORT = 4222

Heard = Callable[[int, bytes], None]  # The number at the end of the subject, and the body.


class Wire(asyncio.Protocol):
    """One connection and one subscription, to `inbox.*`. `heard` is called for each message; what it `put`s is written
    when all of a read has been looked at."""

    def __init__(self, inbox: str, heard: Heard) -> None:
        self._heard, self._inbox = heard, inbox
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._out: list[bytes] = []
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, url: str, token: str, inbox: str, heard: Heard) -> "Wire":
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        assert parts.hostname, f"no host in {url!r}"
        _, wire = await loop.create_connection(lambda: cls(inbox, heard), parts.hostname, parts.port or NATS_PORT)
        await asyncio.wait_for(wire._connect(token), CONNECT_S_MAX)
        return wire

    async def _connect(self, token: str) -> None:
        said: dict[str, Any] = {
            "verbose": False, "pedantic": False, "headers": True, "protocol": 1, "lang": "python", "version": "0",
            "auth_token": token, "no_responders": False,
        }  # fmt: skip
        self.put(b"CONNECT %b\r\nSUB %b.* 1\r\nPING\r\n" % (json.dumps(said).encode(), self._inbox.encode()))
        self.flush()
        await self._ready

    def put(self, frame: bytes) -> None:
        self._out.append(frame)

    def flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while True:
            line_end = buffer.find(b"\r\n", at)
            if line_end < 0:
                break
            if buffer.startswith((b"HMSG ", b"MSG "), at):
                fields = buffer[at:line_end].split(b" ")
                body_at = line_end + 2
                next_at = body_at + int(fields[-1]) + 2
                if fields[0] == b"HMSG":  # Its last but one number is the length of the headers, which come first.
                    body_at += int(fields[-2])
                if next_at > end:
                    break
                self._heard(int(fields[1].rpartition(b".")[2]), buffer[body_at : next_at - 2])
                at = next_at
            else:
                self._control(buffer[at:line_end])
                at = line_end + 2
        self._buffer = buffer[at:]
        self.flush()

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            self.put(b"PONG\r\n")
        elif line == b"PONG":
            if not self._ready.done():
                self._ready.set_result(None)
        elif line.startswith(b"-ERR"):
            raise ConnectionError(f"NATS says {line.decode('utf-8', 'replace')}")
