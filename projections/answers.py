"""What a reader of the views gets: plain rows, ready for JSON. Times are UTC, seconds are wall time."""

from datetime import date, datetime
from typing import Literal

import msgspec

from protocol.task import Contact

TaskStatus = Literal["submitted", "active", "completed", "failed"]
RoleStatus = Literal["waiting", "requested", "working", "completed", "failed"]


class TaskRow(msgspec.Struct, frozen=True):
    """One task. `events` counts every event it caused, `position` is the last of them, `quarantined` counts its
    commands whose turn broke. `roles_done` are completed or failed. `person` is the pseudonymous id of whom it
    concerns, `contact` sealed text."""

    project: str
    task: str
    title: str
    repo: str
    status: TaskStatus
    verdict: str
    summary: str
    submitted_at: datetime
    started_at: datetime | None
    concluded_at: datetime | None
    roles_total: int
    roles_done: int
    events: int
    quarantined: int
    position: int
    person: str = ""
    contact: Contact = ""


class RoleRow(msgspec.Struct, frozen=True):
    """One role of a task. `needs` are the roles it waits for, `activity` what it does now, `errors` its failed
    tool runs and completions; `seconds` is from assignment to delivery (None before). `blocked_by` are those of `needs`
    that a waiting role still waits for, `blocks` the roles that wait for this one."""

    role: str
    status: RoleStatus
    agent: str
    needs: tuple[str, ...]
    tool_calls: int
    tools_returned: int
    tools_failed: int
    tools_could_not_run: int
    tools_not_applicable: int
    errors: int
    artifacts: int
    activity: str
    assigned_at: datetime | None
    delivered_at: datetime | None
    seconds: float | None
    summary: str
    blocked_by: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()


class ArtifactRow(msgspec.Struct, frozen=True):
    """One delivered file; its bytes are the blob with that hash (hex)."""

    role: str
    path: str
    media_type: str
    sha256: str
    size_bytes: int
    position: int


class DeliveredArtifact(msgspec.Struct, frozen=True):
    """An artifact with the task it is of; `delivered_at` is its role's delivery (None: it went on after that)."""

    task: str
    role: str
    path: str
    media_type: str
    sha256: str
    size_bytes: int
    position: int
    delivered_at: datetime | None


class TaskDetail(msgspec.Struct, frozen=True):
    """A task with all that hangs on it, as of one moment. `event_counts` is by the events' type."""

    task: TaskRow
    roles: tuple[RoleRow, ...]
    artifacts: tuple[ArtifactRow, ...]
    event_counts: dict[str, int]


class HistoryLine(msgspec.Struct, frozen=True):
    """What one event was for its task (the words are those of projections/task_history.py). `event` is its reference
    ("tools/t1@3"), `causation` what it was caused by; `role` may also be the kind of another actor of the task."""

    happened: str
    role: str
    agent: str
    detail: str
    event: str
    causation: str
    position: int
    at: datetime


class AgentRow(msgspec.Struct, frozen=True):
    """One agent. `load` is in_flight / max_concurrent; `success_rate` and `average_seconds` (from engagement to end)
    are None before anything has finished. `queue_depth`: requests for its role that wait since all its agents are full.
    `errors`: failed tool runs and completions. `cost_micros` are millionths of a US dollar by list price, of the
    `priced` completions only. `parked`: roles it is at work on that cannot go on; `uptime`: the share of the time since
    it was first heard of without one (None: no time has passed)."""

    project: str
    agent: str
    role: str
    capabilities: tuple[str, ...]
    max_concurrent: int
    in_flight: int
    done: int
    failed: int
    success_rate: float | None
    load: float
    tool_calls: int
    last_seen_at: datetime
    last_seen_position: int
    status: Literal["idle", "working"]
    queue_depth: int = 0
    average_seconds: float | None = None
    errors: int = 0
    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    priced: int = 0
    cost_micros: int = 0
    parked: int = 0
    uptime: float | None = None


class EngagementRow(msgspec.Struct, frozen=True):
    """One role an agent has or had in a task. `open`: it still has it. The rest is the task board's (None: unknown)."""

    task: str
    role: str
    open: bool
    status: RoleStatus | None
    summary: str | None
    assigned_at: datetime | None
    delivered_at: datetime | None
    tool_calls: int | None
    artifacts: int | None


class UsageRow(msgspec.Struct, frozen=True):
    """Completions that are the same in all that is told apart; what is not is None. `errors` are completions given
    up, their provider and model those that were asked ("": the log does not say). `cost_micros` are millionths of a US
    dollar by list price, of the `priced` requests only."""

    day: date | None
    role: str | None
    agent: str | None
    provider: str | None
    model: str | None
    requests: int
    errors: int
    tokens_in: int
    tokens_out: int
    priced: int
    cost_micros: int


class ModelRow(msgspec.Struct, frozen=True):
    """How one model has done. `completions` came back, `failures` were given up ("" and "": the log does not say whom
    they asked); `success_rate` is of both. `latency_s` is the average time to a completion and `latency_max_s` the
    longest, of the `measured` ones only. `asked_tools` completions called a tool, `tool_calls` in all. `deliveries` are
    of roles that the model had answered, `delivered` the completed ones. A rate or average of nothing is None.
    `cost_micros` are millionths of a US dollar by list price, of the `priced` completions only."""

    provider: str
    model: str
    completions: int
    failures: int
    success_rate: float | None
    tokens_in: int
    tokens_out: int
    priced: int
    cost_micros: int
    measured: int
    latency_s: float | None
    latency_max_s: float | None
    asked_tools: int
    asked_tools_rate: float | None
    tool_calls: int
    deliveries: int
    delivered: int
    delivered_rate: float | None


class AgentDetail(msgspec.Struct, frozen=True):
    """An agent with what it works or worked on, those at work first, and its use of language models."""

    agent: AgentRow
    engagements: tuple[EngagementRow, ...]
    usage: tuple[UsageRow, ...]


class EventCountRow(msgspec.Struct, frozen=True):
    """How many events of one type the streams of one kind have, and the last of them."""

    kind: str
    type: str
    events: int
    last_at: datetime
    last_position: int


class ViewRow(msgspec.Struct, frozen=True):
    """Where a view stands. `<view>.next` is a version still being built."""

    name: str
    version: int
    position: int


class RoleHealth(msgspec.Struct, frozen=True):
    """A role at work in a task; `seconds` counts on until it delivers."""

    role: str
    agent: str
    status: RoleStatus
    tool_calls: int
    seconds: float
    errors: int


class TaskHealth(msgspec.Struct, frozen=True):
    """How a run is doing. Tool runs are those that ended; `view_position` is the slowest view's, never beyond the
    head unless the log was restored."""

    roles: tuple[RoleHealth, ...]
    events: int
    tool_runs: int
    tool_runs_failed: int
    tool_runs_could_not_run: int
    quarantined: int
    head_position: int
    view_position: int
    elapsed_s: float


class StandingRow(msgspec.Struct, frozen=True):
    """How a view does: what it has yet to fold, in events and as the age of the first of them; the streams it leaves
    out; and the last comparison with a fold aside (None: never, of this build). `<view>.next` is a build beside."""

    name: str
    version: int
    position: int
    lag_events: int
    lag_s: float
    quarantined: int
    verified_at: datetime | None
    verified_position: int | None
    verified_differences: int | None
