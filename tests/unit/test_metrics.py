"""The metrics: each is documented, each label is bounded, and a scrape is what Prometheus reads."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from actors.edge.monitoring import company
from actors.edge.monitoring.company import company_registry
from actors.edge.monitoring.views import ViewMetrics
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.metrics import UNKNOWN_KIND, RuntimeMetrics
from actors.runtime.mirror import MirrorMetrics
from actors.runtime.turn import Pending
from actors.runtime.work import Work, quarantine, refuse
from actors.services.metrics import PROVIDERS_MAX, UNKNOWN, ServiceMetrics
from actors.services.router.provider import Completion, CompletionRequest, ProviderError
from eventstore.memory.store import MemoryStore
from eventstore.store import Batch, Verdict
from projections.errors import ViewMissing
from projections.queries import Queries
from projections.rows import ViewRow
from protocol.envelope import Envelope
from protocol.message import Refusal
from protocol.subjects import Address
from protocol.tools import RecordReturn, Status, ToolWork

LABELS = {"kind", "code", "service", "outcome", "effect", "tool", "status", "provider", "direction", "view"}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class NoViews(Queries):
    def __init__(self) -> None:
        pass

    async def views(self) -> list[ViewRow]:
        return [ViewRow("task_board", 1, 3)]


def everything() -> tuple[CollectorRegistry, RuntimeMetrics, ServiceMetrics, ViewMetrics]:
    registry, _ = company_registry()
    services = ServiceMetrics(registry, ["tests.run"])
    MirrorMetrics(registry)
    return registry, RuntimeMetrics(registry, ["task"]), services, ViewMetrics(registry, MemoryStore(), NoViews())


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
    assert value(registry, "troupe_quarantines_total", kind="task") is None
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
    for tool in ("tests.run", "made up by a model"):
        returned = await metered.perform(call, ToolWork("tools/t1@1", tool, "tester", "x"))
        assert isinstance(returned, RecordReturn)
    metered.give_up(call, ToolWork("tools/t1@1", "tests.run", "tester", "x"), "broke")
    assert value(registry, "troupe_tool_runs_total", tool="tests.run", status="ok") == 1
    assert value(registry, "troupe_tool_runs_total", tool="tests.run", status="failed") == 1
    assert value(registry, "troupe_tool_runs_total", tool=UNKNOWN, status="failed") == 1
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
    assert value(registry, "troupe_llm_requests_total", provider="canned", outcome="ok") == 2
    assert value(registry, "troupe_llm_requests_total", provider="canned", outcome="bad_key") == 1
    assert value(registry, "troupe_llm_tokens_total", provider="canned", direction="in") == 14
    assert value(registry, "troupe_llm_tokens_total", provider="canned", direction="out") == 6
    assert value(registry, "troupe_llm_cost_usd_total", provider="canned") == 0.25
    assert value(registry, "troupe_llm_request_seconds_count", provider="canned") == 3


def test_providers_become_labels_up_to_a_bound() -> None:
    registry, _, services, _ = everything()
    for number in range(PROVIDERS_MAX + 5):
        services.failed(f"p{number}", "unavailable", 0.1)
    labels = {sample.labels["provider"] for sample in families(registry)["troupe_llm_requests"].samples}
    assert len(labels) == PROVIDERS_MAX + 1
    assert value(registry, "troupe_llm_requests_total", provider=UNKNOWN, outcome="unavailable") == 5


async def test_positions_that_cannot_be_read_keep_their_value_and_say_so() -> None:
    registry, *_, views = everything()
    await views.refresh()
    assert value(registry, "troupe_view_position", view="task_board") == 3
    assert value(registry, "troupe_views_readable") == 1

    class Broken(NoViews):
        async def views(self) -> list[ViewRow]:
            raise ViewMissing("not there")

    views._queries = Broken()  # pyright: ignore[reportPrivateUsage]
    await views.refresh()
    assert value(registry, "troupe_view_position", view="task_board") == 3
    assert value(registry, "troupe_views_readable") == 0
