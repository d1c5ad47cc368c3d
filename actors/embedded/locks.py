"""Advisory locks on files. The kernel drops them with the last process that holds them, so none outlives a kill -9."""

import errno
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from actors.embedded.errors import EmbeddedError

POLL_S = 0.02  # flock has no asynchronous wait.


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the exclusive lock of the file (made if need be, 0600), or None when it is held.

    The lock belongs to the open file: a process started with this descriptor holds it too, after we close ours.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of the file now."""
    descriptor = try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


async def wait_unlocked(path: Path, timeout_s: float) -> bool:
    """Wait until nobody holds the lock; False when somebody still does after `timeout_s`."""
    with anyio.move_on_after(timeout_s):
        while is_locked(path):  # noqa: ASYNC110  (there is no event to wait for)
            await anyio.sleep(POLL_S)
        return True
    return not is_locked(path)


@asynccontextmanager
async def waited_lock(path: Path, timeout_s: float) -> AsyncGenerator[None]:
    """Hold the lock of the file inside the block; EmbeddedError when it is not to be had within `timeout_s`."""
    descriptor = try_lock(path)
    with anyio.move_on_after(timeout_s):
        while descriptor is None:
            await anyio.sleep(POLL_S)
            descriptor = try_lock(path)
    if descriptor is None:
        raise EmbeddedError(f"another process has held {path} for {timeout_s:.0f} s: end it, or wait and try again")
    try:
        yield
    finally:
        os.close(descriptor)
