"""The agents of a project: all of them, and one with its work and its use of language models."""

from cyclopts import App

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.cli.usage import dollars, tell_usage
from actors.host import reader
from projections.answers import AgentDetail, AgentRow

app = App(name="agent", help="Look at the agents.")

_HEADERS = (
    "Agent", "Role", "Status", "In flight", "Queue", "Done", "Failed", "Success", "Seconds", "Tools", "Errors", "USD",
    "Uptime", "Last seen",
)  # fmt: skip


@app.command(name="list")
def list_(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the project's agents by name, with load, success, cost and uptime. Works without a running company."""
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (_, queries):
            rows = await queries.agents(settings.project)
        if as_json:
            output.data(rows)
        else:
            output.table(_HEADERS, (_listed(row) for row in rows))
        return Exit.OK

    return execute(work)


@app.command
def show(agent: str, /, *, as_json: AsJson = False, place: Place = HERE) -> int:
    """Show an agent: its record, its tasks, its usage. Works without a running company.

    Parameters
    ----------
    agent
        Its name, as `troupe agent list` shows it.
    """
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (_, queries):
            detail = await queries.agent(settings.project, agent)
        if detail is None:
            where = f"in the project {settings.project}: see `troupe agent list`"
            raise Stop(Exit.NOT_FOUND, f"there is no agent {agent} {where}")
        output.data(detail) if as_json else _tell(detail)
        return Exit.OK

    return execute(work)


def _listed(row: AgentRow) -> tuple[object, ...]:
    return (
        row.agent,
        row.role,
        row.status,
        f"{row.in_flight}/{row.max_concurrent}",
        row.queue_depth,
        row.done,
        row.failed,
        _share(row.success_rate),
        row.average_seconds,
        row.tool_calls,
        row.errors,
        dollars(row.cost_micros, row.priced, row.completions),
        _share(row.uptime, digits=1),
        f"{row.last_seen_at:%Y-%m-%d %H:%M:%S}",
    )


def _share(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def _tell(detail: AgentDetail) -> None:
    agent = detail.agent
    for name, value in (
        ("Agent", agent.agent),
        ("Role", agent.role),
        ("Status", f"{agent.status}, {agent.in_flight} of {agent.max_concurrent} at once"),
        ("Can do", ", ".join(agent.capabilities) or "-"),
        ("Done", f"{agent.done}, and {agent.failed} failed"),
        ("Success", _share(agent.success_rate)),
        ("Queue", f"{agent.queue_depth} waiting for the role"),
        ("Average", "-" if agent.average_seconds is None else f"{agent.average_seconds:.1f} s from engagement to end"),
        ("Tool calls", str(agent.tool_calls)),
        ("Errors", f"{agent.errors} failed tool runs and completions"),
        ("Tokens", f"{agent.tokens_in} in, {agent.tokens_out} out, {agent.completions} completions"),
        ("USD", dollars(agent.cost_micros, agent.priced, agent.completions)),
        ("Uptime", _share(agent.uptime, digits=2) + (f", {agent.parked} roles parked" if agent.parked else "")),
        ("Last seen", f"{agent.last_seen_at:%Y-%m-%d %H:%M:%S} UTC, position {agent.last_seen_position}"),
    ):
        output.say(f"{name:<12} {value}")
    output.say()
    output.table(
        ("Task", "Role", "Status", "Tools", "Files", "Summary"),
        (
            (row.task, row.role, row.status, row.tool_calls, row.artifacts, row.summary or "")
            for row in detail.engagements
        ),
    )
    if detail.usage:
        output.say()
        tell_usage(list(detail.usage), ("day", "provider", "model"))
