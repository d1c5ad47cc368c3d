"""A task: submitted once, concluded once. Pure: no I/O, no clock."""

from typing import Literal, assert_never

import msgspec

from protocol.message import Event, Refusal
from protocol.subjects import Address
from protocol.task import REPO_LENGTH_MAX, TITLE_LENGTH_MAX, ConcludeTask, SubmitTask, TaskConcluded, TaskSubmitted


class State(msgspec.Struct, frozen=True):
    task: str
    phase: Literal["new", "active", "concluded"] = "new"
    title: str = ""
    repo: str = ""


def initial(address: Address) -> State:
    return State(address.name)


def decide(state: State, command: SubmitTask | ConcludeTask) -> tuple[Event, ...]:
    match command:
        case SubmitTask(title=title, repo=repo):
            if state.phase != "new":
                if (title, repo) == (state.title, state.repo):
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
            return (TaskSubmitted(title, repo),)
        case ConcludeTask(outcome=outcome, verdict=verdict, summary=summary):
            return (TaskConcluded(outcome, verdict, summary),) if state.phase == "active" else ()
        case _:
            assert_never(command)


def evolve(state: State, event: TaskSubmitted | TaskConcluded) -> State:
    match event:
        case TaskSubmitted(title=title, repo=repo):
            return State(state.task, "active", title, repo)
        case TaskConcluded():
            return State(state.task, "concluded", state.title, state.repo)
        case _:
            assert_never(event)
