"""Who uses the servers, and who stops them: the last user out, whoever started them.

Every user holds a shared lock for as long as it uses them, and the kernel drops it with the process: what a killed
company left running is stopped by the next one that ends. Nobody's servers are stopped under them.
"""

import fcntl
import os
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder
from actors.embedded.locks import POLL_S, try_lock
from actors.embedded.servers import SERVERS, Servers, start_servers, stop_servers

SHARE_TIMEOUT_S = 60.0  # Longer than the last user may take to stop both servers.


@asynccontextmanager
async def use_servers(folder: StateFolder, want: Collection[str] = SERVERS) -> AsyncGenerator[Servers]:
    """Have the wanted servers running inside the block; the last user of the folder stops them."""
    if not want:
        yield Servers("", "", "", frozenset())
        return
    users = folder.path / "users.lock"
    descriptor = await _share(users)
    try:
        yield await start_servers(folder, want=want)
    finally:
        os.close(descriptor)
        with anyio.CancelScope(shield=True):
            await _stop_if_last(folder, users)


async def _stop_if_last(folder: StateFolder, users: Path) -> None:
    alone = try_lock(users)
    if alone is None:
        return
    try:  # Newcomers wait for this lock, and then start the servers again.
        await stop_servers(folder)
    finally:
        os.close(alone)


async def _share(path: Path) -> int:
    """A descriptor that holds the shared lock of the file; waits while a last user is stopping the servers."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with anyio.move_on_after(SHARE_TIMEOUT_S):
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    await anyio.sleep(POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
    raise EmbeddedError(
        f"the servers of {path.parent} have been stopping for {SHARE_TIMEOUT_S:.0f} s: see its logs, try again"
    )
