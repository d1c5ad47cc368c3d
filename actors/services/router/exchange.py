"""What every provider with a model behind it does around its wire format: names, checks, one second chance, a label.

A model may call what is not offered, write arguments that are no JSON object, or say nothing at all. It is then asked
once more with the reason; what it does not get right the second time is a bad_response.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from actors.services.router.complaints import Endpoint
from actors.services.router.provider import (
    Completion,
    CompletionRequest,
    ProviderError,
    ToolCall,
    ToolDefinition,
)
from actors.services.router.tool_names import ToolNames

ASKS_MAX = 2
CALLS_MAX = 32  # of one answer
MODEL_LENGTH_MAX = 100
WORDS_LENGTH_MAX = 80  # of what a model made up, in an error
ID_LENGTH_MAX = 64
CUT_OFF = "_The answer ends here: the model reached the length its provider allows._"

_NOT_IN_MODEL = re.compile(r"[^\w.:/@+-]")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the provider counted them. `tokens_in` includes those read from and written to its cache."""

    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def plus(self, other: "Usage") -> "Usage":
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )


class WireCall(msgspec.Struct, frozen=True):
    """A tool call as it came: the provider's id and name, the arguments as JSON text ("" = none)."""

    id: str
    name: str
    arguments: str


class WireAnswer(msgspec.Struct, frozen=True):
    """One answer, read. `model` is the one that answered; `usage` is None when the provider counted nothing.

    `end`: "whole"; "length" when it was cut at the provider's limit; "declined" when the model would not answer. `id`
    is what the provider calls this answer ("": nothing).
    """

    text: str
    calls: tuple[WireCall, ...]
    model: str
    usage: Usage | None
    end: Literal["whole", "length", "declined"] = "whole"
    id: str = ""


class Wire(Protocol):
    """One wire format at one endpoint."""

    @property
    def endpoint(self) -> Endpoint: ...

    async def ask(self, request: CompletionRequest, model: str, names: ToolNames, remark: str, key: str) -> WireAnswer:
        """Ask once. `remark` is said last, as the user ("" = nothing); `key` is the idempotency key."""
        ...

    async def models(self) -> list[str]:
        """The models on offer. Raises ProviderError."""
        ...

    async def find(self, model: str) -> None:
        """Raises ProviderError when there is certainly no such model, the key is wrong or nobody answers."""
        ...


Price = Callable[[str, str, Usage], Awaitable[float | None]]


class ModelProvider:
    """A provider whose completions come from a model: a wire format, the model to ask when none is named, prices."""

    def __init__(self, wire: Wire, model: str, price: Price) -> None:
        self._wire, self._model, self._price = wire, model, price

    @property
    def name(self) -> str:
        return self._wire.endpoint.provider

    async def complete(self, request: CompletionRequest) -> Completion:
        """See the port."""
        model = request.model or self._model
        names = ToolNames(tool.name for tool in request.tools)
        used = Usage()
        counted = True
        fault = remark = ""
        for number in range(1, ASKS_MAX + 1):
            key = request.idempotency_key and f"{request.idempotency_key}:{number}"
            answer = await self._wire.ask(request, model, names, remark, key)
            used, counted = used.plus(answer.usage or Usage()), counted and answer.usage is not None
            if answer.end == "declined":
                raise self._error(
                    "refused", f"the model declined to answer: {_short(answer.text) or 'without a reason'}"
                )
            try:
                calls = checked_calls(answer, request, names)
            except Unusable as problem:
                fault = str(problem)
                remark = _second_chance(fault, request.tools, names)
                continue
            return await self._completion(answer, calls, model, used if counted else None)
        raise self._error("bad_response", f"the model's answer cannot be used, asked {ASKS_MAX} times: {fault}")

    async def _completion(
        self, answer: WireAnswer, calls: tuple[ToolCall, ...], model: str, used: Usage | None
    ) -> Completion:
        by = _NOT_IN_MODEL.sub("_", answer.model or model)[:MODEL_LENGTH_MAX]
        label = f"written by the model {by} of the provider {self.name}"
        text = _THOUGHT.sub("", answer.text, count=1) if answer.text.lstrip().startswith("<think>") else answer.text
        if answer.end == "length":
            text = f"{text.rstrip()}\n\n{CUT_OFF}\n"
        if not calls:
            text = labelled(text, label)
        cost = None if used is None else await self._price(self._wire.endpoint.url, by, used)
        counts = used or Usage()
        said = _NOT_IN_MODEL.sub("_", answer.id)[:MODEL_LENGTH_MAX]
        return Completion(text, calls, self.name, by, counts.tokens_in, counts.tokens_out, label, cost, said)

    def _error(self, kind: Literal["refused", "bad_response"], what: str) -> ProviderError:
        return self._wire.endpoint.error(kind, what)


class Unusable(Exception):
    """The model's answer cannot be used; the text says why, fit for the model itself."""


def checked_calls(answer: WireAnswer, request: CompletionRequest, names: ToolNames) -> tuple[ToolCall, ...]:
    """The tool calls, each of an offered tool, with an object of arguments and an id that is new. Raises Unusable."""
    if not answer.calls:
        if not _THOUGHT.sub("", answer.text).strip():
            raise Unusable("it had neither text nor a tool call")
        return ()
    if answer.end == "length":
        raise Unusable("it was cut off at the provider's length limit in the middle of its tool calls")
    if len(answer.calls) > CALLS_MAX:
        raise Unusable(f"it called {len(answer.calls)} tools at once; at most {CALLS_MAX} are possible")
    taken = {call.id for message in request.messages for call in message.tool_calls}
    parameters = {tool.name: tool.parameters for tool in request.tools}
    calls: list[ToolCall] = []
    for wired in answer.calls:
        tool = names.from_wire(wired.name)
        if tool is None:
            raise Unusable(f"it called {_short(wired.name)!r}, which is not one of the tools")
        id_ = _new_id(wired.id, taken)
        taken.add(id_)
        calls.append(ToolCall(id_, tool, _arguments(wired, parameters[tool])))
    return tuple(calls)


def labelled(text: str, label: str) -> str:
    """A final text with its author below its title, or above it where it has none."""
    note = f"_This report was {label}._"
    first, _, rest = text.strip().partition("\n")
    if first.startswith("# "):
        return f"{first}\n\n{note}\n\n{rest.lstrip()}".rstrip() + "\n"
    return f"{note}\n\n{text.strip()}\n"


def open_schema(parameters: dict[str, Any]) -> dict[str, Any]:
    """A tool's parameters as every provider takes them: an object schema, also for a tool that takes none."""
    return parameters or {"type": "object", "properties": {}}


def _arguments(wired: WireCall, parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments: Any = msgspec.json.decode(wired.arguments) if wired.arguments.strip() else {}
    except msgspec.DecodeError as error:
        raise Unusable(f"the arguments of {wired.name} are not valid JSON ({error})") from error
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise Unusable(f"the arguments of {wired.name} are not a JSON object")
    given: dict[str, Any] = arguments  # pyright: ignore[reportUnknownVariableType]  # JSON: keys are strings
    missing = [name for name in parameters.get("required", ()) if name not in given]
    if missing:
        raise Unusable(f"the arguments of {wired.name} lack {', '.join(missing)}")
    return given


def _new_id(id_: str, taken: set[str]) -> str:
    """The provider's id where it is new in the conversation and fit for every provider, else one made from it."""
    base = _NOT_IN_ID.sub("_", id_)[:ID_LENGTH_MAX] or "call_1"
    new, number = base, 2
    while new in taken:
        suffix = f"_{number}"
        new, number = base[: ID_LENGTH_MAX - len(suffix)] + suffix, number + 1
    return new


def _second_chance(fault: str, tools: Sequence[ToolDefinition], names: ToolNames) -> str:
    offered = ", ".join(names.to_wire(tool.name) for tool in tools) or "none"
    return (
        f"Your last answer could not be used and was dropped: {fault}. Your tools are: {offered}. "
        "Call tools of these with a JSON object of arguments, or write your report."
    )


def _short(text: str) -> str:
    return " ".join(text.split())[:WORDS_LENGTH_MAX]
