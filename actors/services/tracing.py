"""Spans of what effects do, around their ports: completions and runs of tools. Neither knows that it is traced.

Names and attributes are those of OpenTelemetry's conventions for generative AI. Of a completion they tell who was asked
and what was counted, never a word of what was said; of a tool its name, never its arguments or what it found.
"""

from collections.abc import Collection
from dataclasses import replace

import msgspec

from actors.runtime.kind import EffectCall, Performer
from actors.runtime.ports import Clock
from actors.runtime.tracing import Attribute, Span, Tracer
from actors.services.router.provider import Completion, CompletionRequest, Provider, ProviderError
from protocol.message import Command
from protocol.tools import RecordReturn, ToolWork
from protocol.trace import span_id

UNKNOWN = "unknown"
CUT = "cancelled"  # The kind of failure of what did not come to an end of its own.


def traced_provider(provider: Provider, tracer: Tracer, clock: Clock) -> Provider:
    """The provider; each completion is a span below the attempt that asks for it, and is asked for as that span."""
    return _TracedProvider(provider, tracer, clock)


def traced_tools(performer: Performer, tools: Collection[str], tracer: Tracer, clock: Clock) -> Performer:
    """The tools' performer; each run is a span below its attempt. Tools have the names of `tools`."""
    known = frozenset(tools)

    async def perform(call: EffectCall, work: ToolWork) -> Command:
        if call.trace is None or not tracer.enabled:
            return await performer.perform(call, work)
        tool = work.tool if work.tool in known else UNKNOWN
        about: dict[str, Attribute] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": work.call,
            "gen_ai.conversation.id": call.correlation,
        }
        there = call.trace.at(span_id("tool", call.address.project, call.trace.span_id))
        begun_at, failed = clock(), CUT
        try:
            returned = await performer.perform(call, work)
            assert isinstance(returned, RecordReturn), "the tools' performer answers with a return"
            about["troupe.outcome"], failed = returned.status, "failed" if returned.status == "failed" else ""
            return returned
        except Exception as error:
            failed = type(error).__name__
            raise
        finally:
            name = f"execute_tool {tool}"
            tracer.record(Span(name, "internal", there, call.trace.span_id, begun_at, clock(), about, failed))

    return replace(performer, perform=perform)


class _TracedProvider:
    """A Provider around another."""

    def __init__(self, provider: Provider, tracer: Tracer, clock: Clock) -> None:
        self._provider, self._tracer, self._clock = provider, tracer, clock

    @property
    def name(self) -> str:
        return self._provider.name

    async def complete(self, request: CompletionRequest) -> Completion:
        attempt = request.trace
        if attempt is None:
            return await self._provider.complete(request)
        there = attempt.at(span_id("completion", "", f"{attempt.span_id}/{request.idempotency_key}"))
        # Also where nobody exports spans: what is asked for is named alike everywhere.
        request = msgspec.structs.replace(request, trace=there)
        if not self._tracer.enabled:
            return await self._provider.complete(request)
        about: dict[str, Attribute] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self.name,
            "gen_ai.conversation.id": request.correlation,
            "troupe.role": request.role,
        }
        if request.model:
            about["gen_ai.request.model"] = request.model
        begun_at, failed = self._clock(), CUT
        try:
            completion = await self._provider.complete(request)
            about |= _about(completion, request.model)
            failed = ""
            return completion
        except ProviderError as error:
            failed = error.kind
            raise
        finally:
            name = f"chat {about.get('gen_ai.request.model', '')}".rstrip()
            span = Span(name, "client", there, attempt.span_id, begun_at, self._clock(), about, failed)
            self._tracer.record(span)


def _about(completion: Completion, asked: str) -> dict[str, Attribute]:
    """What is told of an answer. Who names no model is asked for the provider's own, which the answer names."""
    about: dict[str, Attribute] = {
        "gen_ai.provider.name": completion.provider,
        "gen_ai.request.model": asked or completion.model,
        "gen_ai.response.model": completion.model,
        "gen_ai.usage.input_tokens": completion.tokens_in,
        "gen_ai.usage.output_tokens": completion.tokens_out,
    }
    if completion.response_id:
        about["gen_ai.response.id"] = completion.response_id
    return about
