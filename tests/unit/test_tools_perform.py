"""Performing a tool call: what it is given, what is kept of what it says, and how it ends when it cannot run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from actors.runtime.kind import EffectCall
from actors.services.tools.catalogue import ToolSpec
from actors.services.tools.effects import (
    FACT_LENGTH_MAX,
    FACTS_MAX,
    SUMMARY_LENGTH_MAX,
    TIMEOUT_MARGIN_S,
    Ports,
    give_up,
    performer,
)
from eventstore.memory.store import MemoryStore
from eventstore.store import StoreUnavailable
from protocol.subjects import Address
from protocol.tools import (
    FileRef,
    Finding,
    Prior,
    PriorRef,
    ProducedFile,
    RecordReturn,
    StoredResult,
    ToolInput,
    ToolResult,
    ToolWork,
)
from tests.kit.units import NOON

CATALOGUE = {
    "scan": ToolSpec("scan", "", "read", timeout_s=7),
    "ask": ToolSpec("ask", "", "host", timeout_s=20),
}
CALL = EffectCall(Address("demo", "tools", "t1"), "tools/t1@3.0", NOON, "t1", 1)
RESULT = ToolResult(
    "ok", "2 findings", {"n": 2, "ok": True}, (Finding("low", "r", "m", "a.py", 3),) * 2,
    (ProducedFile("a.md", "text/markdown", b"# A"),), {"sandbox": "bubblewrap", "more": [1, 2]},
)  # fmt: skip


@dataclass
class Tools:
    """Answers every call and notes what it was given."""

    result: ToolResult = RESULT
    given: list[tuple[str, ToolInput]] = field(default_factory=list[tuple[str, ToolInput]])

    async def program(self, spec: ToolSpec, given: ToolInput) -> ToolResult:
        self.given.append((f"program {spec.name}", given))
        return self.result

    async def host(self, call: EffectCall, given: ToolInput) -> ToolResult:
        self.given.append((f"host {call.key}", given))
        return self.result

    def ports(self, store: MemoryStore) -> Ports:
        return Ports(store, CATALOGUE, Path("/ws"), self.program, {"ask": self.host})


def work(tool: str = "scan", prior: tuple[PriorRef, ...] = (), args: Mapping[str, object] | None = None) -> ToolWork:
    return ToolWork("tools/t1@3", tool, "security", "review", "/srv/repo", dict(args or {}), prior)


async def perform(tools: Tools, store: MemoryStore, wanted: ToolWork) -> RecordReturn:
    outcome = await performer(tools.ports(store)).perform(CALL, wanted)
    assert isinstance(outcome, RecordReturn)
    return outcome


async def test_a_tool_is_given_its_call_its_place_and_its_time() -> None:
    tools = Tools()
    await perform(tools, MemoryStore(), work(args={"depth": 2}))
    assert tools.given == [
        (
            "program scan",
            ToolInput(
                "scan", "tools/t1@3", "t1", "review", "2026-01-31T12:00:00.123456Z", "/srv/repo",
                workspace="/ws/demo/t1", args={"depth": 2},
            ),
        )
    ]  # fmt: skip


async def test_a_tool_with_ports_runs_in_the_host() -> None:
    tools = Tools()
    await perform(tools, MemoryStore(), work("ask"))
    assert [who for who, _ in tools.given] == ["host tools/t1@3.0"]


async def test_what_it_produced_is_kept_by_hash_and_the_return_refers_to_it() -> None:
    store = MemoryStore()
    back = await perform(Tools(), store, work())
    (file,) = back.files
    assert await store.blobs.get("demo", file.blob) == b"# A"
    assert (file.path, file.media_type, file.size_bytes) == ("a.md", "text/markdown", 3)
    kept = await store.blobs.get("demo", back.result)
    assert kept is not None
    assert msgspec.json.decode(kept, type=StoredResult) == StoredResult(
        "ok", "2 findings", RESULT.facts, RESULT.findings, (file,), RESULT.data
    )
    assert (back.call, back.status, back.summary, back.findings) == ("tools/t1@3", "ok", "2 findings", 2)
    assert (back.facts, back.sandbox) == (RESULT.facts, "bubblewrap")


async def test_an_earlier_result_comes_with_its_files() -> None:
    store, tools = MemoryStore(), Tools()
    first = await perform(tools, store, work())
    await perform(tools, store, work(prior=(PriorRef("scan", "tools/t1@1", first.result),)))
    assert tools.given[1][1].prior == {"scan": Prior("tools/t1@1", RESULT)}


@pytest.mark.parametrize("lost", ["result", "file"])
async def test_an_earlier_result_that_is_gone_is_a_failed_attempt_and_no_empty_input(lost: str) -> None:
    store, tools = MemoryStore(), Tools()
    blob = "ab" * 32
    if lost == "file":
        stored = StoredResult("ok", "x", files=(FileRef("a.md", "text/markdown", "cd" * 32, 3),))
        blob = await store.blobs.put("demo", msgspec.json.encode(stored))
    with pytest.raises(LookupError, match="not in the blob store"):
        await perform(tools, store, work(prior=(PriorRef("scan", "tools/t1@1", blob),)))
    assert tools.given == []


async def test_an_event_holds_little_and_the_blob_holds_all() -> None:
    store = MemoryStore()
    facts = {f"f{n}": "x" * 5_000 for n in range(FACTS_MAX + 5)}
    back = await perform(Tools(ToolResult("ok", "s" * 9_000, dict(facts))), store, work())
    assert len(back.summary) == SUMMARY_LENGTH_MAX
    assert len(back.facts) == FACTS_MAX
    assert {len(str(value)) for value in back.facts.values()} == {FACT_LENGTH_MAX}
    kept = await store.blobs.get("demo", back.result)
    assert kept is not None
    assert msgspec.json.decode(kept, type=StoredResult).facts == facts


async def test_a_tool_there_is_not_says_which_there_are() -> None:
    back = await perform(Tools(), MemoryStore(), work("fly"))
    assert (back.status, back.summary) == ("failed", "there is no tool 'fly'; the tools are ask, scan")


def test_when_every_attempt_broke_the_role_hears_of_it() -> None:
    back = give_up(CALL, work(), "OSError: " + "x" * 9_000)
    assert (back.call, back.status) == ("tools/t1@3", "failed")
    assert "scan did not end well" in back.summary
    assert len(back.summary) == SUMMARY_LENGTH_MAX


def test_a_run_may_take_as_long_as_the_longest_tool_and_a_margin() -> None:
    assert performer(Tools().ports(MemoryStore())).timeout_s == 20 + TIMEOUT_MARGIN_S


async def test_what_a_tool_produced_outlives_a_store_that_is_away_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.runtime.blobs.RETRY_FIRST_S", 0.0)
    store, tools = MemoryStore(), Tools()
    put, refusals = store.blobs.put, 3

    async def sometimes(project: str, content: bytes) -> str:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise StoreUnavailable("blobs: DiskFullError")
        return await put(project, content)

    monkeypatch.setattr(store.blobs, "put", sometimes)
    back = await perform(tools, store, work())
    assert await store.blobs.get("demo", back.result) is not None
    assert len(tools.given) == 1, "and it ran once"
