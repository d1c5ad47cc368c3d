"""The benchmark of the store runs, with a thousandth of its load, and finds every figure that is asked of it."""

from tests.benchmarks.store import measure

STORED = 10_240
LARGER = 20_480


async def test_every_key_is_measured_and_every_lane_wrote_something() -> None:
    found = await measure(["--rounds", "1", "--seconds", "0.05", "--events", f"{STORED},{LARGER}"])
    keys = {
        "1024x1_vs_eventsourcing", "1024x1_slow_disk_vs_eventsourcing", "1024x1_vs_copy", "256x10_vs_copy",
        "1024x1_slow_disk_drop", "1024x1_wal_bytes", "256x10_wal_bytes", "1024x1_cpu_us", "256x10_cpu_us",
        f"1024x1_drop_at_{LARGER}",
    }  # fmt: skip
    ratios = {f"{path}_{key}" for path in ("append", "plain_append") for key in keys}
    ratios |= {
        "replay_vs_eventsourcing",
        "import_vs_copy",
        "chain_cost",
        "chain_cpu_cost",
        f"append_256x10_drop_at_{LARGER}",
    }
    ratios |= {f"append_1024x1_with_sends_vs_{peer}" for peer in ("eventsourcing", "copy")}
    assert set(found["ratios"]) == ratios
    for name in ratios:
        entry = found["figures"][name]
        assert entry["min"] <= entry["value"] <= entry["max"]
    rates = [entry["value"] for name, entry in found["figures"].items() if name.endswith("_per_s")]
    assert rates
    assert min(rates) > 0
