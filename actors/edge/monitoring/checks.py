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
VIEW_LAG_S_MAX = 60.0  # So is a view that stands still, however little it has missed.


class Verdict(msgspec.Struct, frozen=True):
    """One check: `reason` says why it is not ok ("": it is), `note` what somebody should see to all the same."""

    ok: bool
    reason: str = ""
    note: str | msgspec.UnsetType = msgspec.UNSET


Reason = Callable[[], Awaitable[str]]
Check = Reason | Callable[[], Awaitable[str | Verdict]]  # A text is the reason ("": all is well).


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
        found: str | Verdict = f"no answer within {CHECK_S_MAX:g} s"
        with anyio.move_on_after(CHECK_S_MAX):
            found = await check()
        verdicts[name] = found if isinstance(found, Verdict) else Verdict(not found, found)

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


def progress_check(progress: Progress) -> Reason:
    """What waits for this process is decided."""

    async def check() -> str:
        return progress.stalled and f"{progress.stalled}; end this process, others take over"

    return check


def nats_check(client: Callable[[], Client], stream: str) -> Reason:
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


def postgres_check(log: Log) -> Reason:
    """PostgreSQL answers."""

    async def check() -> str:
        try:
            await log.head()
        except StoreError as error:
            return str(error)
        return ""

    return check


def views_check(queries: Queries, views: Sequence[View], failures: Mapping[str, ProjectionError]) -> Check:
    """Every view follows the log, at most VIEW_LAG_EVENTS_MAX and VIEW_LAG_S_MAX behind it. Streams that one leaves
    out are noted: what it says of all others holds."""

    async def check() -> str | Verdict:
        if failures:
            return "; ".join(str(failure) for failure in failures.values())
        try:
            standing = {(row.name, row.version): row for row in await queries.standing()}
        except (StoreError, ProjectionError) as error:
            return str(error)
        missing = [view.name for view in views if (view.name, view.version) not in standing]
        if missing:
            return f"not built yet: {', '.join(missing)}"
        rows = [standing[view.name, view.version] for view in views]
        late = [
            f"{row.name} is {row.lag_events} events and {row.lag_s:.0f} s behind"
            for row in rows
            if row.lag_events > VIEW_LAG_EVENTS_MAX or row.lag_s > VIEW_LAG_S_MAX
        ]
        reason = f"{', '.join(late)}, limits {VIEW_LAG_EVENTS_MAX} events and {VIEW_LAG_S_MAX:g} s" if late else ""
        out = [f"{row.name} leaves out {row.quarantined} streams" for row in rows if row.quarantined]
        return Verdict(not late, reason, ", ".join(out)) if out else reason

    return check


def leases_check(leases: Leases) -> Reason:
    """This process may write."""

    async def check() -> str:
        return "" if leases.fresh else "the leases have run out and could not be renewed; nothing is committed"

    return check
