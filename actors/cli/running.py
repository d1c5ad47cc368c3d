"""Runs a command's coroutine: signals end it cleanly, errors become one line and an exit code."""

import errno
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import anyio
import anyio.abc
import structlog

from actors.cli import output
from actors.cli.client import NoReply, Unreachable
from actors.cli.exits import Exit, Stop
from actors.host import HostError
from actors.runtime.ports import BusUnavailable
from actors.runtime.replays import InUse, OtherChoice
from actors.runtime.republish import NotTaken
from eventstore.store import StoreError, StoreUnavailable
from projections.errors import ProjectionError, ViewAhead
from protocol.subjects import BadSubject

Work = Callable[[], Awaitable[int]]

_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (StoreUnavailable, Exit.UNAVAILABLE),
    (BusUnavailable, Exit.UNAVAILABLE),
    (Unreachable, Exit.UNAVAILABLE),
    (NoReply, Exit.UNAVAILABLE),
    (NotTaken, Exit.UNAVAILABLE),
    (InUse, Exit.UNAVAILABLE),
    (OtherChoice, Exit.USAGE),
    (ViewAhead, Exit.DIVERGENCE),
    (ProjectionError, Exit.FAILURE),
    (StoreError, Exit.FAILURE),
    (BadSubject, Exit.USAGE),
)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def execute(work: Work) -> int:
    """Run `work` to its end; its exit code. SIGINT and SIGTERM cancel it once, so that it drains and stops what it
    started; a second one ends the process at once. Errors nobody named are bugs and keep their traceback."""
    _silence_logging()
    try:
        return anyio.run(_supervised, work)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BaseException as error:
        known = [_ending(leaf) for leaf in _leaves(error)]
        if None in known:
            raise
        code, message = next(ending for ending in known if ending is not None)
        if message:
            output.note(f"troupe: {message}")
        return code


async def _supervised(work: Work) -> int:
    code = int(Exit.INTERRUPTED)
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            await group.start(_watch_signals, scope)
            code = await work()
        group.cancel_scope.cancel()
    return code


async def _watch_signals(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if scope.cancel_called:
                os._exit(Exit.INTERRUPTED)
            output.note("troupe: stopping; once more to stop at once")
            scope.cancel()


def _ending(error: BaseException) -> tuple[int, str] | None:
    """Code and message of an error that is meant for the user; None for a bug."""
    if isinstance(error, Stop):
        return error.code, error.message
    if isinstance(error, HostError):
        return (Exit.USAGE if error.code == "usage" else Exit.UNAVAILABLE), error.message
    if isinstance(error, BrokenPipeError):
        # The reader of our output has seen enough. Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.OK, ""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return Exit.UNAVAILABLE, f"cannot write ({error}): free some space; the same command then goes on"
    for type_, code in _CODES:
        if isinstance(error, type_):
            return code, str(error)
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            yield from _leaves(part)  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield error


def _silence_logging() -> None:
    """Log lines belong into the company's log file, which the host opens; without a company there is none."""
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
