"""What a run came to, as one object: the answer of `run --json` and `demo --json`, and summary.json of the report."""

import msgspec

from projections.answers import RoleStatus, TaskDetail, TaskStatus
from protocol.role import ROLES


class RoleSummary(msgspec.Struct, frozen=True):
    """One role's part. `seconds` is from its assignment to its delivery (None: it has not delivered)."""

    status: RoleStatus
    seconds: float | None
    tool_calls: int
    artifacts: int


class ArtifactSummary(msgspec.Struct, frozen=True):
    """One file of the report folder: `path` is relative to it."""

    path: str
    sha256: str
    role: str


class RunSummary(msgspec.Struct, frozen=True):
    """`events` counts every event the task caused, `seconds` is from its submission to its conclusion, `report` is the
    report folder."""

    task: str
    title: str
    repo: str
    status: TaskStatus
    verdict: str
    summary: str
    roles: dict[str, RoleSummary]
    events: int
    artifacts: tuple[ArtifactSummary, ...]
    seconds: float | None
    report: str


def summarize(detail: TaskDetail, report: str) -> RunSummary:
    """The summary of a task as the task board shows it."""
    task = detail.task
    by_role = {
        row.role: RoleSummary(
            row.status, None if row.seconds is None else round(row.seconds, 3), row.tool_calls, row.artifacts
        )
        for row in detail.roles
    }
    elapsed = (task.concluded_at - task.submitted_at).total_seconds() if task.concluded_at else None
    return RunSummary(
        task=task.task,
        title=task.title,
        repo=task.repo,
        status=task.status,
        verdict=task.verdict,
        summary=task.summary,
        roles={name: by_role[name] for name in ROLES if name in by_role},
        events=task.events,
        artifacts=tuple(ArtifactSummary(f"{row.role}/{row.path}", row.sha256, row.role) for row in detail.artifacts),
        seconds=None if elapsed is None else round(elapsed, 3),
        report=report,
    )
