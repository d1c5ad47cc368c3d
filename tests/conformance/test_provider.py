"""What every provider promises. A new provider joins by adding a function that builds it to PROVIDERS.

The builder is an async context: it yields a provider that will, for the role `tester`, first call `tests.run` and then
report, and its model's name. Those with a model behind them ask the local server of tests/kit/model_server.py.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest
import pytest_asyncio

from actors.services.router.offline import MODEL, OfflineProvider, Script
from actors.services.router.provider import (
    ChatMessage,
    CompletionRequest,
    Provider,
    ProviderError,
    ToolCall,
    ToolDefinition,
)
from actors.services.router.select import Choice, open_provider
from tests.kit.model_server import KEY, MODELS, model_server

Built = tuple[Provider, str]
Builder = Callable[[], AbstractAsyncContextManager[Built]]


@asynccontextmanager
async def offline() -> AsyncGenerator[Built]:
    yield OfflineProvider({"tester": Script("Test run", 1, (("tests.run", {}),))}), MODEL


@asynccontextmanager
async def openai() -> AsyncGenerator[Built]:
    async with (
        model_server() as server,
        open_provider(Choice("openai", MODELS[0], f"{server.url}/v1"), {"OPENAI_API_KEY": KEY}, {}) as provider,
    ):
        yield provider, MODELS[0]


@asynccontextmanager
async def openai_in_one_piece() -> AsyncGenerator[Built]:
    async with (
        model_server(streams=False) as server,
        open_provider(Choice("openai", MODELS[0], f"{server.url}/v1"), {"OPENAI_API_KEY": KEY}, {}) as provider,
    ):
        yield provider, MODELS[0]


@asynccontextmanager
async def anthropic() -> AsyncGenerator[Built]:
    async with (
        model_server() as server,
        open_provider(Choice("anthropic", MODELS[0], server.url), {"ANTHROPIC_API_KEY": KEY}, {}) as provider,
    ):
        yield provider, MODELS[0]


@asynccontextmanager
async def anthropic_in_one_piece() -> AsyncGenerator[Built]:
    async with (
        model_server(streams=False) as server,
        open_provider(Choice("anthropic", MODELS[0], server.url), {"ANTHROPIC_API_KEY": KEY}, {}) as provider,
    ):
        yield provider, MODELS[0]


@asynccontextmanager
async def compatible() -> AsyncGenerator[Built]:
    async with model_server(key="") as server, open_provider(Choice("compatible", "", server.url), {}, {}) as provider:
        yield provider, MODELS[0]


PROVIDERS: tuple[Builder, ...] = (
    offline,
    openai,
    openai_in_one_piece,
    anthropic,
    anthropic_in_one_piece,
    compatible,
)
TESTS_RUN = ToolDefinition("tests.run", "Run the tests.", {"type": "object", "properties": {}})
RESULT = msgspec.json.encode(
    {"call": "tools/t1@3", "tool": "tests.run", "status": "ok", "summary": "5 passed", "facts": {"passed": 5}}
).decode()


@pytest_asyncio.fixture(params=PROVIDERS, ids=lambda build: build.__name__)
async def built(request: pytest.FixtureRequest) -> AsyncGenerator[Built]:
    build: Builder = request.param
    async with build() as provider:
        yield provider


def asked(model: str, *turns: ChatMessage, tools: tuple[ToolDefinition, ...] = (TESTS_RUN,)) -> CompletionRequest:
    messages = (ChatMessage("user", "review this repository for release"), *turns)
    return CompletionRequest("tester", model, "You are the tester.", messages, tools)


def answered(call: ToolCall) -> tuple[ChatMessage, ChatMessage]:
    return ChatMessage("assistant", tool_calls=(call,)), ChatMessage("tool", RESULT, call_id=call.id)


async def test_its_name_is_fit_for_settings_and_labels(built: Built) -> None:
    provider, _ = built
    assert provider.name
    assert provider.name == provider.name.lower().strip()
    assert " " not in provider.name


async def test_it_calls_only_tools_that_are_offered_with_object_arguments(built: Built) -> None:
    provider, model = built
    completion = await provider.complete(asked(model))
    assert [call.tool for call in completion.tool_calls] == ["tests.run"]
    assert all(call.id and msgspec.json.encode(call.args).startswith(b"{") for call in completion.tool_calls)


async def test_after_the_results_it_answers_with_text(built: Built) -> None:
    provider, model = built
    (call,) = (await provider.complete(asked(model))).tool_calls
    completion = await provider.complete(asked(model, *answered(call)))
    assert completion.text.strip()
    assert completion.tool_calls == ()


async def test_an_answer_says_who_gave_it_and_what_it_took(built: Built) -> None:
    provider, model = built
    completion = await provider.complete(asked(model))
    assert completion.provider == provider.name
    assert completion.model
    assert completion.label
    assert completion.tokens_in >= 0
    assert completion.tokens_out >= 0
    assert completion.cost_usd is None or completion.cost_usd >= 0


async def test_a_report_says_in_its_text_who_wrote_it(built: Built) -> None:
    provider, model = built
    (call,) = (await provider.complete(asked(model))).tool_calls
    completion = await provider.complete(asked(model, *answered(call)))
    assert completion.label in completion.text
    assert completion.text.startswith("# ")


async def test_a_completion_survives_the_wire(built: Built) -> None:
    provider, model = built
    completion = await provider.complete(asked(model))
    assert msgspec.json.decode(msgspec.json.encode(completion), type=type(completion)) == completion


async def test_it_keeps_no_conversation(built: Built) -> None:
    provider, model = built
    (call,) = (await provider.complete(asked(model))).tool_calls
    await provider.complete(asked(model, *answered(call)))
    again = await provider.complete(asked(model))
    assert [each.tool for each in again.tool_calls] == ["tests.run"]


async def test_the_default_model_needs_no_name(built: Built) -> None:
    provider, _ = built
    completion = await provider.complete(asked(""))
    assert completion.model


async def test_an_unknown_model_is_a_typed_error(built: Built) -> None:
    provider, _ = built
    with pytest.raises(ProviderError) as caught:
        await provider.complete(asked("no-such-model"))
    assert caught.value.kind == "unknown_model"
    assert "no-such-model" in caught.value.message
