"""The metrics: each is documented, each label is bounded, and a scrape is what Prometheus reads."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from actors.edge.monitoring import company
from actors.edge.monitoring.backlog import BacklogMetrics
from actors.edge.monitoring.company import company_registry
from actors.edge.monitoring.readiness import ReadinessMetrics
from actors.edge.monitoring.views import ViewMetrics
from actors.edge.queries.metrics import QueryMetrics
from actors.edge.tracing.export import spans_counted
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.metrics import UNKNOWN_KIND, RuntimeMetrics
from actors.runtime.mirror import MirrorMetrics
from actors.runtime.ports import Bus, BusUnavailable
from actors.runtime.turn import Pending
from actors.runtime.work import Work, quarantine, refuse
from actors.services.metrics import PROVIDERS_MAX, UNKNOWN, MemoryMetrics, ServiceMetrics
from actors.services.router.provider import Completion, CompletionRequest, ProviderError
from eventstore.backlog import EffectsOpen, Waits
from eventstore.memory.store import MemoryStore
from eventstore.store import Batch, NewAsk, NewEvent, StoreUnavailable, Verdict
from projections.answers import StandingRow
from projections.errors import ViewMissing
from projections.queries import Queries
from protocol.codec import encode
from protocol.envelope import Envelope
from protocol.memory import Memory, Recalled, Remembered
from protocol.message import Event, Refusal, tag_of
from protocol.reply import Reply
from protocol.subjects import Address
from protocol.tools import RecordReturn, Status, ToolWork

LABELS = {
    "kind", "code", "service", "outcome", "effect", "tool", "status", "provider", "direction", "view", "state", "role",
    "check",
}  # fmt: skip
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class NoViews(Queries):
    def __init__(self) -> None:
        pass

    async def standing(self) -> list[StandingRow]:
        named = [("task_board", 3, 2, 7.5, 1, 4), ("task_board.next.1", 1, 9, 9.0, 0, None)]
        return [
            StandingRow(name, 1, position, lag, lag_s, quarantined, None, None, differences)
            for name, position, lag, lag_s, quarantined, differences in named
        ]


class NoBus:
    """A bus with a stream of 12 messages."""

    async def last_sequence(self) -> int:
        return 12


def backlog_of(registry: CollectorRegistry, store: MemoryStore) -> BacklogMetrics:
    return BacklogMetrics(registry, store.backlog, cast("Bus", NoBus()), ["tool"])


def everything() -> tuple[CollectorRegistry, RuntimeMetrics, ServiceMetrics, ViewMetrics]:
    registry, _ = company_registry()
    services = ServiceMetrics(registry, ["tests.run"], ["tester"])
    MemoryMetrics(registry)
    ReadinessMetrics(registry, {})
    backlog_of(registry, MemoryStore())
    MirrorMetrics(registry)
    QueryMetrics(registry, ["task_board"])
    spans_counted(registry)
    views = ViewMetrics(registry, MemoryStore(), NoViews(), {"agent_board": ViewMissing("it broke")})
    return registry, RuntimeMetrics(registry, ["task"]), services, views


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def pending(kind: str, name: str = "t1", age_s: float = 2.0) -> Pending:
    at = NOW - timedelta(seconds=age_s)
    return Pending(Address("demo", kind, name), f"c-{name}", "task.submit.v1", b"{}", at, "t1", Envelope())


def test_every_metric_is_documented_with_its_labels_and_nothing_else_is() -> None:
    registry, *_ = everything()
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in registry.collect()
    }  # fmt: skip
    readme = Path(company.__file__).with_name("README.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(troupe_\w+)` \| ([\w, ]*?) ?\|", readme, re.MULTILINE))
    if sys.platform != "linux":  # Only there a process's own figures can be read.
        documented = {name: labels for name, labels in documented.items() if "_process_" not in name}
    assert documented.keys() == there.keys()
    collectors = {name: collector for collector, names in registry._collector_to_names.items() for name in names}  # pyright: ignore[reportPrivateUsage]
    for name, labels in documented.items():
        declared: Sequence[str] = getattr(collectors.get(name), "_labelnames", ())
        assert ", ".join(declared) == labels, name
        assert set(declared) <= LABELS
        assert there[name].documentation.endswith("."), name


def test_names_follow_the_conventions() -> None:
    registry, *_ = everything()
    for family in registry.collect():
        assert family.name.startswith("troupe_")
        assert not re.search(r"_(ms|millis\w*|minutes|kb|mb|percent)(_|$)", family.name)
        if family.type == "histogram":
            assert re.search(r"_(seconds|units|events)$", family.name)


async def test_a_scrape_parses_and_holds_no_word_of_a_users() -> None:
    registry, runtime, _, views = everything()
    stranger = pending("Xsecret-kind", "Xsecret-name")
    work = refuse([stranger], Refusal("unknown-kind", "no"))
    runtime.committed(Batch((), (work.unit,)), 0.01)
    runtime.turned([work], [Verdict("committed")], NOW)
    runtime.turned([quarantine(pending("task", "Xsecret-task"), "Xsecret-error")], [Verdict("committed", 1)], NOW)
    await views.refresh()
    text = generate_latest(registry).decode()
    assert families(registry)
    assert "Xsecret" not in text
    assert "demo" not in text


def test_a_unit_counts_for_its_kind_and_an_unknown_kind_for_unknown() -> None:
    registry, runtime, *_ = everything()
    for kind in ("task", "nosuch"):
        work = refuse([pending(kind), pending(kind, "t2")], Refusal("no", "no"))
        runtime.turned([work], [Verdict("committed")], NOW)
    assert value(registry, "troupe_commands_total", kind="task", outcome="refused") == 2
    assert value(registry, "troupe_commands_total", kind=UNKNOWN_KIND, outcome="refused") == 2
    assert value(registry, "troupe_turns_total", kind="task", outcome="committed") == 1
    assert value(registry, "troupe_command_commit_seconds_count") == 4
    assert value(registry, "troupe_command_commit_seconds_sum") == 8.0


def test_a_quarantine_is_an_event_of_the_keeper() -> None:
    registry, runtime, *_ = everything()
    runtime.turned([quarantine(pending("task"), "KeyError")], [Verdict("committed", 7)], NOW)
    assert value(registry, "troupe_quarantines_total", kind="task") == 1
    assert value(registry, "troupe_commands_total", kind="task", outcome="quarantined") == 1
    assert value(registry, "troupe_events_written_total", kind="runtime") == 1


@pytest.mark.parametrize("status", ["conflict", "known", "fenced"])
def test_what_did_not_commit_wrote_nothing(status: str) -> None:
    registry, runtime, *_ = everything()
    work: Work = quarantine(pending("task"), "KeyError")
    verdict = Verdict(status, known=("c-t1",) if status == "known" else ())  # pyright: ignore[reportArgumentType]
    runtime.turned([work], [verdict], NOW)
    assert value(registry, "troupe_turns_total", kind="task", outcome=status) == 1
    assert value(registry, "troupe_events_written_total", kind="runtime") is None
    assert value(registry, "troupe_quarantines_total", kind="task") == 0, "there before its first value"
    assert value(registry, "troupe_commands_total", kind="task", outcome="known") == (1 if status == "known" else None)


def test_a_clock_ahead_of_ours_is_no_negative_time() -> None:
    registry, runtime, *_ = everything()
    runtime.turned([refuse([pending("task", age_s=-5)], Refusal("no", "no"))], [Verdict("committed")], NOW)
    assert value(registry, "troupe_command_commit_seconds_sum") == 0


def test_a_commit_that_only_moves_cursors_is_no_news() -> None:
    registry, runtime, *_ = everything()
    runtime.committed(Batch((), ()), 1.0)
    assert value(registry, "troupe_commits_total") == 0


async def test_tools_are_counted_by_what_they_came_to() -> None:
    registry, _, services, _ = everything()
    outcomes: list[Status] = ["ok", "failed"]

    async def perform(_: EffectCall, work: ToolWork) -> RecordReturn:
        return RecordReturn(work.call, outcomes.pop(0), "done")

    def give_up(_: EffectCall, work: ToolWork, error: str) -> RecordReturn:
        return RecordReturn(work.call, "failed", error)

    metered = services.metered_tools(Performer("tool", ToolWork, perform, give_up, 1, 1, 1.0))
    call = EffectCall(Address("demo", "tools", "t1"), "k", NOW, "t1", 1)
    for tool, role in (("tests.run", "tester"), ("made up by a model", "stranger")):
        returned = await metered.perform(call, ToolWork("tools/t1@1", tool, role, "x"))
        assert isinstance(returned, RecordReturn)
    metered.give_up(call, ToolWork("tools/t1@1", "tests.run", "tester", "x"), "broke")
    assert value(registry, "troupe_tool_runs_total", tool="tests.run", role="tester", status="ok") == 1
    assert value(registry, "troupe_tool_runs_total", tool="tests.run", role="tester", status="failed") == 1
    assert value(registry, "troupe_tool_runs_total", tool=UNKNOWN, role=UNKNOWN, status="failed") == 1
    assert value(registry, "troupe_tool_seconds_count", tool="tests.run") == 1


class Canned:
    """A provider that answers or fails as it was told."""

    def __init__(self, answer: Completion | ProviderError) -> None:
        self._answer = answer

    @property
    def name(self) -> str:
        return "canned"

    async def complete(self, request: CompletionRequest) -> Completion:
        if isinstance(self._answer, ProviderError):
            raise self._answer
        return self._answer


async def test_completions_are_counted_with_their_tokens_and_known_cost() -> None:
    registry, _, services, _ = everything()
    request = CompletionRequest("tester", "", "", ())
    for cost in (0.25, None):
        answer = Completion("hi", (), "canned", "m", 7, 3, "by nobody", cost)
        assert await services.metered_provider(Canned(answer)).complete(request) is answer
    with pytest.raises(ProviderError):
        await services.metered_provider(Canned(ProviderError("bad_key", "no"))).complete(request)
    assert value(registry, "troupe_llm_requests_total", provider="canned", role="tester", outcome="ok") == 2
    assert value(registry, "troupe_llm_requests_total", provider="canned", role="tester", outcome="bad_key") == 1
    assert value(registry, "troupe_llm_tokens_total", provider="canned", role="tester", direction="in") == 14
    assert value(registry, "troupe_llm_tokens_total", provider="canned", role="tester", direction="out") == 6
    assert value(registry, "troupe_llm_cost_usd_total", provider="canned", role="tester") == 0.25
    assert value(registry, "troupe_llm_unpriced_total", provider="canned", role="tester") == 1
    assert value(registry, "troupe_llm_request_seconds_count", provider="canned") == 3


def test_providers_become_labels_up_to_a_bound() -> None:
    registry, _, services, _ = everything()
    for number in range(PROVIDERS_MAX + 5):
        services.failed(f"p{number}", f"role {number}", "unavailable", 0.1)
    labels = {sample.labels["provider"] for sample in families(registry)["troupe_llm_requests"].samples}
    assert len(labels) == PROVIDERS_MAX + 1
    assert value(registry, "troupe_llm_requests_total", provider=UNKNOWN, role=UNKNOWN, outcome="unavailable") == 5


async def test_positions_that_cannot_be_read_keep_their_value_and_say_so() -> None:
    registry, *_, views = everything()
    await views.refresh()
    assert value(registry, "troupe_view_position", view="task_board") == 3
    assert value(registry, "troupe_view_lag_events", view="task_board") == 2
    assert value(registry, "troupe_view_lag_seconds", view="task_board") == 7.5
    assert value(registry, "troupe_view_quarantined_streams", view="task_board") == 1
    assert value(registry, "troupe_view_differences", view="task_board") == 4
    assert value(registry, "troupe_view_position", view="task_board.next.1") is None, "a range of a rebuild"
    assert [value(registry, "troupe_view_stopped", view=name) for name in ("task_board", "agent_board")] == [0, 1]
    assert value(registry, "troupe_views_readable") == 1

    class Broken(NoViews):
        async def standing(self) -> list[StandingRow]:
            raise ViewMissing("not there")

    views._queries = Broken()  # pyright: ignore[reportPrivateUsage]
    await views.refresh()
    assert value(registry, "troupe_view_position", view="task_board") == 3
    assert value(registry, "troupe_views_readable") == 0


async def test_what_waits_is_shown_by_kinds_that_are_known() -> None:
    registry, store = CollectorRegistry(), MemoryStore()
    metrics = backlog_of(registry, store)

    async def waits() -> Waits:
        return Waits(sends=3, sends_oldest_s=4.5, asks=2, asks_overdue_s=1.5, partitions=64, cursor_lowest=5)

    async def effects() -> list[EffectsOpen]:
        return [EffectsOpen(kind, "waiting", 2, age) for kind, age in (("tool", 1.0), ("Xone", 2.0), ("Xtwo", 9.0))]

    store.backlog.waits, store.backlog.effects = waits, effects
    await metrics.refresh()
    text = generate_latest(registry).decode()
    assert "Xone" not in text
    assert value(registry, "troupe_effects_open", effect="tool", state="waiting") == 2
    assert value(registry, "troupe_effects_open", effect="tool", state="unknown") == 0, "there before its first value"
    assert value(registry, "troupe_effects_open", effect="unknown", state="waiting") == 4
    assert value(registry, "troupe_effects_oldest_seconds", effect="unknown", state="waiting") == 9.0
    assert value(registry, "troupe_outbox_sends") == 3
    assert value(registry, "troupe_outbox_oldest_seconds") == 4.5
    assert (value(registry, "troupe_asks_open"), value(registry, "troupe_asks_overdue_seconds")) == (2, 1.5)
    assert value(registry, "troupe_partition_lag_messages") == 7
    assert value(registry, "troupe_backlog_readable") == 1


@pytest.mark.parametrize("error", [StoreUnavailable("away"), BusUnavailable("away")], ids=["store", "bus"])
async def test_a_backlog_that_cannot_be_read_says_so(error: Exception) -> None:
    registry, store = CollectorRegistry(), MemoryStore()
    metrics = backlog_of(registry, store)
    await metrics.refresh()
    assert value(registry, "troupe_backlog_readable") == 1

    async def away() -> list[EffectsOpen]:
        raise error

    store.backlog.effects = away
    await metrics.refresh()
    assert value(registry, "troupe_backlog_readable") == 0
    assert value(registry, "troupe_outbox_sends") == 0


@pytest.mark.parametrize(
    ("outcome", "code", "label"),
    [
        ("accepted", "", "answered"),
        ("refused", "no-such-plan", "refused"),
        ("refused", "cancelled", "cancelled"),
        ("refused", "expired", "expired"),
    ],
)
def test_asks_end_in_one_of_four_ways(outcome: str, code: str, label: str) -> None:
    registry, runtime, *_ = everything()
    runtime.ask_ended("task", Reply(outcome, "q1", "demo/task/t1", code=code))  # pyright: ignore[reportArgumentType]
    ends = families(registry)["troupe_asks_ended"].samples
    assert [(s.labels, s.value) for s in ends if s.name.endswith("_total")] == [({"kind": "task", "outcome": label}, 1)]


def test_asks_are_opened_by_what_is_committed() -> None:
    registry, runtime, *_ = everything()
    work = refuse([pending("task")], Refusal("no", "no"))
    work.unit = msgspec.structs.replace(work.unit, asks=(NewAsk("q1", "_INBOX.1", NOW, "t1"),))
    for status in ("committed", "conflict", "fenced"):
        runtime.turned([work], [Verdict(status)], NOW)  # pyright: ignore[reportArgumentType]
    assert value(registry, "troupe_asks_opened_total", kind="task") == 1
    assert value(registry, "troupe_commits_fenced_total") == 1


def test_leases_are_counted_by_how_they_came_and_went() -> None:
    registry, runtime, *_ = everything()
    runtime.leases_gained(2, 1)
    runtime.leases_ended(1, released=True)
    runtime.leases_ended(2, released=False)
    assert value(registry, "troupe_leases_gained_total", outcome="clean") == 2
    assert value(registry, "troupe_leases_gained_total", outcome="unclean") == 1
    assert value(registry, "troupe_leases_ended_total", outcome="released") == 1
    assert value(registry, "troupe_leases_ended_total", outcome="lost") == 2


def test_what_the_memory_was_asked_is_counted_without_a_word_of_it() -> None:
    registry = CollectorRegistry()
    memory = MemoryMetrics(registry)
    found = Memory("Xsubject", "tester", "t1", "Xtext")
    miss, hit = Recalled("a", "tester", "t2"), Recalled("a", "tester", "t2", (found,) * 3)
    events: list[Event] = [Remembered(found), miss, hit]
    memory.committed([NewEvent(tag_of(type(e)), encode(e), NOW, "t1", "c") for e in events])
    assert value(registry, "troupe_memory_queries_total", outcome="miss") == 1
    assert value(registry, "troupe_memory_queries_total", outcome="hit") == 1
    assert value(registry, "troupe_memory_hits_total") == 3
    assert value(registry, "troupe_memory_remembered_total") == 1
    assert "Xtext" not in generate_latest(registry).decode()


def test_only_committed_events_are_heard_of() -> None:
    heard: list[int] = []
    runtime = RuntimeMetrics(kinds=["task"], watched={"runtime": lambda events: heard.append(len(events))})
    work = quarantine(pending("task"), "KeyError")
    for status in ("conflict", "committed"):
        runtime.turned([work], [Verdict(status)], NOW)  # pyright: ignore[reportArgumentType]
    assert heard == [1]
