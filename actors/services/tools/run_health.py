"""run.health: how this run of the company itself is doing, from rows of the projections. Pure: the caller reads them.

The figures are those at the moment of reading; a run that goes on has newer ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.services.tools.analysis.findings import noun
from actors.services.tools.composing.citing import citation, plain, table
from protocol.tools import Finding, ProducedFile, ToolInput, ToolResult


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """One agent of the task: its role, the agent board's status, tool calls made, seconds at work, errors recorded."""

    role: str
    status: str
    tool_calls: int
    seconds: float
    errors: int


@dataclass(frozen=True, slots=True)
class ToolRuns:
    """The task's tool runs: all that ended, those that failed, and those that could not run."""

    total: int
    failed: int
    could_not_run: int


@dataclass(frozen=True, slots=True)
class HealthRows:
    """What the report is made from. `events` are the task's; positions: the end of the log, the slowest view."""

    agents: tuple[AgentHealth, ...]
    events: int
    tool_runs: ToolRuns
    head_position: int
    view_position: int
    elapsed_s: float

    @property
    def view_lag(self) -> int:
        """Events that are in the log and not yet in the view."""
        return max(0, self.head_position - self.view_position)


def compose(given: ToolInput, rows: HealthRows) -> ToolResult:
    """The health page. Agents with errors and tool runs that did not end well are findings."""
    findings = _findings(rows)
    runs = rows.tool_runs
    word = f"with {noun(len(findings), 'point')} to look at" if findings else "without a fault"
    return ToolResult(
        "ok",
        f"{len(rows.agents)} agents, {rows.events} events and {runs.total} tool runs in {rows.elapsed_s:.1f} s, "
        f"the view {rows.view_lag} events behind the log; {word}",
        facts={
            "agents": len(rows.agents),
            "agents_with_errors": sum(agent.errors > 0 for agent in rows.agents),
            "events": rows.events,
            "tool_runs": runs.total,
            "tool_runs_failed": runs.failed,
            "tool_runs_could_not_run": runs.could_not_run,
            "head_position": rows.head_position,
            "view_position": rows.view_position,
            "view_lag": rows.view_lag,
            "elapsed_s": round(rows.elapsed_s, 3),
        },
        findings=findings,
        files=(ProducedFile("health.md", "text/markdown", _page(given, rows, findings).encode()),),
    )


def _findings(rows: HealthRows) -> tuple[Finding, ...]:
    found = [
        Finding("medium", "agent-errors", f"{agent.role} recorded {agent.errors} errors")
        for agent in rows.agents
        if agent.errors
    ]
    if rows.tool_runs.failed:
        found.append(Finding("medium", "tool-runs-failed", f"{rows.tool_runs.failed} tool runs failed"))
    if rows.tool_runs.could_not_run:
        found.append(Finding("low", "tool-runs-not-run", f"{rows.tool_runs.could_not_run} tool runs could not run"))
    if rows.view_position > rows.head_position:
        # A view cannot know more than the log it is folded from: one of the two was lost or restored.
        found.append(
            Finding("high", "view-ahead", f"the view is at {rows.view_position}, the log ends at {rows.head_position}")
        )
    return tuple(found)


def _page(given: ToolInput, rows: HealthRows, findings: Sequence[Finding]) -> str:
    own = citation(given.call)
    figures = (
        ("Elapsed", f"{rows.elapsed_s:.1f} s {own}"),
        ("Events of the task", f"{rows.events} {own}"),
        ("Tool runs", f"{rows.tool_runs.total} {own}"),
        ("… that failed", f"{rows.tool_runs.failed} {own}"),
        ("… that could not run", f"{rows.tool_runs.could_not_run} {own}"),
        ("End of the log", f"position {rows.head_position} {own}"),
        ("Slowest view", f"position {rows.view_position} {own}"),
        ("View behind the log", f"{rows.view_lag} events {own}"),
    )
    agents = [
        (
            plain(agent.role),
            plain(agent.status),
            f"{agent.tool_calls} {own}",
            f"{agent.seconds:.1f} s {own}",
            f"{agent.errors} {own}",
        )
        for agent in rows.agents
    ]
    points = [f"- **{found.severity}** {plain(found.message)} {own}" for found in findings]
    return "\n".join(
        (
            f"# Health of the run: {plain(given.title)}\n",
            f"Read at {plain(given.at)} {own}; the run goes on, so these are the figures of that moment.\n",
            table(("Figure", "Value"), figures),
            "## Agents\n",
            table(("Role", "Status", "Tool calls", "At work", "Errors"), agents) if agents else f"None yet {own}.\n",
            "## Points\n",
            ("\n".join(points) or f"None {own}.") + "\n",
        )
    )
