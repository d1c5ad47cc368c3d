"""More processes for one company: they join, are killed and leave in the middle of a run, which ends as it should."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_crashes import check_finished
from tests.kit import repositories
from tests.kit.command_line import Troupe


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repositories.python_passing(tmp_path / "repo")


def test_a_run_survives_the_killing_and_the_leaving_of_workers(troupe: Troupe, repo: Path) -> None:
    with troupe.started("demo", str(repo), "--json") as demo:
        demo.wait_for("orchestrator")  # The company runs, and the task with it.
        with troupe.started("worker", "--effects", "tool") as leaving:
            leaving.wait_for("Joined.")
            with troupe.started("worker") as killed:
                killed.wait_for("Joined.")
                demo.wait_for("completed in")
                killed.kill()
            leaving.process.terminate()
            code, _, err = leaving.finish()
            assert (code, "Traceback" in err) == (130, False)
        code, out, err = demo.finish()
    assert code == 0, err
    check_finished(json.loads(out), [], troupe.replay())


def test_a_worker_alone_says_what_it_misses(troupe: Troupe) -> None:
    ended = troupe.run("worker")
    assert ended.returncode == 4
    assert "start one there with `troupe dev`" in ended.stderr
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        ended = troupe.run("worker", "--effects", "tool,llm")
        assert ended.returncode == 2
        assert "there is no kind of effect 'llm'; the kinds are completion, tool" in ended.stderr
