"""The tools of one task: every call, every return, in order. Pure.

A call is asked for once under the role's own name for it; asked again it is answered again, never run again.
"""

from typing import assert_never

import msgspec

from protocol.message import Event, Refusal
from protocol.subjects import Address
from protocol.tools import RecordReturn, RunTool, ToolCalled, ToolReturned

CALLS_MAX = 1_000  # A task that wants more tool calls is running in a circle.


class Call(msgspec.Struct, frozen=True):
    """A tool call; `reference` is its event ("tools/t1@3"), `returned` what it came to."""

    reference: str
    called: ToolCalled
    returned: ToolReturned | None = None


class State(msgspec.Struct, frozen=True):
    task: str
    version: int = 0
    calls: dict[str, Call] = {}

    def by_request(self, role: str, request: str) -> Call | None:
        wanted = (role, request)
        return next((c for c in self.calls.values() if (c.called.role, c.called.request) == wanted), None)


def initial(address: Address) -> State:
    return State(address.name)


def decide(state: State, command: RunTool | RecordReturn) -> tuple[Event, ...]:
    match command:
        case RunTool(role=role, request=request, tool=tool, title=title, repo=repo, args=args):
            if state.by_request(role, request) is not None:
                return ()
            if len(state.calls) >= CALLS_MAX:
                raise Refusal(
                    "too-many-calls", f"task {state.task} has made {CALLS_MAX} tool calls; it may make no more"
                )
            return (ToolCalled(role, request, tool, title, repo, args),)
        case RecordReturn(call=reference):
            call = state.calls.get(reference)
            if call is None or call.returned is not None:
                return ()
            return (
                ToolReturned(
                    reference, call.called.role, call.called.tool, command.status, command.summary, command.result,
                    command.facts, command.files, command.findings, command.seconds, command.sandbox,
                ),
            )  # fmt: skip
        case _:
            assert_never(command)


def evolve(state: State, event: ToolCalled | ToolReturned) -> State:
    version = state.version + 1
    match event:
        case ToolCalled():
            reference = f"tools/{state.task}@{version}"
            return State(state.task, version, {**state.calls, reference: Call(reference, event)})
        case ToolReturned(call=reference):
            call = state.calls[reference]
            return State(state.task, version, {**state.calls, reference: Call(reference, call.called, event)})
        case _:
            assert_never(event)
