"""How language models do: completions and failures, tokens, cost and latency by day, provider and model, and what came
of the roles that worked with them.

Days are UTC, of the time the events carry. `provider` and `model` are those that answered, and of a failed completion
those that were asked ("": an older log does not say). Time is summed in whole microseconds, so that the order of adding
changes nothing; a completion whose time was not measured is in no average. A delivery counts once for each model that
has answered the role since its last one; the orchestrator's delivery is that of its preparation.
"""

from datetime import UTC, date

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.role import RoleDelivered
from protocol.router import CompletionFailed, CompletionGiven

MICROS = 1_000_000
TYPES: tuple[type[Event], ...] = (CompletionGiven, CompletionFailed, RoleDelivered)


class Performance(Row, kw_only=True):
    """One model on one day. `completions` came back, `failures` were given up. `asked_tools` are the completions that
    called any tool, `tool_calls` all that they called. `priced` are the completions whose price is known, `cost_micros`
    theirs in millionths of a US dollar. `measured` are the completions whose time is known, `latency_us` theirs and
    `latency_max_us` the longest of it in microseconds, `failed_us` what failures took. `deliveries` are of roles that
    the model had answered, `delivered` those with the outcome completed."""

    project: str
    day: date
    provider: str
    model: str
    completions: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    priced: int = 0
    cost_micros: int = 0
    asked_tools: int = 0
    tool_calls: int = 0
    measured: int = 0
    latency_us: int = 0
    latency_max_us: int = 0
    failed_us: int = 0
    deliveries: int = 0
    delivered: int = 0


class ModelsOfRole(Row, kw_only=True):
    """Which models have answered a role of a task since it delivered last, each "<provider>/<model>"."""

    project: str
    task: str
    role: str
    models: tuple[str, ...] = ()


PERFORMANCE = Table("model_performance", Performance, ("project", "day", "provider", "model"))
MODELS = Table("model_roles", ModelsOfRole, ("project", "task", "role"))


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event adds."""
    match event:
        case CompletionGiven():
            _given(_row(recorded, event.provider, event.model, rows), event)
            _answered(recorded, event.role, f"{event.provider}/{event.model}", rows)
        case CompletionFailed(provider=provider, model=model, seconds=seconds):
            row = _row(recorded, provider, model, rows)
            row.failures += 1
            row.failed_us += round(seconds * MICROS)
        case RoleDelivered(outcome=outcome):
            _delivered(recorded, outcome == "completed", rows)
        case _:
            return


def _row(recorded: Recorded, provider: str, model: str, rows: Rows) -> Performance:
    name, day = recorded.address.project, recorded.at.astimezone(UTC).date()
    return rows.find(PERFORMANCE, name, day, provider, model) or rows.add(
        PERFORMANCE, Performance(project=name, day=day, provider=provider, model=model)
    )


def _given(row: Performance, given: CompletionGiven) -> None:
    row.completions += 1
    row.tokens_in += given.tokens_in
    row.tokens_out += given.tokens_out
    row.asked_tools += bool(given.tool_calls)
    row.tool_calls += len(given.tool_calls)
    if given.priced:
        row.priced += 1
        row.cost_micros += given.cost_micros
    if given.seconds > 0:
        took_us = round(given.seconds * MICROS)
        row.measured += 1
        row.latency_us += took_us
        row.latency_max_us = max(row.latency_max_us, took_us)


def _answered(recorded: Recorded, role: str, model: str, rows: Rows) -> None:
    name, task = recorded.address.project, recorded.address.name
    used = rows.find(MODELS, name, task, role) or rows.add(MODELS, ModelsOfRole(project=name, task=task, role=role))
    if model not in used.models:
        used.models = (*used.models, model)


def _delivered(recorded: Recorded, completed: bool, rows: Rows) -> None:
    used = rows.find(MODELS, recorded.address.project, recorded.address.name, recorded.address.kind)
    if used is None:
        return
    for named in used.models:
        provider, _, model = named.partition("/")
        row = _row(recorded, provider, model, rows)
        row.deliveries += 1
        row.delivered += completed
    used.models = ()


VIEW = View("models", 1, "models_schema", (PERFORMANCE, MODELS), TYPES, project)
