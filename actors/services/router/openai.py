"""OpenAI's Chat Completions (https://platform.openai.com/docs/api-reference/chat), and whoever speaks the same.

Answers are streamed, so that a long one is not taken for silence; a server that answers in one piece, or refuses to
stream, is understood as well. The idempotency key goes along as `Idempotency-Key`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from actors.services.router.complaints import Complaint, Endpoint, broken_off, complaint_of
from actors.services.router.exchange import Usage, WireAnswer, WireCall, open_schema
from actors.services.router.http import COMPLETION, Answer, ModelHttp, Timeouts
from actors.services.router.provider import ChatMessage, CompletionRequest, ProviderError, ToolDefinition
from actors.services.router.tool_names import ToolNames

NAME = "openai"
URL = "https://api.openai.com/v1"
KEY_SETTING = "OPENAI_API_KEY"
STREAM_END = "[DONE]"


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct, frozen=True):
    """A tool call, or in a stream a fragment of one: `index` says of which."""

    id: str | None = None
    index: int | None = None
    function: _Function = _Function()


class _Said(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[_Call, ...] | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Cached(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None


class _Chunk(msgspec.Struct, frozen=True):
    """A whole answer, or in a stream one piece of it."""

    id: str | None = None
    model: str | None = None
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: Any = None


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...] | None = ()


class ChatCompletions:
    """The wire format at one endpoint."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint, timeouts: Timeouts = COMPLETION) -> None:
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._http = ModelHttp(session, endpoint, headers, timeouts)
        self.endpoint = endpoint

    async def ask(self, request: CompletionRequest, model: str, names: ToolNames, remark: str, key: str) -> WireAnswer:
        body = _body(request, model, names, remark)
        try:
            return await self._post(body, key, request)
        except ProviderError as error:
            # Some servers do not stream, or not with tools: they say so, and are asked for one piece.
            if error.kind != "refused" or "stream" not in error.message:
                raise
        whole = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        return await self._post(whole, key and f"{key}:whole", request)

    async def models(self) -> list[str]:
        return [model.id for model in (await self._http.get("/models", _Models)).data or ()]

    async def find(self, model: str) -> None:
        await self._http.probe(f"/models/{quote(model, safe='')}", model)

    async def _post(self, body: dict[str, Any], key: str, request: CompletionRequest) -> WireAnswer:
        # Hashed: the key names a stream of ours, which is nobody else's business.
        named = {"Idempotency-Key": hashlib.sha256(key.encode()).hexdigest()} if key else {}
        headers = {**named, **request.trace_headers}
        async with self._http.post("/chat/completions", body, headers, body["model"]) as answer:
            collected = _Collected(self.endpoint, str(body["model"]))
            await (self._stream(answer, collected) if answer.streamed else self._whole(answer, collected))
        return collected.answer()

    async def _whole(self, answer: Answer, collected: "_Collected") -> None:
        collected.add(await answer.whole(_Chunk))
        collected.ended = True

    async def _stream(self, answer: Answer, collected: "_Collected") -> None:
        async for event in answer.events():
            if event.data == STREAM_END:
                collected.ended = True
            elif not collected.ended:
                collected.add(self._http.decode(event.data, _Chunk))


@dataclass
class _Begun:
    """A tool call that may still grow."""

    index: int | None
    id: str
    name: str
    arguments: str = ""

    def continues(self, call: _Call) -> bool:
        """Whether `call` is a fragment of this one. Some servers number none or all of their calls 0: then ids tell."""
        if call.index != self.index or (call.id and self.id and call.id != self.id):
            return False
        return call.index is not None or not call.function.name


class _Collected:
    """One answer as its pieces come in."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.ended = False
        self._endpoint, self._asked, self._model, self._id = endpoint, model, "", ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Begun] = []
        self._finish = ""
        self._usage: Usage | None = None
        self._choices = 0

    def add(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            raise broken_off(self._endpoint, complaint_of(chunk.error), self._asked)
        self._model, self._id = chunk.model or self._model, self._id or chunk.id or ""
        if chunk.usage is not None:
            details = chunk.usage.prompt_tokens_details
            cached = (details.cached_tokens if details else 0) or 0
            self._usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens, cached)
        for choice in chunk.choices[:1]:
            self._choices += 1
            said = choice.message or choice.delta or _Said()
            self._text.append(said.content or "")
            self._refusal.append(said.refusal or "")
            self._finish = choice.finish_reason or self._finish
            for call in said.tool_calls or ():
                self._add_call(call)

    def _add_call(self, call: _Call) -> None:
        begun = next((each for each in reversed(self._calls) if each.continues(call)), None)
        if begun is None:
            begun = _Begun(call.index, call.id or "", call.function.name or "")
            self._calls.append(begun)
        arguments = call.function.arguments
        begun.arguments += arguments if isinstance(arguments, str) else _text_of(arguments)

    def answer(self) -> WireAnswer:
        """The whole. ProviderError when the pieces are none."""
        if not self.ended and not self._finish:
            raise broken_off(self._endpoint, Complaint("", "the stream ended before the answer did"), self._asked)
        if not self._choices:
            raise self._endpoint.error("bad_response", "the answer has no choices, as its API promises")
        calls = tuple(WireCall(call.id, call.name, call.arguments) for call in self._calls)
        refusal = "".join(self._refusal)
        if refusal or self._finish == "content_filter":
            why = refusal or "the provider's content filter stopped the answer"
            return WireAnswer(why, (), self._model, self._usage, "declined", self._id)
        end = "length" if self._finish == "length" else "whole"
        return WireAnswer("".join(self._text), calls, self._model, self._usage, end, self._id)


def _text_of(arguments: dict[str, Any] | None) -> str:
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def _body(request: CompletionRequest, model: str, names: ToolNames, remark: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.system}] if request.system else []
    messages += [_message(message, names) for message in request.messages]
    if remark:
        messages.append({"role": "user", "content": remark})
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool, names) for tool in request.tools]
    return body


def _message(message: ChatMessage, names: ToolNames) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    said: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": names.to_wire(call.tool), "arguments": msgspec.json.encode(call.args).decode()},
            }
            for call in message.tool_calls
        ]
    return said


def _tool(tool: ToolDefinition, names: ToolNames) -> dict[str, Any]:
    function = {
        "name": names.to_wire(tool.name),
        "description": tool.description,
        "parameters": open_schema(tool.parameters),
    }
    return {"type": "function", "function": function}
