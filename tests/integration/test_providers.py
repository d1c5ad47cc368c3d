"""Every way a model server goes wrong ends in the promised typed error, one line long and without a key.

All against the local server, in both wire formats, streamed where the fault does not say otherwise.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from actors import host
from actors.services.router import anthropic, compatible, openai
from actors.services.router.complaints import Endpoint
from actors.services.router.exchange import CUT_OFF, ModelProvider, Usage, Wire
from actors.services.router.http import RESPONSE_BYTES_MAX, Timeouts, open_session
from actors.services.router.provider import (
    ChatMessage,
    Completion,
    CompletionRequest,
    Provider,
    ProviderError,
    ToolCall,
    ToolDefinition,
)
from actors.services.router.select import BadChoice, Choice, open_provider
from tests.kit.model_server import KEY, MODELS, RETRY_AFTER_S, ModelServer, model_server
from tests.kit.model_wires import CACHED, TOKENS_IN, TOKENS_OUT

TOOLS = (
    ToolDefinition("tests.run", "Run the tests."),
    ToolDefinition("docs.check", "Check.", {"type": "object", "properties": {"path": {"type": "string"}}}),
)
QUESTION = (ChatMessage("user", "review this repository"),)
RESULT = '{"tool": "TOOL", "status": "ok", "summary": "ran", "call": "tools/t@1"}'
CLOSED = "http://127.0.0.1:9"


@dataclass
class Bench:
    """A server and a provider that asks it. `priced` are the usages a price was asked for."""

    server: ModelServer
    provider: Provider
    priced: list[tuple[str, Usage]]

    async def ask(self, *said: ChatMessage, key: str = "") -> Completion:
        request = CompletionRequest("tester", "", "You test.", (*QUESTION, *said), TOOLS, idempotency_key=key)
        return await self.provider.complete(request)

    async def fails(self, kind: str) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.ask()
        assert caught.value.kind == kind, caught.value.message
        message = caught.value.message
        assert message.startswith(f"{self.provider.name}: ")
        assert "\n" not in message
        assert KEY not in message
        assert KEY[-4:] not in message
        return caught.value


@asynccontextmanager
async def benched(name: str, timeouts: Timeouts | None = None) -> AsyncGenerator[Bench]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(model_server())
        session = await stack.enter_async_context(open_session())
        bench = Bench(server, None, [])  # pyright: ignore[reportArgumentType]  # it comes two lines below
        wire: Wire
        limits = timeouts or Timeouts()
        if name == "anthropic":
            endpoint = Endpoint(name, server.url, "ANTHROPIC_API_KEY", key=KEY)
            wire = anthropic.Messages(session, endpoint, limits)
        else:
            wire = openai.ChatCompletions(
                session, Endpoint(name, f"{server.url}/v1", "OPENAI_API_KEY", key=KEY), limits
            )

        async def price(_: str, model: str, usage: Usage) -> float | None:
            bench.priced.append((model, usage))
            return 0.25

        bench.provider = ModelProvider(wire, MODELS[0], price)
        yield bench


@pytest_asyncio.fixture(params=["openai", "anthropic"])
async def bench(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    async with benched(request.param) as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("key", "bad_key", "_API_KEY was not accepted"),
        ("forbidden", "bad_key", "_API_KEY may not do this"),
        ("rate", "unavailable", "Rate limit reached"),
        ("quota", "refused", "quota is used up"),
        ("error", "unavailable", "(500)"),
        ("overloaded", "unavailable", "(529)"),
        ("context", "refused", "maximum context length"),
        ("redirect", "refused", "TROUPE_PROVIDER_URL"),
        ("path", "refused", "TROUPE_PROVIDER_URL"),
        ("cut", "unavailable", "broke"),
        ("ended", "unavailable", "ended before the answer did"),
        ("stream_error", "unavailable", "Overloaded"),
        ("garbage", "bad_response", "not what its API promises"),
        ("malformed", "bad_response", "not what its API promises"),
        ("other_json", "bad_response", "as its API promises"),
        ("html", "bad_response", "text/html"),
        ("declined", "refused", "I cannot help with that"),
    ],
)
async def test_a_fault_of_the_server_is_a_typed_error(bench: Bench, fault: str, kind: str, words: str) -> None:
    bench.server.fault(fault)
    error = await bench.fails(kind)
    assert words in error.message
    assert len(bench.server.asked) == 1, "it is the runtime that tries again"
    assert (await bench.ask()).tool_calls, "the next question is answered"


async def test_a_server_may_say_when_to_come_back(bench: Bench) -> None:
    bench.server.fault("rate")
    assert (await bench.fails("unavailable")).retry_after_s == RETRY_AFTER_S


@pytest.mark.parametrize("fault", ["unknown_tool", "bad_arguments", "array_arguments", "empty", "length_in_call"])
async def test_a_model_gets_one_second_chance(bench: Bench, fault: str) -> None:
    bench.server.fault(fault)
    completion = await bench.ask(key="k1")
    assert [call.tool for call in completion.tool_calls] == ["tests.run"]
    first, second = bench.server.asked
    assert len(str(second["messages"])) > len(str(first["messages"]))
    assert "could not be used" in str(second["messages"][-1])
    assert (completion.tokens_in, completion.tokens_out) == (2 * TOKENS_IN, 2 * TOKENS_OUT), "both were paid"
    assert bench.server.keys[0] != bench.server.keys[1] or bench.provider.name == "anthropic"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unknown_tool", "'rm__rf'"),
        ("bad_arguments", "tests__run are not"),
        ("array_arguments", "not a JSON object"),
        ("empty", "neither text nor a tool call"),
        ("length_in_call", "cut off"),
    ],
)
async def test_a_model_that_stays_wrong_is_a_bad_response(bench: Bench, fault: str, words: str) -> None:
    bench.server.fault(fault, fault, fault)
    assert words in (await bench.fails("bad_response")).message
    assert bench.server.faults == [fault], "asked twice, not more"


async def test_parallel_calls_arrive_whole_and_in_order(bench: Bench) -> None:
    bench.server.parallel = True
    completion = await bench.ask()
    assert [call.tool for call in completion.tool_calls] == ["tests.run", "docs.check"]
    answers = [
        ChatMessage("tool", RESULT.replace("TOOL", call.tool), call_id=call.id) for call in completion.tool_calls
    ]
    report = await bench.ask(ChatMessage("assistant", tool_calls=completion.tool_calls), *answers)
    assert report.text.count("[tools/t@1]") == 2


async def test_ids_are_new_in_the_conversation_whatever_the_server_gives(bench: Bench) -> None:
    earlier = ToolCall("0", "docs.check", {})
    bench.server.fault("same_id")
    said = (ChatMessage("assistant", tool_calls=(earlier,)), ChatMessage("tool", "{}", call_id="0"))
    ids = [call.id for call in (await bench.ask(*said)).tool_calls]
    assert len({*ids, "0"}) == 3


async def test_our_own_name_of_a_tool_is_understood(bench: Bench) -> None:
    bench.server.fault("dotted_name")
    assert [call.tool for call in (await bench.ask()).tool_calls] == ["tests.run"]


async def test_a_text_cut_at_the_limit_says_so(bench: Bench) -> None:
    bench.server.fault("length")
    assert CUT_OFF in (await bench.ask()).text


async def test_thoughts_are_not_part_of_the_report(bench: Bench) -> None:
    bench.server.fault("thinking")
    completion = await bench.ask()
    assert completion.text == f"# Report\n\n_This report was {completion.label}._\n\nAll is well.\n"


async def test_usage_is_counted_and_priced(bench: Bench) -> None:
    completion = await bench.ask()
    assert (completion.tokens_in, completion.tokens_out, completion.cost_usd) == (TOKENS_IN, TOKENS_OUT, 0.25)
    assert bench.priced == [(MODELS[0], Usage(TOKENS_IN, TOKENS_OUT, CACHED))]


async def test_an_answer_without_end_is_given_up(bench: Bench) -> None:
    bench.server.fault("flood")
    assert f"longer than {RESPONSE_BYTES_MAX} bytes" in (await bench.fails("bad_response")).message


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_silent_server_is_unavailable_and_left(name: str) -> None:
    async with benched(name, Timeouts(silence_s=0.2)) as bench:
        bench.server.fault("slow")
        assert "in time" in (await bench.fails("unavailable")).message
        await asyncio.wait_for(bench.server.gone.wait(), 10)


async def test_a_server_that_refuses_to_stream_is_asked_for_one_piece() -> None:
    async with benched("openai") as bench:
        bench.server.fault("no_stream")
        assert (await bench.ask(key="k")).tool_calls
        assert ["stream" in body for body in bench.server.asked] == [True, False]


async def test_the_idempotency_key_goes_along_without_naming_our_stream() -> None:
    async with benched("openai") as bench:
        await bench.ask(key="default/router/t1:4:0")
        await bench.ask(key="default/router/t1:4:0")
        first, second = bench.server.keys
        assert first == second != ""
        assert "router" not in first


async def opened(choice: Choice, environment: dict[str, str]) -> str:
    """The name of the provider, when it opens."""
    async with open_provider(choice, environment, {}) as provider:
        return provider.name


@pytest.mark.parametrize(
    ("choice", "environment", "words"),
    [
        (Choice("gpt"), {}, "offline, openai, anthropic, compatible"),
        (Choice("openai"), {}, "OPENAI_API_KEY"),
        (Choice("anthropic"), {"ANTHROPIC_API_KEY": "  "}, "ANTHROPIC_API_KEY"),
        (Choice("openai"), {"OPENAI_API_KEY": "a\nb"}, "OPENAI_API_KEY holds characters"),
        (Choice("offline", "gpt-4o"), {}, "set TROUPE_PROVIDER"),
        (Choice("offline", url=CLOSED), {}, "unset TROUPE_PROVIDER_URL"),
        (Choice("compatible", url="ollama"), {}, "no http or https address"),
        (Choice("compatible", url="http://[::1"), {}, "no address"),
        (Choice("compatible", url="http://me:secret@127.0.0.1/v1"), {}, "environment variable"),
    ],
)
async def test_settings_that_cannot_be_are_one_clear_line(
    choice: Choice, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(BadChoice) as caught:
        await opened(choice, environment)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "setting"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
async def test_what_is_certainly_wrong_is_said_before_the_first_question(name: str, setting: str) -> None:
    async with model_server() as server:
        with pytest.raises(ProviderError) as caught:
            await opened(Choice(name, MODELS[0], server.url), {setting: "sk-wrong"})
        assert (caught.value.kind, setting in caught.value.message) == ("bad_key", True)
        with pytest.raises(ProviderError) as caught:
            await opened(Choice(name, "no-such-model", server.url), {setting: KEY})
        assert caught.value.kind == "unknown_model"
        assert "'no-such-model', named in TROUPE_MODEL" in caught.value.message
        assert f"on offer: {', '.join(MODELS)}" in caught.value.message
        with pytest.raises(BadChoice, match="TROUPE_MODEL; on offer: parrot-1"):
            await opened(Choice(name, "", server.url), {setting: KEY})
        assert await opened(Choice(name, MODELS[1], f"{server.url}/v1/"), {setting: KEY}) == name
        assert server.asked == [], "nothing was paid for the check"
    with pytest.raises(ProviderError) as caught:
        await opened(Choice(name, MODELS[0], CLOSED), {setting: KEY})
    assert caught.value.kind == "unavailable"
    assert f"{CLOSED}" in caught.value.message
    assert "correct TROUPE_PROVIDER_URL" in caught.value.message


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (host.Settings(provider="gpt"), "usage", "there is no provider 'gpt'"),
        (host.Settings(provider="compatible", provider_url=CLOSED), "unavailable", "(Connection refused)"),
    ],
)
async def test_a_company_with_such_a_provider_does_not_start(
    settings: host.Settings, code: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(host.HostError) as caught:
        async with host.company(replace(settings, state=tmp_path / "state")):
            pytest.fail("it started")
    assert (caught.value.code, words in caught.value.message) == (code, True)
    assert not (tmp_path / "state" / "servers.json").exists(), "no server was started for nothing"


async def test_a_local_server_is_found_by_trying_and_its_first_model_taken() -> None:
    async with model_server(key="", models=("parrot-embed", "parrot-2")) as server, open_session() as session:
        endpoint = Endpoint("compatible", "", "TROUPE_PROVIDER_KEY")
        servers = (("Nobody", f"{CLOSED}/v1"), ("Parrot", f"{server.url}/v1"))
        found = await compatible.find_server(session, endpoint, servers)
        assert found.url == f"{server.url}/v1"
        assert await compatible.pick_model(openai.ChatCompletions(session, found)) == "parrot-2"
        server.models = ("parrot-embed",)
        with pytest.raises(ProviderError, match="no model that can chat") as caught:
            await compatible.pick_model(openai.ChatCompletions(session, found))
        assert caught.value.kind == "unknown_model"


async def test_no_local_server_is_one_clear_line() -> None:
    async with open_session() as session:
        with pytest.raises(ProviderError) as caught:
            await compatible.find_server(session, Endpoint("compatible", "", "K"), (("Nobody", f"{CLOSED}/v1"),))
    assert caught.value.kind == "unavailable"
    assert "tried http://127.0.0.1:9/v1 (Nobody): start one, or name it in TROUPE_PROVIDER_URL" in caught.value.message
