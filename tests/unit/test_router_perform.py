"""One completion as the router performs it: what is stored, what is counted, who is reminded, what is tried again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import anyio
import msgspec
import pytest

from actors.runtime.kind import EffectCall
from actors.services.router.effects import Ports, Role, perform, performer
from actors.services.router.provider import Completion, CompletionRequest, ProviderError, ToolCall, ToolDefinition
from eventstore.memory.store import MemoryStore
from protocol.role import ToolRequest
from protocol.router import Added, CompletionWork, RecordAnswer, ResultAdded, StoredTurn, TextAdded
from protocol.subjects import Address

TOOLS = (ToolDefinition("tests.run", "Run."), ToolDefinition("docs.check", "Check."))
CALL = EffectCall(Address("demo", "router", "t1"), "k1", datetime(2026, 1, 1, tzinfo=UTC), "t1", 1)
BRIEF = (TextAdded("review"),)


class Scripted:
    """Answers in order; keeps what it was asked."""

    name = "scripted"

    def __init__(self, *answers: Completion | ProviderError) -> None:
        self._answers = list(answers)
        self.asked: list[CompletionRequest] = []

    async def complete(self, request: CompletionRequest) -> Completion:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        return answer


def said(text: str, *tools: str, cost: float | None = 0.5) -> Completion:
    calls = tuple(ToolCall(f"c{n}", tool) for n, tool in enumerate(tools))
    return Completion(text, calls, "scripted", "m1", 10, 2, "written by m1", cost)


async def ask(
    provider: Scripted,
    store: MemoryStore,
    adds: Sequence[Added] = BRIEF,
    conversation: str = "",
    call: EffectCall = CALL,
) -> RecordAnswer:
    ports = Ports(store, provider, {"tester": Role("You test.", TOOLS)})
    return await perform(ports, call, CompletionWork("tester", 1, tuple(adds), "tester@1", conversation))


async def test_cost_is_recorded_in_millionths_and_an_unknown_one_as_not_priced() -> None:
    priced = await ask(Scripted(said("", "tests.run", "docs.check", cost=0.0123456)), MemoryStore())
    unknown = await ask(Scripted(said("", "tests.run", "docs.check", cost=None)), MemoryStore())
    assert (priced.cost_micros, priced.priced) == (12346, True)
    assert (unknown.cost_micros, unknown.priced) == (0, False)
    assert (unknown.tokens_in, unknown.tokens_out) == (10, 2)


async def test_a_report_before_the_tools_is_answered_with_a_reminder() -> None:
    provider = Scripted(said("all is well"), said("", "tests.run"))
    answer = await ask(provider, MemoryStore())
    assert answer.tool_calls == (ToolRequest("c0", "tests.run"),)
    assert answer.text == ""
    assert (answer.tokens_in, answer.cost_micros) == (20, 1_000_000), "both were paid"
    reminder = provider.asked[1].messages[-1]
    assert (reminder.role, "tests.run, docs.check" in reminder.text) == ("user", True)
    assert provider.asked[0].idempotency_key != provider.asked[1].idempotency_key


async def test_attempts_share_a_key_that_no_other_effect_of_any_log_has() -> None:
    provider = Scripted(*[said("", "tests.run", "docs.check")] * 4)
    calls = [CALL, replace(CALL, attempt=2), replace(CALL, address=Address("other", "router", "t1"))]
    calls.append(replace(CALL, at=datetime(2027, 1, 1, tzinfo=UTC)))
    for call in calls:
        await ask(provider, MemoryStore(), call=call)
    keys = [request.idempotency_key for request in provider.asked]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


async def test_the_report_is_shown_to_who_reads_along() -> None:
    shown: list[bytes] = []

    class Shown:
        def emit(self, chunk: bytes | msgspec.Struct) -> None:
            assert isinstance(chunk, bytes)
            shown.append(chunk)

        def end(self) -> None:
            raise AssertionError("that is the worker's to say")

    text = "all is well\nand so is the rest"
    await ask(Scripted(said(text), said("", cost=None)), MemoryStore(), call=replace(CALL, tap=Shown()))
    assert shown == [b"all is well\n", b"and so is the rest"]


async def test_who_has_nothing_to_call_after_the_reminder_stands_by_the_report() -> None:
    store = MemoryStore()
    provider = Scripted(said("all is well", cost=None), said("as I said"))
    answer = await ask(provider, store)
    assert await store.blobs.get("demo", answer.text) == b"all is well"
    assert not answer.priced
    assert len(provider.asked) == 2


async def test_a_conversation_goes_on_from_what_was_stored() -> None:
    store = MemoryStore()
    first = await ask(Scripted(said("I look.", "tests.run", "docs.check")), store)
    results = [
        ResultAdded("c0", "tests.run", "tools/t1@1", "", "it has no such tool"),
        ResultAdded("c1", "docs.check", "tools/t1@2", ""),
    ]
    provider = Scripted(said("# Report"))
    second = await ask(provider, store, results, first.conversation)
    (request,) = provider.asked
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool"]
    assert [call.tool for call in request.messages[1].tool_calls] == ["tests.run", "docs.check"]
    assert "it has no such tool" in request.messages[2].text
    assert "the tool left no result" in request.messages[3].text
    stored = await store.blobs.get("demo", second.conversation)
    assert stored is not None
    assert msgspec.json.decode(stored, type=StoredTurn).previous == first.conversation


async def test_what_may_pass_is_raised_and_the_rest_is_an_answer() -> None:
    with pytest.raises(ProviderError):
        await ask(Scripted(ProviderError("unavailable", "scripted: busy", 0.01)), MemoryStore())
    answer = await ask(Scripted(ProviderError("bad_key", "scripted: the key in K was not accepted")), MemoryStore())
    assert answer.error == "bad_key: scripted: the key in K was not accepted"


class Slow(Scripted):
    """Takes its time."""

    async def complete(self, request: CompletionRequest) -> Completion:
        await anyio.sleep(0.01)
        return await super().complete(request)


async def test_the_time_the_provider_took_is_measured_also_of_what_it_refused() -> None:
    given = await ask(Slow(said("", "tests.run")), MemoryStore())
    reminded = await ask(Slow(said("all is well"), said("as I said")), MemoryStore())
    refused = await ask(Slow(ProviderError("refused", "scripted: no")), MemoryStore())
    assert min(given.seconds, refused.seconds) >= 0.01
    assert reminded.seconds >= 0.02, "both are waited for"


async def test_a_failure_says_whom_was_asked() -> None:
    ports = Ports(MemoryStore(), Scripted(ProviderError("refused", "no")), {"tester": Role("You test.", TOOLS)}, "m1")
    work = CompletionWork("tester", 1, BRIEF, "tester@1")
    refused = await perform(ports, CALL, work)
    given_up = performer(ports).give_up(CALL, work, "OSError: gone")
    assert given_up == RecordAnswer(
        "tester", 1, provider="scripted", model="m1", error="no completion (attempt 1): OSError: gone"
    )
    assert (refused.provider, refused.model, refused.error) == ("scripted", "m1", "refused: no")
