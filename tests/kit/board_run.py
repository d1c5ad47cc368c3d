"""A small run of the company, event by event: four roles, a failure, a role that came too late, and strangers."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eventstore.store import NewEvent, Recorded
from protocol.codec import encode
from protocol.memory import Memory, Recalled, Remembered
from protocol.message import Event, tag_of
from protocol.orchestrator import (
    CompanyFinished,
    DeliveryRecorded,
    PlanMade,
    PlannedRole,
    RoleRequested,
    RoleStarted,
)
from protocol.registry import AgentChosen, AgentRegistered, AgentReleased, ChoiceQueued, ChoiceWithdrawn
from protocol.role import (
    Delivery,
    QuestionAsked,
    RoleAssigned,
    RoleBriefed,
    RoleDelivered,
    ToolAnswered,
    ToolRequest,
    ToolWanted,
)
from protocol.router import CompletionFailed, CompletionGiven
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined
from protocol.subjects import Address
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import Fact, FileRef, Status, ToolCalled, ToolReturned

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
REPORT = FileRef("report.md", "text/markdown", "ab" * 32, 1_200)
DIAGRAM = FileRef("modules.mmd", "text/plain", "cd" * 32, 300)
MEMORY = Memory("/srv/repo", "tester", "t0", "its tests fail")


@dataclass(frozen=True)
class Happened:
    """One event at its place; `second` counts from BEGIN."""

    address: Address
    event: Event
    correlation: str
    second: int

    def new(self) -> NewEvent:
        at = BEGIN + timedelta(seconds=self.second)
        return NewEvent(tag_of(self.event), encode(self.event), at, self.correlation, "c")

    def recorded(self, position: int = 1, version: int = 1) -> Recorded:
        new = self.new()
        return Recorded(position, self.address, version, new.type, new.at, new.correlation, new.causation, new.body)


def small_run(project: str = "demo", task: str = "t1") -> list[Happened]:
    """Architect and orchestrator complete, the tester fails, the presenter is overdue and delivers after all."""
    events = _events(task)
    return [
        Happened(Address(project, kind, name), event, task, second) for second, (kind, name, event) in enumerate(events)
    ]


def recorded(run: Sequence[Happened]) -> list[Recorded]:
    """The run as a log of its own: positions from 1 on, and versions by stream."""
    versions = Counter[Address]()
    log: list[Recorded] = []
    for position, happened in enumerate(run, start=1):
        versions[happened.address] += 1
        log.append(happened.recorded(position, versions[happened.address]))
    return log


def _events(task: str) -> Iterator[tuple[str, str, Event]]:
    yield "task", task, TaskSubmitted("review\0 this", "/srv/repo")
    yield "orchestrator", task, RoleAssigned("review", "orchestrator-1", "/srv/repo")
    yield "registry", "main", AgentRegistered("orchestrator-1", "orchestrator", 4)
    yield "registry", "main", AgentChosen("orchestrator", task, "orchestrator-1", 1.0)
    yield from _tool(task, "orchestrator", "workspace.prepare", "ok", call=1)
    yield "orchestrator", task, RoleDelivered("completed", "the clone is ready", files=(REPORT,))
    plan = (PlannedRole("architect", ()), PlannedRole("tester", ("architect",)), PlannedRole("presenter", ()))
    yield "orchestrator", task, PlanMade("review", plan, "/srv/repo")
    yield "orchestrator", task, DeliveryRecorded("orchestrator", "orchestrator-1", "completed", "ready", 1)
    yield from _engaged(task, "architect")
    yield from _tool(task, "architect", "architecture.map", "ok", call=3)
    yield from _delivered(task, "architect", "completed", (REPORT, DIAGRAM))
    yield from _engaged(task, "tester")
    yield from _tool(task, "tester", "tests.run", "failed", call=5)
    yield from _tool(task, "tester", "lint.fix", "could_not_run", call=7)
    yield "router", task, _completion("tester", 1, tokens_in=900)
    yield "router", task, CompletionFailed("tester", 2, "no answer")
    yield from _delivered(task, "tester", "failed", ())
    yield from _engaged(task, "presenter")
    yield "orchestrator", task, DeliveryRecorded("presenter", "presenter-1", "failed", "no delivery in time")
    yield "registry", "main", AgentReleased("presenter", task, "presenter-1", "failed")
    yield "presenter", task, RoleDelivered("completed", "a deck, too late", files=(DIAGRAM,))
    yield "router", task, _completion("presenter", 1, tokens_in=100)
    yield "router", task, _completion("presenter", 2, tokens_in=150)
    yield "memory", "main", Remembered(MEMORY)
    yield "memory", "main", Recalled("/srv/repo", "tester", task, (MEMORY,))
    yield "runtime", "7", CommandQuarantined("tester", task, "c9", "role.assign.v1", "KeyError: 'x'")
    yield "runtime", "7", ActorRetried("tester", task, "c9", by="p1")
    yield "orchestrator", task, CompanyFinished("completed", "hold", "two roles failed")
    yield "registry", "main", AgentReleased("orchestrator", task, "orchestrator-1", "completed")
    yield "task", task, TaskConcluded("completed", "hold", "two roles failed")


def troubled_run(project: str = "demo") -> list[Happened]:
    """Three tasks want the one tester, whose work on the first breaks twice; the second waits for it, the third gives
    up, and the judge of the first forbids the release. An event a second, each caused by the task it is about."""
    return [
        Happened(Address(project, kind, name), event, task, second)
        for second, (task, kind, name, event) in enumerate(_troubles())
    ]


def _troubles() -> Iterator[tuple[str, str, str, Event]]:
    for task in ("t1", "t2", "t3"):
        yield task, "task", task, TaskSubmitted(f"review {task}")
    plan = (PlannedRole("tester", ()), PlannedRole("decision-maker", ("tester",)))
    yield "t1", "orchestrator", "t1", PlanMade("review t1", plan)
    yield "t1", "registry", "main", AgentRegistered("tester-1", "tester", 1)
    yield "t1", "registry", "main", AgentChosen("tester", "t1", "tester-1", 1.0)
    yield "t2", "registry", "main", ChoiceQueued("tester", "t2")
    yield "t3", "registry", "main", ChoiceQueued("tester", "t3")
    yield "t1", "tester", "t1", RoleAssigned("review t1", "tester-1")
    yield "t1", "runtime", "7", CommandQuarantined("tester", "t1", "c9", "role.record_recall.v1", "KeyError: 'x'")
    yield "t1", "runtime", "7", ActorRetried("tester", "t1", "c9", by="p1")
    yield "t1", "runtime", "7", CommandQuarantined("tester", "t1", "c9", "role.record_recall.v1", "KeyError: 'x'")
    yield "t3", "registry", "main", ChoiceWithdrawn("tester", "t3")
    yield "t1", "runtime", "7", ActorDropped("tester", "t1", "c9", late=True, by="p2")
    yield "t1", "tester", "t1", RoleBriefed()
    yield "t1", "tester", "t1", RoleDelivered("completed", "green", files=(REPORT,))
    yield "t1", "registry", "main", AgentReleased("tester", "t1", "tester-1", "completed")
    yield "t2", "registry", "main", AgentChosen("tester", "t2", "tester-1", 1.0)
    facts: dict[str, Fact] = {"verdict.decide.verdict": "no-go", "verdict.decide.blocking": 2}
    yield "t1", "decision-maker", "t1", RoleDelivered("completed", "two rules forbid it", facts)


def _engaged(task: str, role: str) -> Iterator[tuple[str, str, Event]]:
    agent = f"{role}-1"
    yield "orchestrator", task, RoleRequested(role)
    yield "registry", "main", AgentRegistered(agent, role, 2, ("python",))
    yield "registry", "main", AgentChosen(role, task, agent, 1.0)
    yield "orchestrator", task, RoleStarted(role, agent)
    yield role, task, RoleAssigned("review", agent, "/srv/repo")
    yield role, task, RoleBriefed()


def _tool(task: str, role: str, tool: str, status: Status, call: int) -> Iterator[tuple[str, str, Event]]:
    """`call`: the version of the tools' stream that the call makes."""
    request, reference = f"{role}-{tool}", f"tools/{task}@{call}"
    yield role, task, ToolWanted(1, ToolRequest(request, tool))
    yield "tools", task, ToolCalled(role, request, tool, "review")
    yield "tools", task, ToolReturned(reference, role, tool, status, "done", findings=2, seconds=call / 4)
    yield role, task, ToolAnswered(request, tool, reference, status, "done")
    yield role, task, QuestionAsked(2)


def _completion(role: str, turn: int, tokens_in: int) -> CompletionGiven:
    return CompletionGiven(
        role,
        turn,
        "ef" * 32,
        provider="openai",
        model="small-1",
        tokens_in=tokens_in,
        tokens_out=tokens_in // 10,
        cost_micros=3 * tokens_in,
        priced=tokens_in > 100,
        seconds=tokens_in / 100,
    )


def _delivered(task: str, role: str, outcome: Delivery, files: tuple[FileRef, ...]) -> Iterator[tuple[str, str, Event]]:
    yield role, task, RoleDelivered(outcome, f"{role} is done", files=files, tool_calls=1)
    yield "orchestrator", task, DeliveryRecorded(role, f"{role}-1", outcome, "recorded", len(files))
    yield "registry", "main", AgentReleased(role, task, f"{role}-1", outcome)


def _returned(chance: random.Random, task: str, role: str, tool: str) -> ToolReturned:
    """Of a call that may not have been made, by whomever."""
    reference, status = f"tools/{task}@{chance.randint(1, 9)}", chance.choice(("ok", "failed"))
    findings, seconds = chance.randint(0, 3), chance.choice((0.0, 0.1, 1.7))
    return ToolReturned(reference, role, tool, status, "s", findings=findings, seconds=seconds)


def arbitrary_run(seed: int, length: int) -> list[Happened]:
    """Events of few tasks and roles in any order, also in orders no company would produce. One of the tasks is sure to
    be submitted in the first tenth, since the boards know no others."""
    chance = random.Random(seed)
    tasks, roles = ("t1", "t2"), ("architect", "tester", "orchestrator")

    def event() -> tuple[str, str, Event]:
        task, role, outcome = chance.choice(tasks), chance.choice(roles), chance.choice(("completed", "failed"))
        agent, tool = f"{role}-{chance.randint(1, 2)}", chance.choice(("tests.run", "lint.fix"))
        file = FileRef(chance.choice(("a.md", "b.md")), "text/markdown", "ab" * 32, chance.randint(0, 9))
        return chance.choice(
            (
                ("task", task, TaskSubmitted(chance.choice(("x", "y")))),
                ("task", task, TaskConcluded(outcome, "go", "s")),
                ("orchestrator", task, PlanMade("x", (PlannedRole(role, ("architect",)),))),
                ("orchestrator", task, RoleRequested(role)),
                ("orchestrator", task, RoleStarted(role, agent)),
                ("orchestrator", task, DeliveryRecorded(role, agent, outcome, "s")),
                ("orchestrator", task, CompanyFinished(outcome)),
                ("registry", "main", AgentRegistered(agent, role, chance.randint(1, 3))),
                ("registry", "main", AgentChosen(role, task, agent, 1.0)),
                ("registry", "main", AgentReleased(role, task, agent, outcome)),
                ("registry", "main", ChoiceQueued(role, task)),
                ("registry", "main", ChoiceWithdrawn(role, task)),
                (role, task, RoleAssigned("x", agent)),
                (role, task, ToolWanted(1, ToolRequest("r", tool))),
                (role, task, ToolAnswered("r", tool, "tools/t1@1", "ok", "s")),
                (role, task, QuestionAsked(2)),
                (role, task, RoleDelivered(outcome, "s", files=(file,))),
                ("router", task, _completion(role, 1, tokens_in=chance.randint(0, 99))),
                ("router", task, CompletionFailed(role, 1, "no answer")),
                ("router", task, CompletionFailed(role, 1, "no answer", "openai", "small-1", 0.25)),
                ("tools", task, ToolCalled(role, "r", tool, "x")),
                ("tools", task, _returned(chance, task, role, tool)),
                ("memory", "main", Remembered(Memory(chance.choice(("/a", "/b")), role, task, "x"))),
                ("memory", "main", Recalled("/a", role, task, (MEMORY,) * chance.randint(0, 2))),
                ("runtime", "7", CommandQuarantined(role, task, chance.choice(("c1", "c2")), "role.assign.v1", "x")),
                ("runtime", "7", ActorRetried(role, task, chance.choice(("c1", "c2")), late=chance.random() < 0.5)),
                ("runtime", "7", ActorDropped(role, task, chance.choice(("c1", "c2")), by=chance.choice(("", "p1")))),
            )
        )

    drawn = [event() for _ in range(length)]
    drawn[length // 10] = ("task", tasks[seed % 2], TaskSubmitted("x"))
    return [
        Happened(Address("demo", kind, name), what, chance.choice(tasks), n)
        for n, (kind, name, what) in enumerate(drawn)
    ]
