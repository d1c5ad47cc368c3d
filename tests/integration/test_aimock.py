"""Our adapters and somebody else's mock of the same APIs understand each other: tools, streams, errors, two formats."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors.services.router.provider import ChatMessage, CompletionRequest, Provider, ProviderError, ToolDefinition
from actors.services.router.select import Choice, open_provider
from tests.kit.aimock import KEY, NoAimock, aimock, install

MODEL = "mock-1"
CUT = "a long answer that is cut before its end"
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "review", "turnIndex": 0},
        "response": {
            "content": "I look first.",
            "toolCalls": [
                {"name": "tests__run", "arguments": {"path": 'a "b", {c}: é'}},
                {"name": "docs__check", "arguments": {}},
            ],
        },
    },
    {
        "match": {"userMessage": "review", "turnIndex": 1, "hasToolResult": True},
        "response": {
            "content": "# Tests\n\n5 passed [tools/t1@3]",
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "input_tokens": 11, "output_tokens": 7},
        },
    },
    {
        "match": {"userMessage": "busy"},
        "response": {"error": {"message": "Rate limited", "type": "rate_limit_error"}, "status": 429},
    },
    {"match": {"userMessage": "cut"}, "response": {"content": CUT}, "truncateAfterChunks": 3},
]
TOOLS = (
    ToolDefinition("tests.run", "Run.", {"type": "object", "properties": {"path": {"type": "string"}}}),
    ToolDefinition("docs.check", "Check."),
)


@pytest_asyncio.fixture(scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    try:
        program = install()
    except NoAimock as reason:
        pytest.skip(f"aimock is not available: {reason}")
    fixtures = Path(tmp_path_factory.mktemp("aimock")) / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    async with aimock(program, fixtures) as address:
        yield address


KEYS = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "TROUPE_PROVIDER_KEY": KEY}


@pytest_asyncio.fixture(params=["openai", "anthropic", "compatible"])
async def provider(request: pytest.FixtureRequest, url: str) -> AsyncGenerator[Provider]:
    async with open_provider(Choice(request.param, MODEL, url), KEYS, {}) as opened:
        yield opened


def asked(text: str, *more: ChatMessage) -> CompletionRequest:
    return CompletionRequest("tester", "", "You test.", (ChatMessage("user", text), *more), TOOLS, "t1", "k1")


async def test_tools_are_called_in_parallel_and_their_results_understood(provider: Provider) -> None:
    first = await provider.complete(asked("review this"))
    assert [(call.tool, call.args) for call in first.tool_calls] == [
        ("tests.run", {"path": 'a "b", {c}: é'}),
        ("docs.check", {}),
    ]
    assert first.text == "I look first."
    results = [ChatMessage("tool", '{"status": "ok"}', call_id=call.id) for call in first.tool_calls]
    second = await provider.complete(
        asked("review this", ChatMessage("assistant", first.text, first.tool_calls), *results)
    )
    assert second.tool_calls == ()
    assert second.text == f"# Tests\n\n_This report was {second.label}._\n\n5 passed [tools/t1@3]\n"
    assert second.model == MODEL
    assert second.tokens_out == 7


@pytest.mark.parametrize("text", ["busy", "cut"])
async def test_what_passes_is_unavailable(provider: Provider, text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(asked(text))
    assert caught.value.kind == "unavailable"
    assert CUT not in caught.value.message


@pytest.mark.parametrize("name", ["openai", "anthropic", "compatible"])
async def test_a_wrong_key_is_said_at_the_start(name: str, url: str) -> None:
    with pytest.raises(ProviderError) as caught:
        async with open_provider(Choice(name, MODEL, url), dict.fromkeys(KEYS, "sk-wrong-key"), {}):
            pytest.fail("it opened")
    assert caught.value.kind == "bad_key"
    assert "sk-wrong" not in caught.value.message
