"""The offline provider: follows a role's playbook step by step and writes a report of what the tools said.

It is deterministic and does not reason: the same conversation always gets the same answer, and every sentence of a
report is copied from a tool's result or from the playbook. It uses no tokens, so it reports 0 of both.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.services.router.offline_report import ToolAnswer, compose
from actors.services.router.provider import Completion, CompletionRequest, ProviderError, ToolCall

NAME = "offline"
MODEL = "playbook"


class Script(msgspec.Struct, frozen=True):
    """What the provider follows for one role: the steps (tool, arguments) in order, then a report under this title."""

    title: str
    version: int
    steps: tuple[tuple[str, dict[str, Any]], ...]


class OfflineProvider:
    """A provider that needs no network, key or model. `scripts` maps a role to what it does."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = dict(scripts)

    @property
    def name(self) -> str:
        """The name under which settings and events know it."""
        return NAME

    async def complete(self, request: CompletionRequest) -> Completion:
        """The call of the first step without an answer, or the report once all have one.

        Asked again before a call is answered, it gives the same call with the same id. Raises ProviderError:
        `unknown_model`, or `refused` for a role without a playbook, a step whose tool is not offered, or an answer
        that is not a tool result.
        """
        if request.model not in ("", MODEL):
            raise ProviderError(
                "unknown_model", f"the offline provider has no model {request.model!r}; its only one is {MODEL!r}"
            )
        script = self._scripts.get(request.role)
        if script is None:
            raise ProviderError("refused", f"the offline provider has no playbook for the role {request.role!r}")
        answered = {message.call_id: message.text for message in request.messages if message.role == "tool"}
        label = f"written by the offline provider: deterministic, no reasoning, playbook version {script.version}"
        offered = {tool.name for tool in request.tools}
        answers: list[ToolAnswer] = []
        for number, (tool, args) in enumerate(script.steps, start=1):
            call_id = f"{request.role}-{number}"
            if call_id in answered:
                answers.append(_answer(answered[call_id], tool, call_id))
                continue
            if tool not in offered:
                raise ProviderError(
                    "refused",
                    f"step {number} of the playbook of {request.role} calls {tool}, which is not offered to the role; "
                    "grant the role that tool or change its playbook",
                )
            return _completion("", (ToolCall(call_id, tool, dict(args)),), label)
        return _completion(compose(script.title, label, answers), (), label)


def _completion(text: str, calls: tuple[ToolCall, ...], label: str) -> Completion:
    return Completion(text, calls, NAME, MODEL, tokens_in=0, tokens_out=0, label=label, cost_usd=0.0)


def _answer(text: str, tool: str, call_id: str) -> ToolAnswer:
    try:
        answer = msgspec.json.decode(text, type=ToolAnswer)
    except msgspec.DecodeError as problem:
        raise ProviderError("refused", f"the answer to the call {call_id} is no tool result: {problem}") from problem
    if answer.tool != tool:
        raise ProviderError("refused", f"the call {call_id} was for {tool}, its answer is from {answer.tool}")
    return answer
