"""A connection to NATS that outlives its server's bad hours and reads whatever the server lets pass."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg

CONNECT_S_MAX = 10.0  # A first connection; a lost one is tried again for ever.
HANDSHAKE_S_MAX = 5.0
RECONNECT_WAIT_S = 0.25

Callback = Callable[[], Awaitable[None]]


class TolerantClient(Client):
    """nats-py stops reading for good at bytes that the server lets pass: a subject that is no UTF-8, a broken header.
    Whoever may publish commands could so silence a company."""

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


async def connect(
    url: str,
    token: str,
    *,
    reconnected: Callback,
    disconnected: Callback,
    closed: Callback,
    failed: Callable[[Exception], Awaitable[None]],
) -> Client:
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
