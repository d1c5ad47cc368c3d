"""PostgreSQL in the state folder: made by `initdb` once, then `postgres` itself, on loopback TCP with SCRAM passwords.

TCP and not a Unix socket: no path to keep under 100 bytes, and the same address for every process and container.
Everything the server promises on disk it promises here too: fsync, full page writes and data checksums are on.
"""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import asyncpg

from actors.embedded import process
from actors.embedded.account import Account, initdb_account
from actors.embedded.errors import EmbeddedError, ServerFailed
from actors.embedded.folder import StateFolder, write_private
from actors.embedded.ports import LOOPBACK
from actors.embedded.programs import Programs

NAME = "postgres"
USER = "troupe"
DATABASE = "troupe"
MAJOR_VERSION = "18"
INITDB_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 5.0
# Fast shutdown, then immediate (the next start recovers from the log), then what no process can refuse.
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

_SECRET = "postgres-password"  # noqa: S105  (a file's name)
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "cluster_name": "troupe",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_buffers": "16MB",  # A busy event store fills the default 4 MB in one group commit.
    "checkpoint_timeout": "15min",  # Fewer checkpoints write fewer full pages; recovery stays short.
    "max_wal_size": "4GB",  # A busy log writes 60 MB/s: with the default 1 GB it would checkpoint three times a minute.
    "min_wal_size": "512MB",  # Segments once made are used again: making one writes it twice. An idle log makes none.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",  # Standard error is the log file.
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_error_verbosity": "terse",  # DETAIL quotes the values of a row, and personal data never enters a log.
}


class PostgresNotReady(Exception):
    """The server does not take connections yet."""


@dataclass(frozen=True)
class PostgresOptions:
    """`settings` of postgresql.conf that replace ours; an adopted server keeps those it was started with."""

    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Postgres:
    """The PostgreSQL server of one state folder."""

    folder: StateFolder
    account: Account
    options: PostgresOptions = PostgresOptions()
    name = NAME
    program = "postgres"
    stop_signals = STOP_SIGNALS

    @property
    def data(self) -> Path:
        return self.folder.postgres / "data"

    @property
    def log(self) -> Path:
        return self.folder.logs / "postgres.log"

    @property
    def password(self) -> str:
        return self.folder.secret(_SECRET)

    def dsn(self, port: int, database: str = DATABASE) -> str:
        """With the password: keep it out of logs."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{port}/{database}"

    async def prepare(self, programs: Programs, lock: int) -> None:
        """Make the data folder if there is none. `lock` holds the server's lock. ServerFailed, EmbeddedError."""
        self.account.own(self.folder.postgres)
        if not self.data.exists():
            await self._initialise(programs, lock)
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != MAJOR_VERSION:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {found}, this version brings {MAJOR_VERSION}: use the version of "
                "Troupe that made it, or another folder with TROUPE_STATE"
            )
        self._forget_dead_postmaster()

    def launch(self, programs: Programs, port: int) -> process.Launch:
        """How to start the server on the port."""
        settings = {**_SETTINGS, **self.options.settings, "port": str(port)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        return process.Launch(
            (programs.postgres, "-D", self.account.inside(self.data), *arguments), self.data, self.log, self.account
        )

    def recorded_pid(self) -> int | None:
        """The pid the server itself wrote down."""
        try:
            first = (self.data / "postmaster.pid").read_text(errors="replace").partition("\n")[0]
        except FileNotFoundError:
            return None
        return int(first) if first.isdigit() else None

    async def probe(self, port: int) -> None:
        """Connect with our password; make the database if there is none. PostgresNotReady, or ServerFailed for good.

        The password is used only after our server says, in its own folder, that it is ready: never with a stranger.
        """
        if not self._says_ready():
            raise PostgresNotReady("it is not ready yet")
        try:
            await self._probe(port)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            raise PostgresNotReady(f"{type(error).__name__}: {error}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            secret = self.folder.path / "secrets" / _SECRET
            what = f"refuses us on {LOOPBACK}:{port} ({error}); its password is in {secret}"
            raise ServerFailed(self.name, what, self.log, process.tail(self.log)) from error

    def _says_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return False
        pid = self.recorded_pid()
        # The 8th line is the state (PostgreSQL's pidfile.h); a killed server leaves it as it was.
        return len(lines) > 7 and lines[7].strip() == "ready" and pid is not None and process.runs(pid, self.program)

    async def _probe(self, port: int) -> None:
        try:
            connection = await asyncpg.connect(self.dsn(port), timeout=CONNECT_TIMEOUT_S)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(self.dsn(port, "postgres"), timeout=CONNECT_TIMEOUT_S)
            try:
                await connection.execute(f"CREATE DATABASE {DATABASE}")
            except asyncpg.DuplicateDatabaseError:
                return  # Another process was faster.
            finally:
                await connection.close(timeout=CONNECT_TIMEOUT_S)
            return
        await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def _initialise(self, programs: Programs, lock: int) -> None:
        """initdb in a folder beside, then one rename: a crash in between leaves no half-made data folder.

        initdb holds the lock too, so that one which outlives us is not disturbed by the next start. Its own sync to
        disk stays on: this is data to keep, and it costs a fraction of a second once.
        """
        account = initdb_account()
        workshop = self.folder.path / "initdb"
        shutil.rmtree(workshop, ignore_errors=True)
        (workshop / "data").mkdir(parents=True, mode=0o700)
        write_private(workshop / "password", self.password.encode())
        account.own(workshop)
        outcome = None
        with anyio.move_on_after(INITDB_TIMEOUT_S):
            outcome = await anyio.run_process(
                (
                    programs.initdb,
                    f"--pgdata={account.inside(workshop / 'data')}",
                    "--locale-provider=builtin",
                    "--locale=C.UTF-8",
                    "--encoding=UTF8",
                    "--auth-host=scram-sha-256",
                    "--auth-local=scram-sha-256",
                    "--pwfile=../password",
                    f"--username={USER}",
                    "--no-instructions",
                ),
                check=False,
                cwd=workshop / "data",
                env=process.ENVIRONMENT,
                start_new_session=True,
                pass_fds=(lock,),
                **account.identity,
            )
        if outcome is None or outcome.returncode:
            what = f"initdb took longer than {INITDB_TIMEOUT_S:.0f} s" if outcome is None else "initdb failed"
            said = outcome.stderr.decode(errors="replace").strip()[-process.TAIL_BYTES_MAX :] if outcome else ""
            raise ServerFailed(self.name, what, workshop, said)
        self.account.own(workshop / "data")
        (workshop / "data").rename(self.data)
        _sync(self.folder.postgres)
        shutil.rmtree(workshop)

    def _forget_dead_postmaster(self) -> None:
        """Remove what a killed server left when its pid is now another program's, or a zombie's.

        PostgreSQL takes any process of its account with that pid for itself and would refuse to start for ever. We hold
        the server's lock, so no server we started is alive; one started by hand still shows by its name. Without such a
        process the file stays: PostgreSQL then looks for what else the dead server left.
        """
        pid = self.recorded_pid()
        if pid is None or not process.exists(pid):
            return
        if process.runs(pid, self.program):
            raise EmbeddedError(
                f"process {pid}, not started by Troupe, serves {self.data}: stop it first (kill -INT {pid})"
            )
        (self.data / "postmaster.pid").unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
