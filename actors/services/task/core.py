"""A task: submitted once, concluded once. Pure: no I/O, no clock."""

from typing import Literal, assert_never

import msgspec

from protocol.message import Event, Refusal
from protocol.personal import may_be_same
from protocol.subjects import Address
from protocol.task import REPO_LENGTH_MAX, TITLE_LENGTH_MAX, ConcludeTask, SubmitTask, TaskConcluded, TaskSubmitted


class State(msgspec.Struct, frozen=True):
    task: str
    phase: Literal["new", "active", "concluded"] = "new"
    title: str = ""
    repo: str = ""
    person: str = ""
    contact: str = ""  # Sealed.


def initial(address: Address) -> State:
    return State(address.name)


def decide(state: State, command: SubmitTask | ConcludeTask) -> tuple[Event, ...]:
    match command:
        case SubmitTask(title=title, repo=repo, person=person, contact=contact):
            if state.phase != "new":
                same = (title, repo, person) == (state.title, state.repo, state.person)
                if same and may_be_same(contact, state.contact):
                    return ()  # The same submission again is a repetition, whatever its id.
                raise Refusal("exists", f"task {state.task} is already {state.title!r}; submit under another id")
            if not title.strip() or len(title) > TITLE_LENGTH_MAX:
                raise Refusal(
                    "bad-title", f"a task needs a title of 1 to {TITLE_LENGTH_MAX} characters, got {len(title)}"
                )
            if repo and not repo.startswith("/"):
                raise Refusal("bad-repo", f"the repository {repo!r} must be an absolute path on the company's machine")
            if len(repo) > REPO_LENGTH_MAX:
                raise Refusal("bad-repo", f"the repository's path has {len(repo)} characters, limit {REPO_LENGTH_MAX}")
            return (TaskSubmitted(title, repo, person, contact),)
        case ConcludeTask(outcome=outcome, verdict=verdict, summary=summary):
            return (TaskConcluded(outcome, verdict, summary),) if state.phase == "active" else ()
        case _:
            assert_never(command)


def evolve(state: State, event: TaskSubmitted | TaskConcluded) -> State:
    match event:
        case TaskSubmitted(title=title, repo=repo, person=person, contact=contact):
            return State(state.task, "active", title, repo, person, contact)
        case TaskConcluded():
            return msgspec.structs.replace(state, phase="concluded")
        case _:
            assert_never(event)
