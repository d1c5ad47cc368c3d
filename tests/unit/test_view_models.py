"""How language models do, folded in memory."""

from datetime import timedelta

from projections.model_performance import MODELS, PERFORMANCE, TYPES, VIEW, Performance
from protocol.message import Event, tag_of
from protocol.role import RoleDelivered, ToolRequest
from protocol.router import CompletionFailed, CompletionGiven
from tests.kit.board_run import BEGIN, Happened, small_run
from tests.kit.folds import happened, rows_of

DAY_S = 86_400
CALLS = (ToolRequest("r1", "tests.run"), ToolRequest("r2", "lint.fix"))


def given(role: str = "tester", model: str = "m", tools: tuple[ToolRequest, ...] = (), seconds: float = 0.0) -> Event:
    return CompletionGiven(
        role, 1, "ef", tools, provider="p", model=model, tokens_in=7, tokens_out=3, cost_micros=40, priced=bool(tools),
        seconds=seconds,
    )  # fmt: skip


def of(*said: tuple[str, Event], second: int = 0) -> list[Happened]:
    return [happened(kind, event, second=second + n) for n, (kind, event) in enumerate(said)]


def models(run: list[Happened]) -> dict[str, Performance]:
    """By model, of a run of one day."""
    return {row.model: row for row in rows_of(VIEW, PERFORMANCE, run)}


def test_completions_are_summed_by_day_provider_and_model() -> None:
    run = of(("router", given(tools=CALLS)), ("router", given()), ("router", given(model="other")))
    rows = models(run)
    assert rows["m"] == Performance(
        project="demo", day=BEGIN.date(), provider="p", model="m", completions=2, tokens_in=14, tokens_out=6, priced=1,
        cost_micros=40, asked_tools=1, tool_calls=2, position=2, at=BEGIN + timedelta(seconds=1),
    )  # fmt: skip
    assert (rows["other"].completions, rows["other"].position) == (1, 3)
    later = rows_of(VIEW, PERFORMANCE, [*run, *of(("router", given()), second=DAY_S)])
    assert [(str(row.day), row.model, row.completions) for row in later] == [
        ("2026-01-31", "m", 2), ("2026-01-31", "other", 1), ("2026-02-01", "m", 1),
    ]  # fmt: skip


def test_time_that_was_not_measured_is_in_no_average() -> None:
    run = of(("router", given(seconds=0.5)), ("router", given()), ("router", given(seconds=2.25)))
    row = models(run)["m"]
    assert (row.completions, row.measured, row.latency_us, row.latency_max_us) == (3, 2, 2_750_000, 2_250_000)


def test_a_failure_counts_for_whom_it_asked_and_its_time_is_no_latency() -> None:
    rows = models(
        of(
            ("router", given()),
            ("router", CompletionFailed("tester", 2, "no answer", "p", "m", 1.5)),
            ("router", CompletionFailed("tester", 3, "no answer")),
        )
    )
    assert (rows["m"].completions, rows["m"].failures, rows["m"].failed_us, rows["m"].measured) == (1, 1, 1_500_000, 0)
    assert (rows[""].provider, rows[""].completions, rows[""].failures) == ("", 0, 1)


def test_a_delivery_counts_once_for_each_model_that_answered_the_role() -> None:
    done, not_done = RoleDelivered("completed", "done"), RoleDelivered("failed", "red")
    run = of(
        ("router", given()), ("router", given()), ("router", given(model="org/other")),
        ("router", given("presenter")), ("tester", done), ("presenter", not_done), ("architect", done),
    )  # fmt: skip
    rows = models(run)
    assert (rows["m"].deliveries, rows["m"].delivered) == (2, 1)
    assert (rows["org/other"].deliveries, rows["org/other"].delivered) == (1, 1)
    again = models([*run, *of(("tester", done), second=20)])
    assert again["m"].deliveries == 2, "nobody was asked since the last one"


def test_a_delivery_is_of_its_own_day_task_and_project() -> None:
    done = RoleDelivered("completed", "done")
    (first, second) = rows_of(VIEW, PERFORMANCE, [
        happened("router", given()),
        happened("tester", done, name="t2"),
        happened("tester", done, project="other"),
        happened("tester", done, second=DAY_S),
    ])  # fmt: skip
    assert (first.completions, first.deliveries) == (1, 0)
    assert (second.completions, second.deliveries, str(second.day)) == (0, 1, "2026-02-01")


def test_the_small_run() -> None:
    run = small_run()
    rows = models(run)
    row = rows["small-1"]
    assert (row.completions, row.failures, row.tokens_in, row.priced, row.measured) == (3, 0, 1150, 2, 3)
    assert (row.latency_us, row.latency_max_us) == (11_500_000, 9_000_000)
    assert (row.deliveries, row.delivered) == (1, 0), "the tester's; the presenter delivered before it asked"
    assert rows[""].failures == 1
    assert {row.role: row.models for row in rows_of(VIEW, MODELS, run)} == {
        "tester": (), "presenter": ("openai/small-1",),
    }  # fmt: skip
    assert {tag_of(cls) for cls in TYPES} <= {tag_of(each.event) for each in run}
