"""A wire between a store and its server that a test can cut: a TCP relay on a free loopback port."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import quote, urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream

CHUNK_BYTES = 65_536


class Wire:
    """`down`: nobody gets through. `lose_answers`: what the server says next is lost, and its connection with it."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._open: set[SocketStream] = set()
        self.down = False
        self.lose_answers = False
        self.answers_lost = 0

    async def cut(self) -> None:
        """Close every connection; new ones are refused until `down` is False again."""
        self.down = True
        for end in list(self._open):
            await end.aclose()

    async def relay(self, client: SocketStream) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            if self.down:
                return
            server = await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", self._server_port))
            self._open |= {client, server}
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._pump, client, server, False)
                    await self._pump(server, client, True)
                    group.cancel_scope.cancel()
            finally:
                self._open -= {client, server}

    async def _pump(self, source: SocketStream, target: SocketStream, answers: bool) -> None:
        """Until either end closes; then both do."""
        try:
            while True:
                chunk = await source.receive(CHUNK_BYTES)
                if answers and self.lose_answers:
                    self.answers_lost += 1
                    break
                await target.send(chunk)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # One end hung up: so does the wire.
        await source.aclose()
        await target.aclose()


@asynccontextmanager
async def wire(dsn: str, server_port: int) -> AsyncGenerator[tuple[Wire, str]]:
    """A wire to the server at 127.0.0.1:`server_port`, and `dsn` leading through it."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    parts = urlsplit(dsn)
    account = quote(parts.username or "", "%") + (f":{quote(parts.password, '%')}" if parts.password else "")
    relay = Wire(server_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, relay.relay)
        try:
            yield relay, f"postgresql://{account}@127.0.0.1:{port}{parts.path}"
        finally:
            group.cancel_scope.cancel()
