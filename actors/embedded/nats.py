"""nats-server with JetStream in the state folder, on loopback TCP, for those who hold the token."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from actors.embedded import process
from actors.embedded.account import Account
from actors.embedded.errors import ServerFailed
from actors.embedded.folder import StateFolder, write_private
from actors.embedded.ports import LOOPBACK
from actors.embedded.programs import Programs

NAME = "nats"
MAX_PAYLOAD_BYTES = 1024 * 1024
# More than all our streams may take. Left to itself the server allows three quarters of what is free at its start, and
# on a nearly full disk it then refuses a stream for its upper bound alone, although a few megabytes are ever used.
STORE_BYTES_MAX = 16 * 1024**3
SYNC_INTERVAL_S = 120  # nats-server's own default. Nothing of ours is lost with its disk: PostgreSQL is the arbiter.
HANDSHAKE_TIMEOUT_S = 5.0
STOP_SIGNALS = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 10.0))

_SECRET = "nats-token"  # noqa: S105  (a file's name)
_LINE_BYTES_MAX = 64 * 1024
_NO_ANSWER = (
    OSError,
    ValueError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.DelimiterNotFound,
)


class NatsNotReady(Exception):
    """The server does not take connections yet."""


@dataclass(frozen=True)
class NatsOptions:
    """`sync_interval_s`: how long JetStream may keep acknowledged messages from the disk, in seconds.

    An adopted server keeps the options it was started with.
    """

    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    sync_interval_s: int = SYNC_INTERVAL_S


@dataclass(frozen=True)
class Nats:
    """The NATS server of one state folder."""

    folder: StateFolder
    account: Account
    options: NatsOptions = NatsOptions()
    name = NAME
    program = "nats-server"
    stop_signals = STOP_SIGNALS

    @property
    def log(self) -> Path:
        return self.folder.logs / "nats.log"

    @property
    def token(self) -> str:
        return self.folder.secret(_SECRET)

    @property
    def _pid_file(self) -> Path:
        return self.folder.nats / "nats.pid"

    def url(self, port: int) -> str:
        return f"nats://{LOOPBACK}:{port}"

    async def prepare(self, programs: Programs, lock: int) -> None:
        """Give the folder to the account. The settings carry the port, so `launch` writes them."""
        for left in (self._pid_file, *self.folder.nats.glob("*.ports")):
            left.unlink(missing_ok=True)  # We hold the lock, so the server that wrote it is dead.
        self.account.own(self.folder.nats)

    def launch(self, programs: Programs, port: int) -> process.Launch:
        """How to start the server on the port. All paths are relative: the way here may be closed to the account."""
        settings = self.folder.nats / "server.conf"
        content: dict[str, Any] = {
            "server_name": f"troupe-{port}",
            "listen": f"{LOOPBACK}:{port}",
            "authorization": {"token": self.token},
            "max_payload": self.options.max_payload_bytes,
            "pid_file": self._pid_file.name,
            "ports_file_dir": ".",
            "jetstream": {
                "store_dir": "store",
                "max_file_store": STORE_BYTES_MAX,
                "sync_interval": f"{self.options.sync_interval_s}s",
            },
        }
        write_private(settings, json.dumps(content, indent=2).encode())  # nats-server reads JSON.
        self.account.own(settings)
        return process.Launch(
            (programs.nats_server, "--config", settings.name), self.folder.nats, self.log, self.account
        )

    def recorded_pid(self) -> int | None:
        """The pid the server itself wrote down."""
        try:
            text = self._pid_file.read_text(errors="replace").strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None

    async def probe(self, port: int) -> None:
        """Shake hands with our token, as a client does. NatsNotReady; ServerFailed when the server refuses us.

        The token is shown only after our server says, in its own folder, that it listens: never to a stranger.
        """
        if not any(self.folder.nats.glob("*.ports")):
            raise NatsNotReady("it does not listen yet")
        try:
            with anyio.fail_after(HANDSHAKE_TIMEOUT_S):
                answer = await self._handshake(port)
        except _NO_ANSWER as error:
            raise NatsNotReady(f"{type(error).__name__}: {error}") from error
        if answer != b"PONG":
            what = f"refuses us on {LOOPBACK}:{port} ({answer.decode(errors='replace')}); its token is in "
            raise ServerFailed(
                self.name, f"{what}{self.folder.path / 'secrets' / _SECRET}", self.log, process.tail(self.log)
            )

    async def _handshake(self, port: int) -> bytes:
        """INFO, CONNECT, PING: the first answer after it, PONG when we are in. Source: the NATS client protocol."""
        async with await anyio.connect_tcp(LOOPBACK, port) as stream:
            received = BufferedByteReceiveStream(stream)
            hello = await received.receive_until(b"\r\n", _LINE_BYTES_MAX)
            if not hello.startswith(b"INFO ") or not json.loads(hello[5:]).get("jetstream"):
                raise ValueError("no NATS server with JetStream answers")
            connect = json.dumps({"auth_token": self.token, "verbose": False, "pedantic": False, "name": "probe"})
            await stream.send(f"CONNECT {connect}\r\nPING\r\n".encode())
            return await received.receive_until(b"\r\n", _LINE_BYTES_MAX)
