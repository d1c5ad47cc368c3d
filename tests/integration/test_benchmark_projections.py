"""The benchmark of the views runs, with a thousandth of its load, and finds every figure that is asked of it."""

from itertools import islice, pairwise

from projections.listings import LISTINGS
from projections.queries import VIEWS
from tests.benchmarks.projections import mix, sourced
from tests.benchmarks.projections.measure import measure

SMALL = "--rounds 1 --seconds 0.1 --fold-events 1 --events 1 --rate 200 --lag-seconds 0.2 --calls 1 --ranges 1,2"


async def test_every_key_is_measured_and_every_lane_did_something() -> None:
    found = await measure(SMALL.split())
    versus = {"tx_per_event", "tx_per_event_not_durable", "tx_per_event_slow_disk", "eventsourcing_projection"}
    ratios = {f"folded_vs_{peer}" for peer in versus} | {"lag_p99_ms", "query_p99_ms"}
    ratios |= {f"rebuild_{which}2_vs_1" for which in ("", "event_counts_", "timeline_")}
    assert set(found["ratios"]) == ratios
    figures = found["figures"]
    rates = {name for name in figures if name.endswith("_per_s")}
    rebuilt = {f"rebuild_{which}_{n}_per_s" for which in ("event_counts", "timeline", "all") for n in (1, 2)}
    assert rates == rebuilt | {f"{peer}_per_s" for peer in versus} | {
        "folded_event_counts_per_s", "folded_usage_per_s", "folded_task_board_per_s", "lag_written_per_s",
        "folded_event_counts_slow_disk_per_s",
    }  # fmt: skip
    latencies = {f"query_{name}_p99_ms" for name in LISTINGS} | {f"lag_{view.name}_p99_ms" for view in VIEWS}
    for name in rates | latencies | ratios:
        assert 0 <= figures[name]["min"] <= figures[name]["value"] <= figures[name]["max"]
    assert min(figures[name]["value"] for name in rates) > 0
    assert figures["stored_events"]["value"] == mix.whole(1)
    slowest, kind = figures["query_slowest"]["value"].split(" ", 1)
    assert slowest in LISTINGS
    assert kind


def test_the_mix_tells_its_tasks_apart_and_makes_the_same_events_again() -> None:
    events = mix.block_events()
    made = list(islice(mix.history(), 2 * events))
    assert list(islice(mix.history(1), events)) == made[events:]
    assert all(earlier.at < later.at for (_, earlier), (_, later) in pairwise(made))
    assert len({event.causation for _, event in made}) == len(made)
    tasks = {address.name for address, _ in made if address.kind == "task"}
    assert len(tasks) == 2 * mix.TASKS_AT_ONCE
    assert not any(b"placeholder" in event.body for _, event in made)
    assert {address.project for address, _ in made} == {mix.PROJECT}
    assert len({event.type for _, event in made}) == sourced.TYPES  # The peer has as many, and as many kinds.
    assert len({address.kind for address, _ in made}) == sourced.KINDS
