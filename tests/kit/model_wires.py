"""Both wire formats as a server speaks them: what is wrong with a request, what it says, and an answer's two forms."""

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

from aiohttp import web

TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
FRAGMENT_CHARACTERS = 3
STREAM_ERROR = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
TOKENS_IN, TOKENS_OUT, CACHED = 120, 34, 20

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Said:
    """`end`: "whole", "length" or "declined"."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    end: str = "whole"


class AnyWire(Protocol):
    def problem(self, body: Json) -> str | None: ...
    def read(self, body: Json) -> tuple[list[str], list[str], list[str]]: ...
    def whole(self, said: Said, model: str) -> Json: ...
    def events(self, said: Said, body: Json) -> list[bytes]: ...
    def error(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> web.StreamResponse: ...


def fragments(text: str) -> list[str]:
    """`text` in pieces, as tokens come; at least one."""
    step = max(FRAGMENT_CHARACTERS, len(text) // 200)
    return [text[start : start + step] for start in range(0, len(text), step)] or [""]


def _unfit(offered: list[str], called: list[str]) -> str | None:
    bad = [name for name in [*offered, *called] if not TOOL_NAME.match(name)]
    if bad:
        return f"tools: names {bad} do not match {TOOL_NAME.pattern}"
    return "tools: names must be unique" if len(set(offered)) < len(offered) else None


class OpenAIWire:
    """https://platform.openai.com/docs/api-reference/chat"""

    def problem(self, body: Json) -> str | None:
        offered, called, _ = self.read(body)
        if unfit := _unfit(offered, called):
            return unfit
        for tool in body.get("tools", ()):
            if tool["function"]["parameters"].get("type") != "object":
                return "tools: parameters must be an object schema"
        open_: set[str] = set()
        for message in body["messages"]:
            if message["role"] == "tool":
                if message["tool_call_id"] not in open_:
                    return "messages with role 'tool' must answer a preceding tool call"
                open_.discard(message["tool_call_id"])
                continue
            if open_:
                return f"tool calls without an answer: {sorted(open_)}"
            open_ = {call["id"] for call in message.get("tool_calls", ())}
        return None

    def read(self, body: Json) -> tuple[list[str], list[str], list[str]]:
        messages: list[Json] = body["messages"]
        offered = [tool["function"]["name"] for tool in body.get("tools", ())]
        called = [call["function"]["name"] for message in messages for call in message.get("tool_calls", ())]
        return offered, called, [message["content"] for message in messages if message["role"] == "tool"]

    def whole(self, said: Said, model: str) -> Json:
        message: Json = {"role": "assistant", "content": said.text or None}
        if said.end == "declined":
            message |= {"content": None, "refusal": said.text}
        if said.calls:
            message["tool_calls"] = [self._call(call) for call in said.calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish(said)}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": model,
            "choices": [choice],
            "usage": self.USAGE,
        }

    def events(self, said: Said, body: Json) -> list[bytes]:
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        key = "refusal" if said.end == "declined" else "content"
        deltas += [{key: piece} for piece in fragments(said.text) if piece]
        for index, call in enumerate(said.calls):
            opened = self._call(Call(call.id, call.name, ""))
            deltas.append({"tool_calls": [opened | {"index": index}]})
            pieces = fragments(call.arguments)
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
        chunks: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        chunks.append({"index": 0, "delta": {}, "finish_reason": self._finish(said)})
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"]}
        bodies: list[Json] = [base | {"choices": [chunk], "usage": None} for chunk in chunks]
        if body.get("stream_options", {}).get("include_usage"):
            bodies.append(base | {"choices": [], "usage": self.USAGE})
        return [*(f"data: {json.dumps(each)}\n\n".encode() for each in bodies), b"data: [DONE]\n\n"]

    def error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.StreamResponse:
        body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code or None}}
        return web.json_response(body, status=status, headers=headers)

    USAGE = {
        "prompt_tokens": TOKENS_IN,
        "completion_tokens": TOKENS_OUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }

    def _call(self, call: Call) -> Json:
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}

    def _finish(self, said: Said) -> str:
        if said.end == "length":
            return "length"
        return "tool_calls" if said.calls else "stop"


class AnthropicWire:
    """https://docs.anthropic.com/en/api/messages"""

    def problem(self, body: Json) -> str | None:
        offered, called, _ = self.read(body)
        if unfit := _unfit(offered, called):
            return unfit
        if not body.get("max_tokens"):
            return "max_tokens: Field required"
        if any(tool["input_schema"].get("type") != "object" for tool in body.get("tools", ())):
            return "tools: input_schema must be an object schema"
        roles = [message["role"] for message in body["messages"]]
        if roles[:1] != ["user"] or any(a == b for a, b in pairwise(roles)):
            return "messages: roles must alternate, the user first"
        open_: set[str] = set()
        for message in body["messages"]:
            blocks = cast("list[Json]", message["content"])
            if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
                return "messages: text content blocks must contain non-whitespace text"
            answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            if answered != open_:
                return f"messages: tool_use ids without tool_result blocks right after: {sorted(answered ^ open_)}"
            open_ = {block["id"] for block in blocks if block["type"] == "tool_use"}
        return None

    def read(self, body: Json) -> tuple[list[str], list[str], list[str]]:
        blocks: list[Json] = [block for message in body["messages"] for block in message["content"]]
        offered = [tool["name"] for tool in body.get("tools", ())]
        called = [block["name"] for block in blocks if block["type"] == "tool_use"]
        return offered, called, [block["content"] for block in blocks if block["type"] == "tool_result"]

    def whole(self, said: Said, model: str) -> Json:
        content: list[Json] = [{"type": "text", "text": said.text}] if said.text else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _lenient(call.arguments)}
            for call in said.calls
        ]
        usage = {"input_tokens": TOKENS_IN - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": TOKENS_OUT}
        return {"type": "message", "role": "assistant", "model": model, "content": content,
                "stop_reason": self._stop(said), "usage": usage}  # fmt: skip

    def events(self, said: Said, body: Json) -> list[bytes]:
        begun = self.whole(Said(), body["model"])
        begun["usage"] |= {"output_tokens": 1}
        begun["stop_reason"] = None
        events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
        blocks: list[tuple[Json, list[Json]]] = []
        if said.text:
            pieces: list[Json] = [{"type": "text_delta", "text": piece} for piece in fragments(said.text)]
            blocks.append(({"type": "text", "text": ""}, pieces))
        for call in said.calls:
            opened: Json = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            blocks.append(
                (opened, [{"type": "input_json_delta", "partial_json": each} for each in fragments(call.arguments)])
            )
        for index, (opened, deltas) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": opened})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        stop = {"stop_reason": self._stop(said), "stop_sequence": None}
        events += [
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": TOKENS_OUT}},
            {"type": "message_stop"},
        ]
        return [f"event: {event['type']}\r\ndata: {json.dumps(event)}\r\n\r\n".encode() for event in events]

    def error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.StreamResponse:
        body = {"type": "error", "error": {"type": code or "api_error", "message": message}}
        return web.json_response(body, status=status, headers=headers)

    def _stop(self, said: Said) -> str:
        if said.end != "whole":
            return {"length": "max_tokens", "declined": "refusal"}[said.end]
        return "tool_use" if said.calls else "end_turn"


def _lenient(arguments: str) -> Any:
    """A whole answer holds arguments as JSON: what is none of it cannot stand there, and stands as a text."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
