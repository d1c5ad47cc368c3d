"""Start, adopt and stop the servers of a state folder.

Promises: at most one PostgreSQL and one nats-server run on a folder, whoever starts them and however often. A server
outlives the process that started it and is adopted by the next `start_servers`, after a handshake with our own secret.
A server that died is started again on the same data and, if it is still free, the same port: clients just reconnect.
"""

import os
import signal
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from actors.embedded import nats, postgres, process
from actors.embedded.account import Account, server_account
from actors.embedded.errors import ServerFailed
from actors.embedded.folder import StateFolder
from actors.embedded.locks import is_locked, try_lock, wait_unlocked, waited_lock
from actors.embedded.nats import Nats, NatsNotReady, NatsOptions
from actors.embedded.ports import LOOPBACK, free_port, is_free
from actors.embedded.postgres import Postgres, PostgresNotReady, PostgresOptions
from actors.embedded.programs import Programs, usable_programs
from actors.embedded.records import ServerRecord, read_records, write_record

SERVERS = (nats.NAME, postgres.NAME)
READY_TIMEOUT_S = 60.0  # PostgreSQL may have to recover first.
PROBE_EVERY_S = 0.02
ORPHANS_TIMEOUT_S = 30.0  # Children of a killed PostgreSQL end by themselves within seconds.
BURIAL_TIMEOUT_S = 1.0
PORTS_TRIED_MAX = 3
TURN_TIMEOUT_S = 180.0  # Longer than a first start, for which a second caller waits.


class _Server(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def program(self) -> str: ...
    @property
    def folder(self) -> StateFolder: ...
    @property
    def log(self) -> Path: ...
    @property
    def stop_signals(self) -> Collection[tuple[signal.Signals, float]]: ...
    async def prepare(self, programs: Programs, lock: int) -> None: ...
    def launch(self, programs: Programs, port: int) -> process.Launch: ...
    def recorded_pid(self) -> int | None: ...
    async def probe(self, port: int) -> None: ...


@dataclass(frozen=True)
class Servers:
    """Where the servers are; an address is "" for a server that was not wanted. `started`: by this call, not adopted.

    The DSN holds the password.
    """

    nats_url: str
    nats_token: str = field(repr=False)
    postgres_dsn: str = field(repr=False)
    started: frozenset[str]


async def start_servers(
    folder: StateFolder,
    *,
    want: Collection[str] = SERVERS,
    postgres_options: PostgresOptions = PostgresOptions(),  # noqa: B008  (frozen)
    nats_options: NatsOptions = NatsOptions(),  # noqa: B008  (frozen)
) -> Servers:
    """Have the wanted servers running and ready: adopt what runs, start what does not. Idempotent; repeat it to repair.

    When a later server fails or the call is cancelled, what this call started is stopped again, except a server that is
    merely slow to become ready (PostgreSQL may be recovering): that one stays and the next call waits on.
    """
    account = server_account()
    started: set[str] = set()
    ports: dict[str, int] = {}
    async with _turn(folder):
        try:
            for server in _wanted(folder, account, want, postgres_options, nats_options):
                port = await _adopted(server)
                if port is None:
                    started.add(server.name)
                    port = await _started(server, await usable_programs(account))
                ports[server.name] = port
        except BaseException as error:
            if isinstance(error, _Slow):
                started.discard(error.name)
            with anyio.CancelScope(shield=True):
                await _stop(folder, account, started)
            raise
    return _addresses(folder, account, ports, frozenset(started))


async def find_servers(folder: StateFolder, *, want: Collection[str] = SERVERS) -> Servers | None:
    """The servers that run on the folder, or None when not all wanted ones do. Starts nothing."""
    account = server_account()
    ports: dict[str, int] = {}
    async with _turn(folder):
        for server in _wanted(folder, account, want):
            port = await _adopted(server)
            if port is None:
                return None
            ports[server.name] = port
    return _addresses(folder, account, ports, frozenset())


async def stop_servers(folder: StateFolder, names: Collection[str] = SERVERS) -> None:
    """Stop those of the servers that run: gracefully, then by force, each within a bound; past all, ServerFailed."""
    async with _turn(folder):
        await _stop(folder, server_account(), names)


class _Slow(ServerFailed):
    """Not ready in time, and still running."""


def _turn(folder: StateFolder) -> AbstractAsyncContextManager[None]:
    """One start or stop at a time on a folder, over all processes."""
    return waited_lock(folder.path / "servers.lock", TURN_TIMEOUT_S)


def _wanted(
    folder: StateFolder,
    account: Account,
    want: Collection[str],
    postgres_options: PostgresOptions = PostgresOptions(),  # noqa: B008  (frozen)
    nats_options: NatsOptions = NatsOptions(),  # noqa: B008  (frozen)
) -> list[_Server]:
    if unknown := set(want) - set(SERVERS):
        raise ValueError(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    servers: tuple[_Server, ...] = (Nats(folder, account, nats_options), Postgres(folder, account, postgres_options))
    return [server for server in servers if server.name in want]


def _addresses(folder: StateFolder, account: Account, ports: dict[str, int], started: frozenset[str]) -> Servers:
    bus, store = Nats(folder, account), Postgres(folder, account)
    return Servers(
        nats_url=bus.url(ports[bus.name]) if bus.name in ports else "",
        nats_token=bus.token if bus.name in ports else "",
        postgres_dsn=store.dsn(ports[store.name]) if store.name in ports else "",
        started=started,
    )


async def _adopted(server: _Server) -> int | None:
    """The port of the running server once it is ready, None when none runs."""
    lock = _lock(server)
    pid = None
    with anyio.move_on_after(ORPHANS_TIMEOUT_S):
        # Without a live main process it was killed and its children are about to end, or it is only now being born.
        while (pid := _live_pid(server)) is None:
            if not is_locked(lock):
                return None
            await anyio.sleep(PROBE_EVERY_S)
    if pid is None:
        what = f"was killed, but processes it had started still hold {lock} after {ORPHANS_TIMEOUT_S:.0f} s: end them"
        raise _failed(server, what)
    if not is_locked(lock):  # What lives under the pid of an incomplete record is a stranger.
        return None
    record = read_records(server.folder).get(server.name)
    if record is None:
        raise _failed(server, f"runs as process {pid}, but its port is in no servers.json: end it (kill -INT {pid})")
    if not await _ready(server, record.port):
        return None
    if record.pid != pid:
        write_record(server.folder, server.name, ServerRecord(record.port, pid, process.started_at(pid)))
    return record.port


async def _started(server: _Server, programs: Programs) -> int:
    """Start the server and wait until it is ready; its port."""
    before = read_records(server.folder).get(server.name)
    port = free_port(before.port if before else None)
    for _ in range(PORTS_TRIED_MAX):
        await _launched(server, programs, port)
        if await _ready(server, port):
            return port
        if is_free(port):
            raise _failed(server, "ended while starting")
        port = free_port()  # Somebody took the port after we had found it free.
    raise _failed(server, f"found no free port on {LOOPBACK} in {PORTS_TRIED_MAX} tries")


async def _launched(server: _Server, programs: Programs, port: int) -> None:
    lock = _lock(server)
    descriptor = try_lock(lock)
    if descriptor is None:
        raise _failed(server, f"cannot be started: a process holds {lock}")
    try:
        await server.prepare(programs, descriptor)
        # The port before the start: if we die in between, the next start finds the server by it and its own pid file.
        write_record(server.folder, server.name, ServerRecord(port))
        try:
            pid = process.launch(server.launch(programs, port), descriptor)
        except OSError as error:
            raise _failed(server, f"cannot be started: {error}") from error
        write_record(server.folder, server.name, ServerRecord(port, pid, process.started_at(pid)))
    finally:
        os.close(descriptor)  # The server holds the lock by itself now.


async def _ready(server: _Server, port: int) -> bool:
    """Wait until the server answers; False when it ended instead. ServerFailed when it refuses us or takes too long."""
    said = "no answer"
    with anyio.move_on_after(READY_TIMEOUT_S):
        while True:
            # In this order: only while the server holds its lock can it be ours that answers on the port.
            if not is_locked(_lock(server)) or _live_pid(server) is None:
                return False
            try:
                await server.probe(port)
            except (NatsNotReady, PostgresNotReady) as error:
                said = str(error)
                await anyio.sleep(PROBE_EVERY_S)
            else:
                return True
    what = (
        f"is not ready on {LOOPBACK}:{port} after {READY_TIMEOUT_S:.0f} s ({said}); it still runs, try again to wait on"
    )
    raise _Slow(server.name, what, server.log, process.tail(server.log))


async def _stop(folder: StateFolder, account: Account, names: Collection[str]) -> None:
    for server in _wanted(folder, account, names):
        lock = _lock(server)
        for number, timeout_s in server.stop_signals:
            if not is_locked(lock):
                break
            pid = _live_pid(server)
            if pid is not None:
                process.send_signal(pid, number)
            if await wait_unlocked(lock, timeout_s):
                await _buried(pid)
                break
        else:
            raise _failed(server, f"cannot be stopped: processes still hold {lock}; end them")


async def _buried(pid: int | None) -> None:
    """Wait out the moment between a process closing its files and its end, so that no zombie of ours is left."""
    with anyio.move_on_after(BURIAL_TIMEOUT_S):
        while pid is not None and process.started_at(pid) is not None:  # noqa: ASYNC110  (there is no event to wait for)
            await anyio.sleep(PROBE_EVERY_S)


def _live_pid(server: _Server) -> int | None:
    """The pid of the server's main process if it lives. Never another's: the recorded start time must be the same."""
    record = read_records(server.folder).get(server.name)
    if record is not None and record.pid is not None:
        alive = record.process_started is not None and process.started_at(record.pid) == record.process_started
        return record.pid if alive else None
    # Whoever started it died before writing the pid down. The server's own file has it while the server holds its lock.
    pid = server.recorded_pid()
    return pid if pid is not None and process.runs(pid, server.program) else None


def _failed(server: _Server, what: str) -> ServerFailed:
    return ServerFailed(server.name, what, server.log, process.tail(server.log))


def _lock(server: _Server) -> Path:
    return server.folder.path / f"{server.name}.lock"


def lost_servers(folder: StateFolder, want: Collection[str] = SERVERS) -> set[str]:
    """Those of the wanted servers whose process is gone. A look at the process table only, cheap enough to repeat."""
    account = server_account()
    return {server.name for server in _wanted(folder, account, want) if _live_pid(server) is None}
