"""Who decided what, and why: the turns of a project that somebody may be asked about later.

The plan, whom the registry chose and by what score, the decision-maker's verdict with the facts it rests on, what the
company and the task came to, what a person did with a parked actor, and that a data subject was forgotten. A decision
depends on its event alone. An effect in doubt that somebody settles is not among them: no event says so, the effect's
own row does.
"""

from typing import Any, Literal

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.orchestrator import CompanyFinished, PlanMade
from protocol.registry import AgentChosen
from protocol.role import RoleDelivered
from protocol.runtime import ActorDropped, ActorRetried
from protocol.subject import SubjectForgotten
from protocol.task import TaskConcluded

JUDGE = "decision-maker"
VERDICT_FACT = "verdict.decide.verdict"  # Under this name the judge's facts hold its verdict.
TYPES: tuple[type[Event], ...] = (
    PlanMade,
    AgentChosen,
    RoleDelivered,
    CompanyFinished,
    TaskConcluded,
    ActorRetried,
    ActorDropped,
    SubjectForgotten,
)

What = Literal["plan", "agent", "verdict", "company", "task", "retry", "drop", "forget"]


class Decision(Row, kw_only=True):
    """One decision.

    by: the actor that decided, by its kind; for `retry` and `drop` the pseudonymous id of the person ("": not said).
    subject: what it is about: an agent, a parked actor ("tester/t1"), the key of a forgotten data subject, or "".
    outcome: the word it came to: a verdict, an outcome, "". reason: what was given as one. facts: what it rests on.
    score: of the chosen agent. event: the reference of its event.
    """

    project: str
    what: What
    task: str = ""
    role: str = ""
    by: str
    subject: str = ""
    outcome: str = ""
    reason: str = ""
    facts: dict[str, Any] = {}
    score: float | None = None
    event: str
    causation: str


DECISIONS = Table("decisions", Decision, ("project", "position"), once=True)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """The decision that an event tells of."""
    told = _told(recorded, event)
    if told is not None:
        rows.add(DECISIONS, told)


def _told(recorded: Recorded, event: Event | None) -> Decision | None:
    name, kind = recorded.address.name, recorded.address.kind
    decision = Decision(
        project=recorded.address.project,
        what="task",
        task=name,
        by=kind,
        event=recorded.reference,
        causation=recorded.causation,
    )
    match event:
        case PlanMade(roles=roles):
            decision.what, decision.facts = "plan", {planned.role: list(planned.needs) for planned in roles}
        case AgentChosen(role=role, task=task, agent=agent, score=score):
            decision.what, decision.task, decision.role = "agent", task, role
            decision.subject, decision.score = agent, score
        case RoleDelivered() if kind != JUDGE:
            return None
        case RoleDelivered(outcome=outcome, summary=summary, facts=facts):
            decision.what, decision.role, decision.facts, decision.reason = "verdict", kind, facts, summary
            decision.outcome = str(facts.get(VERDICT_FACT, "")) or outcome
        case CompanyFinished(outcome=outcome, verdict=verdict, summary=summary):
            decision.what, decision.outcome, decision.reason = "company", verdict or outcome, summary
        case TaskConcluded(outcome=outcome, verdict=verdict, summary=summary):
            decision.outcome, decision.reason = verdict or outcome, summary
        case ActorRetried() | ActorDropped():
            decision.what = "retry" if isinstance(event, ActorRetried) else "drop"
            decision.task, decision.role, decision.by = event.name, event.kind, event.by
            decision.subject, decision.facts = f"{event.kind}/{event.name}", {"command": event.id, "late": event.late}
        case SubjectForgotten(key=key):
            decision.what, decision.task, decision.subject = "forget", "", key
        case _:
            return None
    return decision


VIEW = View("decisions", 1, "decisions_schema", (DECISIONS,), TYPES, project)
