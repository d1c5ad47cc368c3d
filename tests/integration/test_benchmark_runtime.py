"""The benchmark of the runtime runs, with a thousandth of its load and without its peers, and finds its figures."""

import pytest

from tests.benchmarks.runtime import peers
from tests.benchmarks.runtime.measure import measure

SMALL = "--rounds 1 --seconds 0.1 --actors 8 --in-flight 1,8 --long-events 600"


async def test_asks_and_activation_are_measured() -> None:
    found = await measure([*SMALL.split(), "--without-peers", "--parts", "asks,activation"])
    assert set(found["ratios"]) == {"ask_1_p50_vs_floor", "activation_p50_ms"}
    figures = found["figures"]
    for name in ("ask_1_p50_ms", "ask_8_per_s", "nats_request_p50_ms", "postgres_insert_p50_ms", "activation_p50_ms"):
        assert 0 < figures[name]["min"] <= figures[name]["value"] <= figures[name]["max"]


async def test_without_the_peers_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing() -> None:
        raise peers.PeersMissing("no index can be reached")

    monkeypatch.setattr("tests.benchmarks.runtime.measure.environment", missing)
    with pytest.raises(SystemExit, match="no index can be reached"):
        await measure(["--parts", "asks"])
