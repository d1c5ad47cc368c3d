"""Closing a connection to NATS while it breaks: it is closed, and nothing of nats-py's own troubles comes out.

(Both found by bin/torture: a stopped worker ended with an error, and the closing of one asker ended all its fellows.)
"""

import asyncio
from typing import Any

from actors.embedded.servers import Servers
from actors.runtime.nats_client import TolerantClient, connect


async def _opened(servers: Servers) -> tuple[TolerantClient, Any]:
    async def nothing(*_: object) -> None:
        pass

    client = await connect(
        servers.nats_url, servers.nats_token, reconnected=nothing, disconnected=nothing, closed=nothing, failed=nothing
    )
    return client, client._transport  # pyright: ignore[reportPrivateUsage]


async def test_a_connection_that_breaks_while_the_last_words_are_said(servers: Servers) -> None:
    client, transport = await _opened(servers)

    async def broken() -> None:
        raise ConnectionResetError("reset by peer")

    transport.drain = broken
    client._pending, client._pending_data_size = [b"PING\r\n"], 6  # pyright: ignore[reportPrivateUsage]
    await client.close()
    assert client.is_closed


async def test_a_connection_whose_end_nats_py_waits_for_in_a_task_that_it_cancels(servers: Servers) -> None:
    client, transport = await _opened(servers)
    ended = asyncio.get_running_loop().create_future()

    async def wait_closed() -> None:
        await ended  # One future for all who wait: cancelled with the first of them.

    transport.wait_closed = wait_closed
    client._reconnection_task = asyncio.ensure_future(wait_closed())  # pyright: ignore[reportPrivateUsage]
    await asyncio.sleep(0)
    await client.close()
    assert client.is_closed
