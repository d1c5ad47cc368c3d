"""A model server for tests: OpenAI's Chat Completions and Anthropic's Messages, with tool calls, streams and faults.

It is strict: a request that the real APIs would refuse (a tool's name, an unanswered call, a missing limit) is refused
with 400. Its model is plausible and stateless: it calls each offered tool once, in order, then writes a report that
cites what they said. `faults` are taken one a completion; see `ModelServer.fault`.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.kit import model_wires as wires
from tests.kit.model_wires import Call, Said

MODELS = ("parrot-1", "parrot-embed", "parrot-2")
KEY = "sk-test-0123456789abcdef"
RETRY_AFTER_S = 7

HTTP_FAULTS: dict[str, tuple[int, str, str]] = {
    "key": (401, "invalid_api_key", f"Incorrect API key provided: {KEY[:7]}****{KEY[-4:]}"),
    "forbidden": (403, "permission_error", f"the key {KEY} may not use this"),
    "rate": (429, "rate_limit_exceeded", "Rate limit reached"),
    "quota": (429, "insufficient_quota", "You exceeded your current quota"),
    "error": (500, "server_error", "The server had an error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "context": (400, "context_length_exceeded", "This model's maximum context length is 8192 tokens"),
    "redirect": (307, "", "elsewhere"),
    "path": (404, "", "Not Found"),
}
SAID_FAULTS: dict[str, Said] = {
    "unknown_tool": Said(calls=(Call("call_x", "rm__rf", "{}"),)),
    "bad_arguments": Said(calls=(Call("call_x", "tests__run", '{"path": '),)),
    "array_arguments": Said(calls=(Call("call_x", "tests__run", "[1]"),)),
    "empty": Said(),
    "length": Said(text="# Report\n\nThe tests", end="length"),
    "length_in_call": Said(calls=(Call("call_x", "tests__run", '{"pa'),), end="length"),
    "declined": Said(text="I cannot help with that.", end="declined"),
    "thinking": Said(text="<think>Let me see.</think>\n# Report\n\nAll is well."),
    "same_id": Said(calls=(Call("0", "tests__run", "{}"), Call("0", "tests__run", ""))),
    "dotted_name": Said(calls=(Call("call_x", "tests.run", "{}"),)),
}
STREAM_FAULTS = frozenset({"cut", "ended", "stream_error", "garbage"})
RAW_FAULTS: dict[str, tuple[str, bytes]] = {
    "malformed": ("application/json", b'{"choices": ['),
    "other_json": ("application/json", b'{"hello": "world"}'),
    "html": ("text/html", b"<html>Sign in</html>"),
}


@dataclass
class ModelServer:
    """A running server. `url` is its root; `asked` are the completions' bodies, `keys` their idempotency keys."""

    url: str = ""
    key: str = KEY
    models: tuple[str, ...] = MODELS
    streams: bool = True  # False: answers in one piece whatever is asked; see also the fault "no_stream".
    parallel: bool = False  # True: calls all tools at once.
    faults: list[str] = field(default_factory=list[str])
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])
    traces: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # Each's traceparent and tracestate.
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # A client of the fault "slow" has hung up.

    def fault(self, *names: str) -> None:
        """The next completions go wrong in these ways, in this order; "" is a right one."""
        self.faults.extend(names)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, wires.OpenAIWire(), request.headers.get("Authorization", "")[7:])

    async def messages(self, request: web.Request) -> web.StreamResponse:
        if "anthropic-version" not in request.headers:
            return wires.AnthropicWire().error(400, "invalid_request_error", "anthropic-version: header is required")
        return await self._complete(request, wires.AnthropicWire(), request.headers.get("x-api-key", ""))

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        if self._key_of(request) != self.key:
            return wires.OpenAIWire().error(401, "invalid_api_key", "no")
        return web.json_response({"data": [{"id": model} for model in self.models]})

    async def find_model(self, request: web.Request) -> web.StreamResponse:
        if self._key_of(request) != self.key:
            return wires.OpenAIWire().error(401, "invalid_api_key", "no")
        model = request.match_info["model"]
        if model not in self.models:
            return wires.OpenAIWire().error(404, "not_found_error", f"model: {model}")
        return web.json_response({"id": model})

    def _key_of(self, request: web.Request) -> str:
        return request.headers.get("x-api-key") or request.headers.get("Authorization", "")[7:]

    async def _complete(self, request: web.Request, wire: wires.AnyWire, key: str) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        self.traces.append((request.headers.get("traceparent", ""), request.headers.get("tracestate", "")))
        fault = self.faults.pop(0) if self.faults else ""
        if key != self.key:
            return wire.error(401, "authentication_error", f"invalid key {key}")
        if (problem := wire.problem(body)) is not None:
            return wire.error(400, "invalid_request_error", problem)
        if body["model"] not in self.models:
            return wire.error(404, "not_found_error", f"model: {body['model']} does not exist")
        if fault in HTTP_FAULTS:
            status, code, message = HTTP_FAULTS[fault]
            headers = {"Location": "http://127.0.0.1:9/"} if fault == "redirect" else {}
            if fault in ("rate", "overloaded"):
                headers["Retry-After"] = str(RETRY_AFTER_S)
            return wire.error(status, code, message, headers)
        if fault in RAW_FAULTS:
            kind, content = RAW_FAULTS[fault]
            return web.Response(body=content, content_type=kind)
        if fault == "no_stream" and body.get("stream"):
            return wire.error(400, "invalid_request_error", "this server does not support stream")
        if fault == "slow":
            return await self._never(request)
        said = replace(SAID_FAULTS[fault]) if fault in SAID_FAULTS else self._say(wire, body)
        if fault == "flood":
            said = Said(text="x" * 17_000_000)  # More than a client of ours reads.
        if not (body.get("stream") and self.streams):
            return web.json_response(wire.whole(said, body["model"]))
        return await self._stream(request, wire.events(said, body), fault if fault in STREAM_FAULTS else "")

    def _say(self, wire: wires.AnyWire, body: dict[str, Any]) -> Said:
        """The plausible model."""
        offered, called, results = wire.read(body)
        left = [name for name in offered if name not in called]
        if left:
            turn = len(results)
            wanted = left if self.parallel else left[:1]
            return Said(calls=tuple(Call(f"call_{turn}_{n}", name, "{ }") for n, name in enumerate(wanted)))
        lines = ["# Report", ""]
        for text in results:
            said = json.loads(text)
            summary = re.sub(r"\s+", " ", said["summary"])
            lines.append(f"- {said['tool']} ({said['status']}): {summary} [{said['call']}]")
        return Said(text="\n".join(lines))

    async def _never(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await asyncio.sleep(0.02)
                await response.write(b"")  # Nothing goes out; a client that has gone is noticed.
                if request.transport is None or request.transport.is_closing():
                    return response
        finally:
            self.gone.set()

    async def _stream(self, request: web.Request, events: list[bytes], fault: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        half = max(1, len(events) // 2)
        await response.write(b": a comment, as some servers send while they think\n\n")
        for event in events[:half] if fault else events:
            await response.write(event)
        if fault == "stream_error":
            await response.write(wires.STREAM_ERROR)
        if fault == "garbage":
            await response.write(b"data: {not json\n\n")
        if fault == "cut" and request.transport is not None:
            request.transport.abort()
        return response


@asynccontextmanager
async def model_server(**options: Any) -> AsyncGenerator[ModelServer]:
    """A server on a free loopback port until the block ends."""
    server = ModelServer(**options)
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/messages", server.messages)
    app.router.add_get("/v1/models", server.list_models)
    app.router.add_get("/v1/models/{model}", server.find_model)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
