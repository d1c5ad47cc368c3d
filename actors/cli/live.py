"""The roles at work: a live table on a terminal, else one line a change. Always on stderr, never data."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.cli import output
from projections.answers import RoleRow, TaskDetail
from protocol.role import ROLES

REFRESH_HZ = 4.0
_STYLES = {"waiting": "dim", "requested": "dim", "working": "cyan", "completed": "green", "failed": "red"}


class Progress(Protocol):
    """What is told of a task while it is followed."""

    def show(self, detail: TaskDetail) -> None:
        """The task as it stands now."""
        ...

    def remark(self, line: str) -> None:
        """Something the user should know beside it."""
        ...


@contextmanager
def progress() -> Generator[Progress]:
    """The progress that fits stderr."""
    console = output.to_stderr()
    if not sys.stderr.isatty() or console.is_dumb_terminal:  # FORCE_COLOR makes no terminal of a file.
        yield LineProgress()
        return
    with Live(console=console, refresh_per_second=REFRESH_HZ, auto_refresh=True) as live:
        yield TableProgress(live)


class TableProgress:
    """One row a role, redrawn in place; the last state stays on the screen."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, detail: TaskDetail) -> None:
        self._live.update(roles_table(detail, datetime.now(UTC)))

    def remark(self, line: str) -> None:
        self._live.console.print(Text(output.plain(line), style="yellow"))


class LineProgress:
    """One line for each change of a role's status or activity."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def show(self, detail: TaskDetail) -> None:
        for row in detail.roles:
            line = _line(row)
            if line and self._shown.get(row.role) != line:
                self._shown[row.role] = line
                output.note(f"{row.role:<16} {line}")

    def remark(self, line: str) -> None:
        output.note(line)


def roles_table(detail: TaskDetail, now: datetime) -> Table:
    """All thirteen roles, those that have not been planned yet as waiting."""
    rows = {row.role: row for row in detail.roles}
    task = detail.task
    elapsed_s = max(0.0, ((task.concluded_at or now) - task.submitted_at).total_seconds())
    done = sum(row.status in ("completed", "failed") for row in detail.roles)
    caption = f"{task.task} · {done} of {len(ROLES)} roles · {task.events} events · {elapsed_s:.0f} s"
    table = Table(box=None, pad_edge=False, expand=True, header_style="bold", caption=caption, caption_justify="left")
    table.add_column("Role", no_wrap=True, min_width=max(map(len, ROLES)))
    table.add_column("Status", no_wrap=True, min_width=max(map(len, _STYLES)))
    table.add_column("Doing", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("Tools", "Files", "Seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for name in sorted(rows.keys() | set(ROLES), key=_place):
        table.add_row(*_cells(name, rows.get(name), now))
    return table


def _cells(name: str, row: RoleRow | None, now: datetime) -> tuple[Text, ...]:
    status = row.status if row else "waiting"
    style = _STYLES.get(status, "")
    if row is None:
        return tuple(Text(cell, style=style) for cell in (name, status, "", "", "", ""))
    seconds = _seconds(row, now)
    doing = row.summary if status in ("completed", "failed") else row.activity
    figures = (str(row.tool_calls or ""), str(row.artifacts or ""), "" if seconds is None else f"{seconds:.1f}")
    return (Text(name), Text(status, style=style), Text(output.plain(doing), style="dim"), *map(Text, figures))


def _seconds(row: RoleRow, now: datetime) -> float | None:
    if row.seconds is not None or row.assigned_at is None:
        return row.seconds
    return max(0.0, (now - row.assigned_at).total_seconds())


def _line(row: RoleRow) -> str:
    if row.status in ("completed", "failed"):
        took = "" if row.seconds is None else f" in {row.seconds:.1f} s"
        return f"{row.status}{took}: {row.summary}"
    if row.status == "working":
        return row.activity and f"working: {row.activity}"
    return ""


def _place(name: str) -> tuple[int, str]:
    return (ROLES.index(name), "") if name in ROLES else (len(ROLES), name)
