"""The state folder: everything a company keeps on this machine, under one path, for one user.

    company.lock   held by the running company; the kernel frees it when the process dies
    layout         the version of this layout: a folder of another version or origin is refused, never guessed at
    servers.json   which servers run (pid, port, start time); 0600
    secrets/       one file a secret; 0600
    postgres/ nats/ workspaces/ logs/
    companies/     a folder for each other company on the same servers (a fork's): its lock, log, workspaces, reports

The folder is 0700 and belongs to the user who opened it. Its parents are never changed.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from actors.embedded.errors import FolderLocked, ForeignFolder
from actors.embedded.locks import try_lock

LAYOUT_VERSION = 1
_LAYOUT = "layout"
_COMPANY_LOCK = "company.lock"
EPHEMERAL_PREFIX = "troupe-"
EPHEMERAL_LOCK = "ephemeral.lock"
_PARTS = ("postgres", "nats", "workspaces", "logs", "secrets")
SECRET_BYTES = 32
PID_BYTES_MAX = 32


@dataclass(frozen=True)
class StateFolder:
    """An opened state folder. Make one with `open` or `ephemeral`. `company`: which of the companies on its servers is
    meant ("": the folder's first one)."""

    path: Path
    company: str = ""

    @classmethod
    def open(cls, path: Path | str | None = None, environment: Mapping[str, str] = os.environ) -> Self:
        """The folder `path`, else $TROUPE_STATE, else ${XDG_STATE_HOME:-~/.local/state}/troupe/default.

        Made if need be. ForeignFolder when something else is there, or it belongs to another user or another version
        of the layout.
        """
        return cls(_prepared((Path(path) if path else default_path(environment)).expanduser().absolute()))

    @classmethod
    @contextmanager
    def ephemeral(cls) -> Generator[Self]:
        """A new folder for temporary files, removed at the end: stop the servers in it before.

        What a kill -9 leaves of it is found by `sweep.sweep_ephemeral`.
        """
        path = Path(tempfile.mkdtemp(prefix=EPHEMERAL_PREFIX))
        folder = cls(_prepared(path))
        descriptor = try_lock(folder.path / EPHEMERAL_LOCK)  # While it is held nobody sweeps the folder away.
        try:
            yield folder
        finally:
            shutil.rmtree(folder.path)
            if descriptor is not None:
                os.close(descriptor)

    def of(self, company: str) -> Self:
        """The same folder for another company on its servers."""
        folder = type(self)(self.path, company)
        for part in ("workspaces", "logs"):
            (folder.own / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def own(self) -> Path:
        """What belongs to this company alone."""
        return self.path / "companies" / self.company if self.company else self.path

    @property
    def company_log(self) -> Path:
        return self.own / "logs" / "company.log"

    @property
    def reports(self) -> Path:
        return self.own / "reports"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def workspaces(self) -> Path:
        return self.own / "workspaces"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        """Be the one company on this folder inside the block. FolderLocked, at once, when another is."""
        lock = self.own / _COMPANY_LOCK
        descriptor = try_lock(lock)
        if descriptor is None:
            raise FolderLocked(self.own, self.holder())
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def holder(self) -> int | None:
        """The pid the last company wrote on taking the lock and has not cleared; only FolderLocked proves it lives."""
        try:
            text = (self.own / _COMPANY_LOCK).read_bytes()[:PID_BYTES_MAX]
        except FileNotFoundError:
            return None
        return int(text) if text.strip().isdigit() else None

    def secret(self, name: str) -> str:
        """The secret of that name, made of SECRET_BYTES random bytes at its first use. Safe inside a URL."""
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(SECRET_BYTES).encode(), replace=False)
        return path.read_text(encoding="ascii").strip()


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the state folder is when no path is given. ForeignFolder when there is no home directory."""
    if chosen := environment.get("TROUPE_STATE"):
        return Path(chosen)
    state_home = Path(environment.get("XDG_STATE_HOME", ""))
    if not state_home.is_absolute():  # The XDG base directory specification: a relative path is to be ignored.
        try:
            state_home = Path.home() / ".local" / "state"
        except RuntimeError as error:
            raise ForeignFolder(
                "there is no home directory for the state folder: set TROUPE_STATE to a path"
            ) from error
    return state_home / "troupe" / "default"


def write_private(path: Path, content: bytes, replace: bool = True) -> None:
    """Replace the file by one of mode 0600 with `content`; a crash leaves the old file or the new one, whole. Without
    `replace` the file that is there stays, also one that another process makes at the same time."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            with suppress(FileExistsError):
                os.link(partial, path)
            partial.unlink()
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _prepared(path: Path) -> Path:
    try:
        _make(path)
        path = path.resolve()
        owner = path.stat().st_uid
        if owner != os.geteuid():
            raise ForeignFolder(
                f"the state folder {path} belongs to the user with uid {owner}: run as that user, or choose another "
                "folder with TROUPE_STATE"
            )
        _check_layout(path)
        path.chmod(0o700)
        for part in _PARTS:
            (path / part).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ForeignFolder(f"cannot use {path} as state folder ({error}): choose another with TROUPE_STATE") from error
    return path


def _make(path: Path) -> None:
    """Like mkdir -p, but every folder it makes is 0700."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise ForeignFolder(f"{path} is not a folder: choose another state folder with TROUPE_STATE")


def _check_layout(path: Path) -> None:
    layout = path / _LAYOUT
    try:
        found = layout.read_text(encoding="utf-8", errors="replace").strip()[:PID_BYTES_MAX]
    except FileNotFoundError:
        # Written before anything else, so a folder with content and without it was not made by us. What a crash while
        # writing it leaves behind is ours.
        if any(not each.name.startswith(f".{_LAYOUT}.") for each in path.iterdir()):
            raise ForeignFolder(
                f"{path} holds files and no {_LAYOUT!r} file, so it is not a state folder: choose an empty or a new "
                "folder with TROUPE_STATE"
            ) from None
        write_private(layout, f"{LAYOUT_VERSION}\n".encode())
        return
    if found != str(LAYOUT_VERSION):
        raise ForeignFolder(
            f"the state folder {path} has layout {found!r}, this version uses {LAYOUT_VERSION}: use the version of "
            "Troupe that made it, or choose another folder with TROUPE_STATE"
        )
