"""Every listing there is, by the name it is asked by. A new view gets its lines here."""

from collections.abc import Mapping

from projections import (
    agent_board,
    artifacts,
    dead_letters,
    decisions,
    event_counts,
    memory_stats,
    model_performance,
    task_board,
    task_history,
    timeline,
    tool_runs,
    usage,
)
from projections.errors import BadQuery
from projections.listing import Above, Among, Listing
from protocol.query import Fault
from protocol.task import Contact

_FAILED_RUN = ("could_not_run", "failed")
_RATES = ("success_rate", "latency_s", "latency_max_s", "asked_tools_rate", "delivered_rate")
_BROKEN = ("completion_failed", "failed", "quarantined")

_ALL = (
    Listing(
        task_board.VIEW, task_board.TASKS, filters=("status",), time="submitted_at",
        failed=(Among("status", ("failed",)),), typed={"contact": Contact},
    ),
    Listing(
        task_board.VIEW, task_board.ROLES, "roles", filters=("agent", "status"),
        failed=(Among("status", ("failed",)),), typed={"seconds": float | None},
    ),
    Listing(task_history.VIEW, task_history.HISTORY, failed=(Among("happened", _BROKEN),)),
    Listing(
        agent_board.VIEW, agent_board.AGENTS, filters=("role", "status"), failed=(Above("failed"),), few=True,
        typed={
            "success_rate": float | None, "average_seconds": float | None, "load": float, "status": str,
        },
    ),
    Listing(agent_board.VIEW, agent_board.ENGAGEMENTS, "engagements", filters=("agent",)),
    Listing(agent_board.VIEW, agent_board.QUEUES, "queues", few=True),
    Listing(artifacts.VIEW, artifacts.ARTIFACTS, filters=("role",)),
    Listing(artifacts.VIEW, artifacts.VERSIONS, "versions"),
    Listing(decisions.VIEW, decisions.DECISIONS, filters=("task", "what")),
    Listing(timeline.VIEW, timeline.TIMELINE),
    Listing(
        usage.VIEW, usage.USAGE, filters=("role", "agent", "provider", "model"), time="day",
        failed=(Above("errors"),), few=True,
    ),
    Listing(
        model_performance.VIEW, model_performance.PERFORMANCE, filters=("provider", "model"), time="day",
        failed=(Above("failures"),), few=True, typed=dict.fromkeys(_RATES, float | None),
    ),
    Listing(
        tool_runs.VIEW, tool_runs.RUNS, filters=("task", "role", "tool", "status"),
        failed=(Among("status", _FAILED_RUN),), typed={"seconds": float},
    ),
    Listing(
        tool_runs.VIEW, tool_runs.TOTALS, "tools", failed=(Above("failed"), Above("could_not_run")), few=True,
        typed={"running": int, "seconds": float, "seconds_max": float},
    ),
    Listing(memory_stats.VIEW, memory_stats.STATS, few=True, typed={"hit_rate": float | None}),
    Listing(memory_stats.VIEW, memory_stats.SUBJECTS, "subjects", typed={"hit_rate": float | None}),
    Listing(
        dead_letters.VIEW, dead_letters.LETTERS, filters=("state", "task"), failed=(Among("state", ("parked",)),),
    ),
    Listing(event_counts.VIEW, event_counts.COUNTS, few=True),
)  # fmt: skip

LISTINGS: Mapping[str, Listing] = {listing.name: listing for listing in _ALL}


def listing_of(name: str, listings: Mapping[str, Listing] = LISTINGS) -> Listing:
    """The listing of that name. BadQuery."""
    found = listings.get(name)
    if found is None:
        known = tuple(sorted(listings))
        raise BadQuery(Fault("unknown-view", f"there is no view {name!r}: ask for {', '.join(known)}", allowed=known))
    return found
