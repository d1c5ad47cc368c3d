"""The proxy: TCP relays on loopback ports, between everybody and the servers, that a fault can cut, stall or deafen.

- cut: every connection is reset, as by a firewall that forgot it; new ones are refused while the wire is `down`.
- stall: bytes are held in both directions, and connections stay open, as on a road that loses every packet.
- deafen: what the server says is lost while what it is told arrives: outcomes become unknown.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import cast

LOOPBACK = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time; closing then resets.


class Wire:
    """A relay to the port that `server_port` names at the time of each new connection."""

    def __init__(self, server_port: Callable[[], int]) -> None:
        self.server_port = server_port
        self.port = 0
        self.ends: set[_End] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.down = False
        self.stalled = False
        self.deaf = False
        self.resets = 0
        self.bytes_lost = 0

    def cut(self) -> None:
        """Reset every connection."""
        for end in list(self.ends):
            self.resets += end.reset()

    def stall(self) -> None:
        """Hold every byte, until `flow`."""
        self.stalled = True
        for end in self.ends:
            end.hold("stalled")

    def flow(self) -> None:
        self.stalled = False
        for end in self.ends:
            end.go_on("stalled")

    def heal(self) -> None:
        """Nothing is wrong with this wire."""
        self.down = self.deaf = False
        self.flow()


class _End(asyncio.Protocol):
    """One end of a relayed connection: what comes in here goes out at its `peer`."""

    def __init__(self, wire: Wire, peer: "_End | None" = None) -> None:
        self._wire, self.peer = wire, peer
        self._of_server = peer is not None
        self._transport: asyncio.Transport | None = None
        self._holding: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._wire.ends.add(self)
        if self._wire.stalled:
            self.hold("stalled")
        if self.peer is not None:
            self.peer.peer = self
            self.peer.go_on("unconnected")
            if self.peer._transport is None:  # It hung up meanwhile.
                self.reset()
        elif self._wire.down:
            self.reset()
        else:
            self.hold("unconnected")
            task = asyncio.get_running_loop().create_task(self._connect())
            self._wire.tasks.add(task)
            task.add_done_callback(self._wire.tasks.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _End(self._wire, self), LOOPBACK, self._wire.server_port()
            )
        except OSError:
            self.reset()  # There is no server just now.

    def data_received(self, data: bytes) -> None:
        if self._of_server and self._wire.deaf:
            self._wire.bytes_lost += len(data)
        elif self.peer is not None and self.peer._transport is not None:
            self.peer._transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.hold("full")

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.go_on("full")

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ends.discard(self)
        self._transport = None
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.close()  # What it was told already still arrives.

    def hold(self, why: str) -> None:
        """Read no more from this end, and so from whoever fills it."""
        if not self._holding and self._transport is not None:
            self._transport.pause_reading()
        self._holding.add(why)

    def go_on(self, why: str) -> None:
        if why in self._holding:
            self._holding.discard(why)
            if not self._holding and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def reset(self) -> int:
        """Close it with a reset; how many connections that were."""
        if self._transport is None:
            return 0
        plug: socket.socket = self._transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        return not self._of_server


@asynccontextmanager
async def wire(server_port: Callable[[], int]) -> AsyncGenerator[Wire]:
    """A relay, on a free port. Cut at the end."""
    relay = Wire(server_port)
    server = await asyncio.get_running_loop().create_server(lambda: _End(relay), LOOPBACK, 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        for task in relay.tasks:
            task.cancel()
