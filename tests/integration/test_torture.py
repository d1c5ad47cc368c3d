"""bin/torture: a short run breaks everything once and every checker holds; what does not keep a guarantee is found out.

The long mode breaks things for some minutes, with three seeds; `bin/torture --seconds N` for as long as one likes.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.long_mode import LONG, rounds
from tests.torture.plan import SORTS, plan_round

ROOT = Path(__file__).resolve().parents[2]
SECONDS = rounds(12, 150)
SEEDS = range(1, rounds(1, 3) + 1)
MARGIN_S = 240.0  # Beyond the seconds asked for: starting, healing, judging, on a machine that has other things to do.
TAKEOVER_VS_TTL_MAX = 1.5  # The reach is 1.1 on a machine that does nothing else.
ONCE = "accepted is applied exactly once"
FENCED = ("nobody writes after a later epoch began", "nobody moves a cursor that is another's")


def begin(tmp_path: Path, *arguments: str, without: str = "") -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "TROUPE_TORTURE_WITHOUT": without}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.torture", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(tmp_path: Path, seconds: float, *arguments: str, without: str = "") -> tuple[int, dict[str, Any], str]:
    """Exit status, report, and what was said meanwhile."""
    with begin(tmp_path, "--seconds", str(seconds), *arguments, without=without) as torture:
        try:
            out, said = torture.communicate(timeout=seconds + MARGIN_S)
        finally:
            torture.kill()  # The guard cleans up after it.
    assert out, said.decode()
    return torture.returncode, json.loads(out), said.decode()


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_breaks_and_every_promise_holds(tmp_path: Path, seed: int) -> None:
    status, report, said = run(tmp_path, SECONDS, "--seed", str(seed))
    wrong = {name: found for name, found in report["verdicts"].items() if found}
    assert not wrong, said
    assert status == 0
    assert report["commands"]["outcomes"]["accepted"] > 100
    assert report["effects"]["wanted"] > 0
    assert set(report["faults"]) == {*SORTS, "takeover"}, "each sort at least once"
    assert report["ratios"]["takeover_vs_ttl"] <= TAKEOVER_VS_TTL_MAX
    assert list(tmp_path.iterdir()) == [], "no state folder is left"


def test_workers_that_do_not_know_what_they_settled_are_found_out(tmp_path: Path) -> None:
    status, report, _ = run(tmp_path, 3, "--seed", "1", "--workers", "1", "--faults", "cut", without="inbox")
    assert status == 1
    assert any("was applied" in wrong for wrong in report["verdicts"][ONCE])


@pytest.mark.skipif(not LONG, reason="takes a lease to run out; every run has the simulation's")
def test_workers_that_do_not_know_when_they_are_replaced_are_found_out(tmp_path: Path) -> None:
    status, report, _ = run(tmp_path, 20, "--seed", "1", "--faults", "freeze,stall", without="fence")
    assert status == 1
    assert any(report["verdicts"][name] for name in FENCED)


def test_a_run_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    with begin(tmp_path, "--seconds", "60", "--seed", "1", "--workers", "1") as torture:
        assert torture.stderr is not None
        for line in torture.stderr:
            if b"servers run" in line:
                break
        torture.send_signal(signal.SIGTERM)
        torture.communicate(timeout=MARGIN_S)
    assert torture.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_breaks_the_same_things() -> None:
    assert plan_round(7, 3, 24.0) == plan_round(7, 3, 24.0)
    assert plan_round(7, 3, 24.0) != plan_round(8, 3, 24.0)
    for number in range(20):
        faults = plan_round(7, number, 24.0)
        assert sorted(fault.sort for fault in faults) == sorted(SORTS)
        assert sum(fault.after_s for fault in faults) < 2 * 24.0
