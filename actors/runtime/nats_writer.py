"""What is published in one turn of the event loop goes out in one write: replies and doorbells by the hundred.

Nothing is awaited for a message, and nothing is promised: what is under way when the connection is lost is lost with
it. A server that takes nothing delays the publisher WRITE_S_MAX; from then on messages are dropped until it reads
again, so memory stays bounded and nobody waits for a frozen broker.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

UNWRITTEN_BYTES_MAX = 4 * 1024 * 1024  # Handed to the connection and perhaps not read by the server yet.
WRITE_S_MAX = 2.0

_SUBJECT = re.compile(r"[!-~]+")
_NO_BREAKS = str.maketrans("\r\n", "  ")
_is_name = lru_cache(maxsize=64)(re.compile(r"[!-9;-~]+").fullmatch)  # There are few, and every message has some.


class Unwritable(Exception):
    """A message that cannot be published; the text says why."""


class Writer:
    """Publishes on whatever connection `client` gives at the time."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client
        self._frames: list[bytes] = []
        self._unwritten = 0
        self._stuck = False

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Unwritable, or what nats-py raises."""
        client = self._client()
        if not client.is_connected or not isinstance(_transport(client), TcpTransport):
            await client.publish(subject, body, headers=dict(headers) if headers else None)
            return
        made = frame(subject, body, headers, client.max_payload)
        if self._unwritten + len(made) > UNWRITTEN_BYTES_MAX:
            await self._drain()
        if not self._frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self._frames.append(made)
        self._unwritten += len(made)

    def flush(self) -> None:
        """Write now what would be written in the next turn."""
        frames, self._frames = self._frames, []
        client = self._client()
        if frames and client.is_connected:
            _transport(client).write(b"".join(frames))

    async def _drain(self) -> None:
        """Wait until the connection has room. Unwritable when it has none in time."""
        self.flush()
        client = self._client()
        with anyio.move_on_after(0 if self._stuck else WRITE_S_MAX) as waiting:
            if client.is_connected:
                await _transport(client).drain()
        self._stuck = waiting.cancelled_caught
        if self._stuck:
            raise Unwritable(f"NATS has taken nothing for {WRITE_S_MAX:g} s")
        self._unwritten = 0


def frame(subject: str, body: bytes, headers: Mapping[str, str] | None, payload_bytes_max: int) -> bytes:
    """A publish as the NATS client protocol has it. Unwritable for what would make the server hang up."""
    if not _SUBJECT.fullmatch(subject):
        raise Unwritable(f"{subject!r} is no subject")
    named = b""
    if headers:
        text = "NATS/1.0\r\n"
        for name, value in headers.items():
            if not _is_name(name):
                raise Unwritable(f"{name!r} is no name of a header")
            # Translating takes longer than looking, and next to no value has a break in it.
            plain = value if value.isprintable() else value.translate(_NO_BREAKS)
            text += f"{name}: {plain.strip()}\r\n"
        named = f"{text}\r\n".encode("utf-8", "backslashreplace")
    size = len(named) + len(body)
    if size > payload_bytes_max:
        raise Unwritable(f"{size} bytes, and the server takes {payload_bytes_max}")
    start = f"HPUB {subject} {len(named)} {size}\r\n" if named else f"PUB {subject} {size}\r\n"
    return b"%b%b%b\r\n" % (start.encode(), named, body)


def _transport(client: Client) -> Any:
    return vars(client)["_transport"]
