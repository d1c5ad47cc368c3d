"""Typed reads of the views. Each answer is one snapshot; every read names its project.

A view trails the log by a moment. Who must see an event's consequence waits with `at_least(position)` first, for
instance with the position from the reply to a command.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Literal, TypeVar

import anyio
import asyncpg
import msgspec

from eventstore.store import Log, StoreError
from projections import (
    agent_board,
    artifacts,
    dead_letters,
    decisions,
    event_counts,
    memory_stats,
    model_performance,
    task_board,
    task_history,
    timeline,
    tool_runs,
    usage,
)
from projections.answers import (
    AgentDetail,
    AgentRow,
    ArtifactRow,
    DeliveredArtifact,
    EngagementRow,
    EventCountRow,
    HistoryLine,
    ModelRow,
    RoleHealth,
    RoleRow,
    StandingRow,
    TaskDetail,
    TaskHealth,
    TaskRow,
    UsageRow,
    ViewRow,
)
from projections.errors import ViewBehind, ViewMissing
from projections.statement import sql
from projections.tables import Connection, Pool, transaction
from projections.view import View

VIEWS: tuple[View, ...] = (  # The views the company keeps.
    task_board.VIEW,
    task_history.VIEW,
    agent_board.VIEW,
    artifacts.VIEW,
    decisions.VIEW,
    timeline.VIEW,
    usage.VIEW,
    model_performance.VIEW,
    tool_runs.VIEW,
    memory_stats.VIEW,
    dead_letters.VIEW,
    event_counts.VIEW,
)
TASKS_MAX = 100  # Rows of one list of tasks, newest first.
HISTORY_LINES_MAX = 1_000
AGENTS_MAX = 1_000
ENGAGEMENTS_MAX = 50  # Rows of one agent's work, the latest.
ARTIFACTS_MAX = 200
USAGE_ROWS_MAX = 10_000
MODELS_MAX = 1_000
EVENT_COUNTS_MAX = 10_000
VIEW_WAIT_S = 10.0
POLL_S_MIN = 0.01
POLL_S_MAX = 0.2

Dimension = Literal["day", "role", "agent", "provider", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("day", "role", "agent", "provider", "model")

R = TypeVar("R", bound=msgspec.Struct)


class Queries:
    """Reads of one installation's views. `pool` is PostgresStore.pool. Every method can raise StoreUnavailable, and
    ViewMissing where the views were never built or are of another version."""

    def __init__(self, log: Log, pool: Pool) -> None:
        self._source = log
        self._pool = pool

    async def tasks(self, project: str, limit: int = TASKS_MAX) -> list[TaskRow]:
        """The project's tasks, newest first, at most `limit`."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, TaskRow, "list_tasks", project, limit)

    async def task(self, project: str, task: str) -> TaskDetail | None:
        """One task with roles (in the order of the plan), artifacts and event counts, or None."""
        async with self._snapshot() as snapshot:
            return await _detail(snapshot, project, task)

    async def task_history(
        self, project: str, task: str, after: int = 0, limit: int = HISTORY_LINES_MAX
    ) -> list[HistoryLine]:
        """What happened in a task, in order, behind the position `after`, at most `limit` lines."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, HistoryLine, "list_task_history", project, task, after, limit)

    async def agents(self, project: str, limit: int = AGENTS_MAX, at: datetime | None = None) -> list[AgentRow]:
        """The project's agents by name, at most `limit`, their uptime as of `at` (None: now)."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, AgentRow, "list_agents", project, None, limit, at)

    async def agent(self, project: str, agent: str, limit: int = ENGAGEMENTS_MAX) -> AgentDetail | None:
        """One agent with at most `limit` of its engagements, and its use of language models by day and model, or
        None."""
        async with self._snapshot() as snapshot:
            rows = await _read(snapshot, AgentRow, "list_agents", project, agent, 1, None)
            if not rows:
                return None
            work = await _read(snapshot, EngagementRow, "list_agent_engagements", project, agent, limit)
            used = await _usage(snapshot, project, ("day", "provider", "model"), agent=agent)
        return AgentDetail(rows[0], tuple(work), tuple(used))

    async def artifacts(
        self, project: str, task: str | None = None, role: str | None = None, limit: int = ARTIFACTS_MAX
    ) -> list[DeliveredArtifact]:
        """The project's artifacts (of one task, of one role), the latest delivery first, at most `limit`."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, DeliveredArtifact, "list_artifacts", project, task, role, limit)

    async def artifact(self, project: str, task: str, role: str, path: str) -> DeliveredArtifact | None:
        """One artifact, or None. Its bytes are the log's blob of its hash."""
        async with self._snapshot() as snapshot:
            found = await _read(snapshot, DeliveredArtifact, "find_artifact", project, task, role, path)
        return found[0] if found else None

    async def usage(
        self,
        project: str,
        apart: Sequence[Dimension] = DIMENSIONS,
        since: date | None = None,
        until: date | None = None,
    ) -> list[UsageRow]:
        """The project's use of language models from day to day (UTC, both included), told apart by `apart`."""
        async with self._snapshot() as snapshot:
            return await _usage(snapshot, project, apart, since, until)

    async def models(self, project: str, since: date | None = None, until: date | None = None) -> list[ModelRow]:
        """How each language model of the project has done from day to day (UTC, both included), by its name."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, ModelRow, "list_model_performance", project, since, until, MODELS_MAX)

    async def log_counts(self, project: str, kind: str | None = None) -> list[EventCountRow]:
        """How many events of each type the project has (of one kind of stream), by kind and type."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, EventCountRow, "list_event_counts", project, kind, EVENT_COUNTS_MAX)

    async def event_counts(self, project: str, task: str) -> dict[str, int]:
        """How many events of each type a task has caused; empty for a task that does not exist."""
        async with self._snapshot() as snapshot:
            return await _event_counts(snapshot, project, task)

    async def health(self, project: str, task: str, at: datetime) -> TaskHealth | None:
        """How the run is doing at the time `at` (None: no such task). What has not ended yet is counted up to `at`."""
        async with self._snapshot() as snapshot:
            detail = await _detail(snapshot, project, task)
            positions = {row.name: row.position for row in await _read(snapshot, ViewRow, "list_views")}
        if detail is None:
            return None
        # After the snapshot: so the views can never seem to be ahead of the log.
        return _health(detail, min(positions[view.name] for view in VIEWS), await self._source.head(), at)

    async def views(self) -> list[ViewRow]:
        """Where every view stands, by name."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, ViewRow, "list_views")

    async def standing(self) -> list[StandingRow]:
        """How every view does, by name: lag, quarantined streams, last verification."""
        async with self._snapshot() as snapshot:
            return await _read(snapshot, StandingRow, "list_standing")

    async def at_least(
        self, position: int, views: Sequence[View] = VIEWS, timeout_s: float = VIEW_WAIT_S
    ) -> dict[str, int]:
        """Wait until each of `views` has folded `position`; where each stands then. ViewBehind after `timeout_s`."""
        pause_s, standing = POLL_S_MIN, dict[str, int]()
        with anyio.move_on_after(timeout_s):
            while True:
                versions = {(row.name, row.version): row.position for row in await self.views()}
                standing = {view.name: versions.get((view.name, view.version), -1) for view in views}
                if all(reached >= position for reached in standing.values()):
                    return standing
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, POLL_S_MAX)
        late = ", ".join(
            f"{name} at {reached}" if reached >= 0 else f"{name} not built in this version"
            for name, reached in standing.items()
            if reached < position
        )
        raise ViewBehind(
            f"after {timeout_s:g} s the views are not at position {position}: {late or 'PostgreSQL gave no answer'}. "
            "The company folds them while it runs; its log says so if one of them had to stop"
        )

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Connection]:
        doing = "read the views"
        try:
            async with transaction(self._pool, doing, "begin isolation level repeatable read, read only") as connection:
                yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            raise ViewMissing(
                f"the views are not there or of another version ({error}): start the company once, it builds them"
            ) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreError(f"{doing}: {type(error).__name__}: {error}") from error


async def _read(snapshot: Connection, row_type: type[R], name: str, *args: Any) -> list[R]:
    rows = await snapshot.fetch(sql(name), *args)
    return [msgspec.convert(dict(row), row_type) for row in rows]


async def _detail(snapshot: Connection, project: str, task: str) -> TaskDetail | None:
    rows = await _read(snapshot, TaskRow, "show_task", project, task)
    if not rows:
        return None
    return TaskDetail(
        rows[0],
        tuple(await _read(snapshot, RoleRow, "list_task_roles", project, task)),
        tuple(await _read(snapshot, ArtifactRow, "list_task_artifacts", project, task)),
        await _event_counts(snapshot, project, task),
    )


async def _usage(
    snapshot: Connection,
    project: str,
    apart: Sequence[Dimension],
    since: date | None = None,
    until: date | None = None,
    agent: str | None = None,
) -> list[UsageRow]:
    return await _read(snapshot, UsageRow, "list_usage", project, since, until, list(apart), agent, USAGE_ROWS_MAX)


async def _event_counts(snapshot: Connection, project: str, task: str) -> dict[str, int]:
    return {row["type"]: row["events"] for row in await snapshot.fetch(sql("count_task_events"), project, task)}


def _health(detail: TaskDetail, view_position: int, head_position: int, at: datetime) -> TaskHealth:
    task = detail.task
    return TaskHealth(
        tuple(
            RoleHealth(
                row.role,
                row.agent,
                row.status,
                row.tool_calls,
                _seconds(row.assigned_at, row.delivered_at or at) if row.seconds is None else row.seconds,
                row.errors,
            )
            for row in detail.roles
        ),
        task.events,
        sum(row.tools_returned for row in detail.roles),
        sum(row.tools_failed for row in detail.roles),
        sum(row.tools_could_not_run for row in detail.roles),
        task.quarantined,
        head_position,
        view_position,
        _seconds(task.submitted_at, task.concluded_at or at),
    )


def _seconds(since: datetime | None, until: datetime) -> float:
    """From `since` to `until`, 0 when it has not begun. Clocks of two machines may disagree: never below 0."""
    return max(0.0, (until - since).total_seconds()) if since else 0.0
