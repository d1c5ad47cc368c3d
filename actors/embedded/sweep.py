"""Ends what a killed process left of its ephemeral state folder: servers that still run, and the folder itself."""

import os
import shutil
import tempfile
from pathlib import Path

from actors.embedded.folder import EPHEMERAL_LOCK, EPHEMERAL_PREFIX, StateFolder
from actors.embedded.locks import try_lock
from actors.embedded.servers import stop_servers


async def sweep_ephemeral() -> None:
    """Stop the servers and remove the files of every ephemeral folder of ours whose process is dead. EmbeddedError."""
    for path in _ephemeral_folders():
        try:
            descriptor = try_lock(path / EPHEMERAL_LOCK)
        except FileNotFoundError:  # It has just been removed.
            continue
        if descriptor is None:
            continue
        try:
            await stop_servers(StateFolder(path))
            shutil.rmtree(path)
        finally:
            os.close(descriptor)


def _ephemeral_folders() -> list[Path]:
    return [path for path in Path(tempfile.gettempdir()).glob(f"{EPHEMERAL_PREFIX}*") if _ours(path)]


def _ours(path: Path) -> bool:
    """A folder of this user, not a link, that `StateFolder.ephemeral` has finished making."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    private = status.st_uid == os.geteuid() and (status.st_mode & 0o7777) == 0o700
    return private and path.is_dir() and not path.is_symlink() and (path / EPHEMERAL_LOCK).exists()
