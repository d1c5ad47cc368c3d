"""Anthropic's Messages API (https://docs.anthropic.com/en/api/messages).

Answers are streamed. The API knows no idempotency key: a completion asked for twice is paid twice.
"""

from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from actors.services.router.complaints import Complaint, Endpoint, broken_off, complaint_of
from actors.services.router.exchange import Usage, WireAnswer, WireCall, open_schema
from actors.services.router.http import COMPLETION, Answer, ModelHttp, Timeouts
from actors.services.router.provider import ChatMessage, CompletionRequest
from actors.services.router.tool_names import ToolNames

NAME = "anthropic"
URL = "https://api.anthropic.com"
KEY_SETTING = "ANTHROPIC_API_KEY"
VERSION = "2023-06-01"
ANSWER_TOKENS_MAX = 8_192  # The API wants a limit; a report is far shorter.
MODELS_MAX = 100

_CUT = ("max_tokens", "model_context_window_exceeded")


class _Usage(msgspec.Struct, frozen=True):
    """Tokens as counted so far; the counts from and to the cache are not part of `input_tokens`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class _Message(msgspec.Struct, frozen=True):
    id: str = ""
    model: str = ""
    content: tuple[_Block, ...] = ()
    stop_reason: str | None = None
    usage: _Usage = _Usage()


class _Delta(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    message: _Message | None = None
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta = _Delta()
    usage: _Usage | None = None
    error: Any = None


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...] = ()


class Messages:
    """The wire format at one endpoint."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint, timeouts: Timeouts = COMPLETION) -> None:
        headers = {"x-api-key": endpoint.key, "anthropic-version": VERSION}
        self._http = ModelHttp(session, endpoint, headers, timeouts)
        self.endpoint = endpoint

    async def ask(self, request: CompletionRequest, model: str, names: ToolNames, remark: str, key: str) -> WireAnswer:
        del key  # There is nowhere to put it.
        body = _body(request, model, names, remark)
        async with self._http.post("/v1/messages", body, request.trace_headers, model) as answer:
            collected = _Collected(self.endpoint, model)
            await (self._stream(answer, collected) if answer.streamed else self._whole(answer, collected))
        return collected.answer()

    async def models(self) -> list[str]:
        return [model.id for model in (await self._http.get(f"/v1/models?limit={MODELS_MAX}", _Models)).data]

    async def find(self, model: str) -> None:
        await self._http.probe(f"/v1/models/{quote(model, safe='')}", model)

    async def _whole(self, answer: Answer, collected: "_Collected") -> None:
        message = await answer.whole(_Message)
        if not message.stop_reason:
            raise self.endpoint.error("bad_response", "the answer has no stop_reason, as its API promises")
        collected.begin(message)
        for index, block in enumerate(message.content):
            collected.open(index, block)

    async def _stream(self, answer: Answer, collected: "_Collected") -> None:
        async for event in answer.events():
            collected.add(self._http.decode(event.data, _Event))


class _Collected:
    """One answer as its pieces come in: blocks by their index, each its opening and the JSON or text after it."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint, self._asked, self._model = endpoint, model, ""
        self._blocks: dict[int, tuple[_Block, list[str]]] = {}
        self._id = self._stop = ""
        self._counted: dict[str, int] = {}

    def begin(self, message: _Message) -> None:
        self._id, self._model, self._stop = message.id, message.model, message.stop_reason or ""
        self._count(message.usage)

    def open(self, index: int, block: _Block) -> None:
        self._blocks[index] = (block, [])

    def add(self, event: _Event) -> None:
        """One event of the stream; kinds of events and blocks that came later than this code say nothing to it."""
        match event.type:
            case "message_start" if event.message is not None:
                self.begin(event.message)
            case "content_block_start" if event.content_block is not None:
                self.open(event.index, event.content_block)
            case "content_block_delta" if event.index in self._blocks:
                self._blocks[event.index][1].append(event.delta.text or event.delta.partial_json)
            case "message_delta":
                self._stop = event.delta.stop_reason or self._stop
                self._count(event.usage or _Usage())
            case "error":
                raise broken_off(self._endpoint, complaint_of(event.error), self._asked)
            case _:
                pass

    def _count(self, usage: _Usage) -> None:
        """Later counts replace earlier ones: the stream repeats them as they grow."""
        self._counted |= {name: n for name, n in msgspec.structs.asdict(usage).items() if n is not None}

    def answer(self) -> WireAnswer:
        """The whole. ProviderError when the pieces are none."""
        if not self._stop:
            raise broken_off(self._endpoint, Complaint("", "the stream ended before the answer did"), self._asked)
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        text = "".join((block.text or "") + "".join(rest) for block, rest in blocks if block.type == "text")
        calls = tuple(_call(block, "".join(rest)) for block, rest in blocks if block.type == "tool_use")
        if self._stop == "refusal":
            return WireAnswer(text, (), self._model, self._usage(), "declined", self._id)
        end = "length" if self._stop in _CUT else "whole"
        return WireAnswer(text, calls, self._model, self._usage(), end, self._id)

    def _usage(self) -> Usage | None:
        if not self._counted:
            return None
        read = self._counted.get("cache_read_input_tokens", 0)
        written = self._counted.get("cache_creation_input_tokens", 0)
        tokens_in = self._counted.get("input_tokens", 0) + read + written
        return Usage(tokens_in, self._counted.get("output_tokens", 0), read, written)


def _call(block: _Block, streamed: str) -> WireCall:
    arguments = streamed or ("" if block.input is None else msgspec.json.encode(block.input).decode())
    return WireCall(block.id or "", block.name or "", arguments)


def _body(request: CompletionRequest, model: str, names: ToolNames, remark: str) -> dict[str, Any]:
    said = [*request.messages, ChatMessage("user", remark)] if remark else request.messages
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": ANSWER_TOKENS_MAX,
        "messages": _merged([_message(message, names) for message in said]),
        "stream": True,
    }
    if request.system:
        body["system"] = request.system
    if request.tools:
        body["tools"] = [
            {
                "name": names.to_wire(tool.name),
                "description": tool.description,
                "input_schema": open_schema(tool.parameters),
            }
            for tool in request.tools
        ]
    return body


def _message(message: ChatMessage, names: ToolNames) -> tuple[str, list[dict[str, Any]]]:
    """Who says it, and its blocks. Results of tools come from the user; an empty text is not allowed."""
    if message.role == "tool":
        return "user", [{"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    blocks += [
        {"type": "tool_use", "id": call.id, "name": names.to_wire(call.tool), "input": call.args}
        for call in message.tool_calls
    ]
    return message.role, blocks


def _merged(said: list[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Neighbours of one speaker as one message: the results of parallel calls have to stand together."""
    messages: list[dict[str, Any]] = []
    for role, blocks in said:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})
    return messages
