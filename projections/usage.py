"""Usage of language models: completions, tokens and cost by day, role, agent, provider and model.

A completion counts for the agent that has the role in its task. Days are UTC, of the time the events carry. A failed
completion counts for the provider and model that were asked, "" where the log does not say. The sums over any of these
columns are the same: every completion is in exactly one row.
"""

from datetime import UTC, date

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.role import RoleAssigned
from protocol.router import CompletionFailed, CompletionGiven

TYPES: tuple[type[Event], ...] = (RoleAssigned, CompletionGiven, CompletionFailed)


class Usage(Row, kw_only=True):
    """Everything that is the same of many completions. `agent` "": the role was assigned to nobody. `requests` came
    back, `errors` were given up; `priced` are the requests whose price is known, `cost_micros` theirs in millionths of
    a US dollar."""

    project: str
    day: date
    role: str
    agent: str
    provider: str
    model: str
    requests: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    priced: int = 0
    cost_micros: int = 0


class UsageAgent(Row, kw_only=True):
    """Who has which role in which task: a completion names the task and the role, not the agent."""

    project: str
    task: str
    role: str
    agent: str


USAGE = Table("llm_usage", Usage, ("project", "day", "role", "agent", "provider", "model"))
AGENTS = Table("llm_usage_agents", UsageAgent, ("project", "task", "role"))


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event adds."""
    address = recorded.address
    match event:
        case RoleAssigned(agent=agent):
            if assigned := rows.find(AGENTS, address.project, address.name, address.kind):
                assigned.agent = agent
            else:
                rows.add(AGENTS, UsageAgent(project=address.project, task=address.name, role=address.kind, agent=agent))
        case CompletionGiven() as given:
            row = _row(recorded, given.role, given.provider, given.model, rows)
            row.requests += 1
            row.tokens_in += given.tokens_in
            row.tokens_out += given.tokens_out
            row.priced += given.priced
            row.cost_micros += given.cost_micros if given.priced else 0
        case CompletionFailed(role=role, provider=provider, model=model):
            _row(recorded, role, provider, model, rows).errors += 1
        case _:
            return


def _row(recorded: Recorded, role: str, provider: str, model: str, rows: Rows) -> Usage:
    name, day = recorded.address.project, recorded.at.astimezone(UTC).date()
    assigned = rows.look(AGENTS, name, recorded.address.name, role)
    agent = assigned.agent if assigned else ""
    return rows.find(USAGE, name, day, role, agent, provider, model) or rows.add(
        USAGE, Usage(project=name, day=day, role=role, agent=agent, provider=provider, model=model)
    )


# 2: rows by key, each with the event that touched it last; whom a failed completion had asked.
VIEW = View("usage", 2, "usage_schema", (USAGE, AGENTS), TYPES, project)
