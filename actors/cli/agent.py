"""The agents of a project: all of them, and one with its work and its use of language models."""

from cyclopts import App

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.cli.usage import tell_usage
from actors.host import reader
from projections.rows import AgentDetail

app = App(name="agent", help="Look at the agents.")


@app.command(name="list")
def list_(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the project's agents by name, with load and success. Works without a running company."""
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (_, queries):
            rows = await queries.agents(settings.project)
        if as_json:
            output.data(rows)
        else:
            output.table(
                ("Agent", "Role", "Status", "In flight", "Done", "Failed", "Success", "Tools", "Last seen"),
                (
                    (
                        row.agent,
                        row.role,
                        row.status,
                        f"{row.in_flight}/{row.max_concurrent}",
                        row.done,
                        row.failed,
                        "-" if row.success_rate is None else f"{row.success_rate:.0%}",
                        row.tool_calls,
                        f"{row.last_seen_at:%Y-%m-%d %H:%M:%S}",
                    )
                    for row in rows
                ),
            )
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


def _tell(detail: AgentDetail) -> None:
    agent = detail.agent
    for name, value in (
        ("Agent", agent.agent),
        ("Role", agent.role),
        ("Status", f"{agent.status}, {agent.in_flight} of {agent.max_concurrent} at once"),
        ("Can do", ", ".join(agent.capabilities) or "-"),
        ("Done", f"{agent.done}, and {agent.failed} failed"),
        ("Success", "-" if agent.success_rate is None else f"{agent.success_rate:.0%}"),
        ("Tool calls", str(agent.tool_calls)),
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
