"""Commands and events of the `task` actor: one piece of work, from submission to conclusion."""

from typing import Literal

from protocol.message import Command, Event

TITLE_LENGTH_MAX = 500
REPO_LENGTH_MAX = 4_096
Outcome = Literal["completed", "failed"]


class SubmitTask(Command, frozen=True, tag="task.submit.v1", omit_defaults=True):
    """Start a task. `repo` is an absolute path on the company's machine; "" means a task without a repository."""

    title: str
    repo: str = ""


class ConcludeTask(Command, frozen=True, tag="task.conclude.v1", omit_defaults=True):
    """The orchestrator's word that all is delivered (or cannot be)."""

    outcome: Outcome
    verdict: str = ""
    summary: str = ""


class TaskSubmitted(Event, frozen=True, tag="task.submitted.v1", omit_defaults=True):
    title: str
    repo: str = ""


class TaskConcluded(Event, frozen=True, tag="task.concluded.v1", omit_defaults=True):
    outcome: Outcome
    verdict: str = ""
    summary: str = ""


COMMANDS = (SubmitTask, ConcludeTask)
EVENTS = (TaskSubmitted, TaskConcluded)
