"""Every run of a tool, from its call to its return, and what each tool comes to.

A run is `running` until its return is in the log; one that never returned is shown so for ever. The tools' actor
records one return for a call, so the totals are the sums over the runs. Time is kept in whole microseconds, so that the
order of adding changes nothing.
"""

from datetime import datetime

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.tools import ToolCalled, ToolReturned

RUNNING = "running"
MICROS = 1_000_000
TYPES: tuple[type[Event], ...] = (ToolCalled, ToolReturned)


class ToolRun(Row, kw_only=True):
    """One call: `call` is its event ("tools/t1@3"), `request` the role's own name for it. `status` is `running` or
    that of its result. `run_us` is the tool's own wall time in microseconds (0: not measured)."""

    project: str
    call: str
    task: str
    role: str
    tool: str
    request: str = ""
    status: str = RUNNING
    run_us: int = 0
    findings: int = 0
    sandbox: str = ""
    summary: str = ""
    called_at: datetime | None = None
    returned_at: datetime | None = None


class ToolTotal(Row, kw_only=True):
    """One tool of a project: how often it was called, and how its runs ended."""

    project: str
    tool: str
    runs: int = 0
    ok: int = 0
    not_applicable: int = 0
    could_not_run: int = 0
    failed: int = 0
    run_us: int = 0
    run_max_us: int = 0
    findings: int = 0


def _later_run(earlier: ToolRun, later: ToolRun) -> None:
    if later.called_at is not None:
        earlier.request, earlier.called_at = later.request, later.called_at
    if later.returned_at is not None:
        earlier.status, earlier.returned_at, earlier.run_us = later.status, later.returned_at, later.run_us
        earlier.findings, earlier.sandbox, earlier.summary = later.findings, later.sandbox, later.summary


def _later_total(earlier: ToolTotal, later: ToolTotal) -> None:
    earlier.runs += later.runs
    earlier.ok += later.ok
    earlier.not_applicable += later.not_applicable
    earlier.could_not_run += later.could_not_run
    earlier.failed += later.failed
    earlier.run_us += later.run_us
    earlier.run_max_us = max(earlier.run_max_us, later.run_max_us)
    earlier.findings += later.findings


RUNS = Table("tool_runs", ToolRun, ("project", "call"), merge=_later_run)
TOTALS = Table("tool_totals", ToolTotal, ("project", "tool"), merge=_later_total)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """A call begins a run, a return ends it. Either may come alone: a range of the log may have no more."""
    match event:
        case ToolCalled(role=role, tool=tool, request=request):
            run = _run(recorded, recorded.reference, role, tool, rows)
            run.request, run.called_at = request, recorded.at
            _total(recorded, tool, rows).runs += 1
        case ToolReturned():
            _returned(recorded, event, rows)
        case _:
            return


def _returned(recorded: Recorded, event: ToolReturned, rows: Rows) -> None:
    run_us = round(event.seconds * MICROS)
    run = _run(recorded, event.call, event.role, event.tool, rows)
    run.status, run.returned_at, run.run_us = event.status, recorded.at, run_us
    run.findings, run.sandbox, run.summary = event.findings, event.sandbox, event.summary
    total = _total(recorded, event.tool, rows)
    match event.status:
        case "ok":
            total.ok += 1
        case "not_applicable":
            total.not_applicable += 1
        case "could_not_run":
            total.could_not_run += 1
        case "failed":
            total.failed += 1
    total.run_us += run_us
    total.run_max_us = max(total.run_max_us, run_us)
    total.findings += event.findings


def _run(recorded: Recorded, call: str, role: str, tool: str, rows: Rows) -> ToolRun:
    name, task = recorded.address.project, recorded.address.name
    return rows.find(RUNS, name, call) or rows.add(
        RUNS, ToolRun(project=name, call=call, task=task, role=role, tool=tool)
    )


def _total(recorded: Recorded, tool: str, rows: Rows) -> ToolTotal:
    name = recorded.address.project
    return rows.find(TOTALS, name, tool) or rows.add(TOTALS, ToolTotal(project=name, tool=tool))


VIEW = View("tool_runs", 1, "tool_runs_schema", (RUNS, TOTALS), TYPES, project)
