"""The provider port: one completion of a conversation, from whoever can give it.

Promises of every provider (`tests/conformance/test_provider.py` holds them to it):

- `complete` answers with text, tool calls or both, never with neither, or raises ProviderError; nothing else escapes.
- A tool call names a tool of `request.tools`; its id is new in the conversation.
- `label` says in words who wrote the text, so that a report can say so.
- Tokens are what the provider counted; a provider that uses none says 0.
- A cost comes from a kept list of prices or from nowhere: an unknown price is None, never a guess and never 0.
- No error, label or text contains a key.
- `complete` keeps nothing: the same request may be asked again, by any process, after a crash.
"""

from typing import Any, Literal, Protocol

import msgspec

from protocol.trace import TraceContext

ProviderErrorKind = Literal["unavailable", "refused", "unknown_model", "bad_key", "bad_response"]
# unavailable: nobody answered, or only to say "later"; trying again may help.
# refused: the request itself is not acceptable; the same request will be refused again.
# unknown_model: the provider has no such model.   bad_key: its credentials are missing or wrong.
# bad_response: it answered, but not with a completion.


class ProviderError(Exception):
    """No completion. `kind` is what a router decides by; the message names the provider, what happened, what to do.

    `retry_after_s` is how long an unavailable provider asks to be left alone, in seconds; 0 when it does not say.
    """

    def __init__(self, kind: ProviderErrorKind, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.kind: ProviderErrorKind = kind
        self.message = message
        self.retry_after_s = retry_after_s


class ToolCall(msgspec.Struct, frozen=True):
    """A request to run a tool. `id` is unique in its conversation; `args` are JSON values."""

    id: str
    tool: str
    args: dict[str, Any] = {}


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. `tool_calls` belong to the assistant; `call_id` names the tool call that a `tool` message answers."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool the model may call: `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any] = {}


class CompletionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a role asks for: its kind (`role`), the model ("" = the provider's default), the system text, the turns.

    `idempotency_key` is the key of the effect that asks; `correlation` the task's. Both only identify: an answer does
    not depend on them. `trace` is where in its trace the completion is asked for; a provider that is reached by HTTP is
    sent it.
    """

    role: str
    model: str
    system: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolDefinition, ...] = ()
    correlation: str = ""
    idempotency_key: str = ""
    trace: TraceContext | None = None

    @property
    def trace_headers(self) -> dict[str, str]:
        """Headers of the requests to a provider."""
        return {} if self.trace is None else self.trace.headers


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came back. `provider` and `model` are those that answered; tokens are counts; `label` says who wrote it.

    `cost_usd` is what the tokens cost by the provider's list price; None when no price is known. `response_id` is what
    the provider calls its answer ("": nothing).
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    label: str
    cost_usd: float | None = None
    response_id: str = ""


class Provider(Protocol):
    """Whoever completes conversations."""

    @property
    def name(self) -> str:
        """The provider's name in settings, events and metrics: lower case, no spaces."""
        ...

    async def complete(self, request: CompletionRequest) -> Completion:
        """The next turn of the conversation. Raises ProviderError."""
        ...
