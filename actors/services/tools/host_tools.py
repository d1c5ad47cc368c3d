"""The tools that run inside the company's process because what they need is there: the projections, and the network.

They never touch the repository's files.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from actors.runtime.kind import EffectCall
from actors.services.tools.advisories import lookup
from actors.services.tools.run_health import AgentHealth, HealthRows, ToolRuns, compose
from eventstore.store import Log
from projections.queries import Queries
from protocol.tools import ToolInput, ToolResult

HostTool = Callable[[EffectCall, ToolInput], Awaitable[ToolResult]]


def host_tools(log: Log, queries: Queries, advisories_url: str, clock: Callable[[], datetime]) -> dict[str, HostTool]:
    """The host tools by name. `advisories_url` is an OSV service ("" switches the look-up off)."""

    async def run_health(call: EffectCall, given: ToolInput) -> ToolResult:
        # The views trail the log by a moment: a report on the run must have seen the run up to now.
        await queries.at_least(await log.head())
        health = await queries.health(call.address.project, call.address.name, clock())
        if health is None:
            return ToolResult("failed", f"the task board knows no task {call.address.name}")
        return compose(
            given,
            HealthRows(
                tuple(AgentHealth(r.role, r.status, r.tool_calls, r.seconds, r.errors) for r in health.roles),
                health.events,
                ToolRuns(health.tool_runs, health.tool_runs_failed, health.tool_runs_could_not_run),
                health.head_position,
                health.view_position,
                health.elapsed_s,
            ),
        )

    async def advisories(_: EffectCall, given: ToolInput) -> ToolResult:
        return await lookup(given, advisories_url)

    return {"run.health": run_health, "advisories.lookup": advisories}
