"""Commands and events of the `task` actor: one piece of work, from submission to conclusion."""

from typing import Annotated, Literal

from protocol.message import Command, Event
from protocol.personal import personal
from protocol.upcast import Upcast

TITLE_LENGTH_MAX = 500
REPO_LENGTH_MAX = 4_096
CONTACT_LENGTH_MAX = 500
Outcome = Literal["completed", "failed"]
Contact = Annotated[str, personal("person", length_max=CONTACT_LENGTH_MAX, always=True)]


class SubmitTask(Command, frozen=True, tag="task.submit.v1", omit_defaults=True):
    """Start a task. `repo` is an absolute path on the company's machine; "" means a task without a repository.

    `person` is the pseudonymous id of whom it concerns ("": nobody), `contact` how to reach them.
    """

    title: str
    repo: str = ""
    person: str = ""
    contact: Contact = ""


class ConcludeTask(Command, frozen=True, tag="task.conclude.v1", omit_defaults=True):
    """The orchestrator's word that all is delivered (or cannot be)."""

    outcome: Outcome
    verdict: str = ""
    summary: str = ""


class TaskSubmitted(Event, frozen=True, tag="task.submitted.v1", omit_defaults=True):
    title: str
    repo: str = ""
    person: str = ""
    contact: Contact = ""


class TaskConcluded(Event, frozen=True, tag="task.concluded.v1", omit_defaults=True):
    outcome: Outcome
    verdict: str = ""
    summary: str = ""


COMMANDS = (SubmitTask, ConcludeTask)
EVENTS = (TaskSubmitted, TaskConcluded)
RETIRED: tuple[Upcast, ...] = ()
