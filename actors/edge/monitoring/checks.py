"""Whether the company can do its work now: each check says why not, in words, within CHECK_S_MAX and what it takes to
let go of a connection that hangs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import anyio
import msgspec
import nats.errors
from nats.aio.client import Client

from eventstore.store import Log, StoreError
from projections.errors import ProjectionError
from projections.queries import Queries
from projections.view import View

CHECK_S_MAX = 2.0
VIEW_LAG_EVENTS_MAX = 5_000  # Further behind the log the views are of no use to anyone who looks.

Check = Callable[[], Awaitable[str]]


class Verdict(msgspec.Struct, frozen=True):
    """One check: `reason` says why it is not ok ("": it is)."""

    ok: bool
    reason: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """The answer of /readyz."""

    status: str
    checks: dict[str, Verdict]

    @property
    def ready(self) -> bool:
        return all(verdict.ok for verdict in self.checks.values())


async def examine(checks: Mapping[str, Check]) -> Readiness:
    """All checks side by side. One that takes longer than CHECK_S_MAX is not ok."""
    verdicts: dict[str, Verdict] = {}

    async def run(name: str, check: Check) -> None:
        reason = f"no answer within {CHECK_S_MAX:g} s"
        with anyio.move_on_after(CHECK_S_MAX):
            reason = await check()
        verdicts[name] = Verdict(not reason, reason)

    async with anyio.create_task_group() as group:
        for name, check in checks.items():
            group.start_soon(run, name, check)
    ready = all(verdict.ok for verdict in verdicts.values())
    return Readiness("ready" if ready else "not ready", {name: verdicts[name] for name in checks})


class Leases(Protocol):
    """What the check of the leases asks (actors.runtime.ownership.Ownership)."""

    @property
    def fresh(self) -> bool:
        """Whether there is time enough left on every lease to start a commit."""
        ...


class Progress(Protocol):
    """What the check of the progress asks (actors.runtime.progress.Progress)."""

    @property
    def stalled(self) -> str:
        """What does not move ("": all is well)."""
        ...


def progress_check(progress: Progress) -> Check:
    """What waits for this process is decided."""

    async def check() -> str:
        return progress.stalled and f"{progress.stalled}; end this process, others take over"

    return check


def nats_check(client: Callable[[], Client], stream: str) -> Check:
    """NATS answers for the stream of commands. An open connection to a stopped server proves nothing."""

    async def check() -> str:
        connection = client()
        if not connection.is_connected:
            return "not connected to NATS; it is tried again for ever"
        try:
            await connection.jetstream(timeout=CHECK_S_MAX).stream_info(stream)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            return f"NATS does not answer for the stream {stream}: {type(error).__name__}: {error}"
        return ""

    return check


def postgres_check(log: Log) -> Check:
    """PostgreSQL answers."""

    async def check() -> str:
        try:
            await log.head()
        except StoreError as error:
            return str(error)
        return ""

    return check


def views_check(log: Log, queries: Queries, views: Sequence[View], failures: Mapping[str, ProjectionError]) -> Check:
    """Every view follows the log, at most VIEW_LAG_EVENTS_MAX behind it."""

    async def check() -> str:
        if failures:
            return "; ".join(str(failure) for failure in failures.values())
        try:
            standing = {(row.name, row.version): row.position for row in await queries.views()}
            head = await log.head()
        except (StoreError, ProjectionError) as error:
            return str(error)
        missing = [view.NAME for view in views if (view.NAME, view.VERSION) not in standing]
        if missing:
            return f"not built yet: {', '.join(missing)}"
        lag = {view.NAME: head - standing[(view.NAME, view.VERSION)] for view in views}
        late = [f"{name} is {events} events behind" for name, events in lag.items() if events > VIEW_LAG_EVENTS_MAX]
        return f"{', '.join(late)}, limit {VIEW_LAG_EVENTS_MAX}" if late else ""

    return check


def leases_check(leases: Leases) -> Check:
    """This process may write."""

    async def check() -> str:
        return "" if leases.fresh else "the leases have run out and could not be renewed; nothing is committed"

    return check
