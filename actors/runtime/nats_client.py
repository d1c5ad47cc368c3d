"""A connection to NATS that outlives its server's bad hours and reads whatever the server lets pass."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.runtime.nats_parser import DirectParser, Heard, hand_on

CONNECT_S_MAX = 10.0  # A first connection; a lost one is tried again for ever.
HANDSHAKE_S_MAX = 5.0
RECONNECT_WAIT_S = 0.25
PENDING_BYTES_MAX = 1024**3  # What nats-py may hold before it drops: more than any feed asks for.

Callback = Callable[[], Awaitable[None]]


class TolerantClient(Client):
    """nats-py stops reading for good at bytes that the server lets pass: a subject that is no UTF-8, a broken header.
    Whoever may publish commands could so silence a company."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[int, Heard] = {}
        self._ps = DirectParser(self, self._heard)

    async def hear(self, subject: str, heard: Heard) -> Subscription:
        """Subscribe without a queue and a task in between. `heard` bounds what it keeps: nothing here does."""
        subscription = await self.subscribe(subject)
        self._heard[subscription._id] = heard  # pyright: ignore[reportPrivateUsage]  (what the server calls it)
        return subscription

    async def close(self) -> None:
        """Closed for good, also when the connection breaks while nats-py says what it still had to say."""
        try:
            await super().close()
        except (OSError, asyncio.CancelledError) as error:
            if self._transport is not None:
                self._transport.close()
            # What nats-py waits for there may be cancelled with a task of its own, and that says nothing to ours. Let
            # out, it would end every task beside us without a word.
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._heard.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """What the parser's short cut left: statuses, and frames behind one that is nats-py's own."""
        heard = self._heard.get(sid)
        if heard is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            hand_on(heard, subject, reply, headers or b"", data)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        readable = subject.decode("utf-8", "replace").encode()
        return super()._build_message(sid, readable, reply, data, headers)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None


async def hear(client: Client, subject: str, heard: Heard) -> Subscription:
    """Subscribe with as little as possible between the connection and `heard`. Any client of nats-py will do, ours is
    quick."""
    if isinstance(client, TolerantClient):
        return await client.hear(subject, heard)

    async def pass_on(message: Msg) -> None:
        headers = dict(message.headers or {})
        status, said = headers.pop("Status", ""), headers.pop("Description", "")
        first = f"NATS/1.0 {status} {said}".rstrip()
        raw = "\r\n".join([first, *(f"{name}: {value}" for name, value in headers.items())])
        heard(message.subject.encode(), message.reply.encode(), raw.encode() if message.headers else b"", message.data)

    return await client.subscribe(subject, cb=pass_on, pending_bytes_limit=PENDING_BYTES_MAX)


async def connect(
    url: str,
    token: str,
    *,
    reconnected: Callback,
    disconnected: Callback,
    closed: Callback,
    failed: Callable[[Exception], Awaitable[None]],
) -> TolerantClient:
    """A connected client. TimeoutError after CONNECT_S_MAX, or what nats-py raises. `closed` is called when it gave up
    for good, as it does at a word of the server's that it does not know."""
    options: dict[str, Any] = {"token": token} if token else {}
    client = TolerantClient()
    with anyio.fail_after(CONNECT_S_MAX):  # Without an end to reconnecting, nats-py has none to connecting either.
        await client.connect(
            url,
            name="troupe",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType]  (a fraction is slept too)
            connect_timeout=math.ceil(HANDSHAKE_S_MAX),
            reconnected_cb=reconnected,
            disconnected_cb=disconnected,
            closed_cb=closed,
            error_cb=failed,
            **options,
        )
    return client
