"""What the command line refuses before it touches anything, and with which exit code."""

from pathlib import Path

import pytest

from actors.cli.demo import task_id
from actors.cli.exits import Exit
from actors.cli.main import main
from actors.cli.run import find_repository, new_task_id
from protocol.subjects import check_token
from tests.kit import repositories


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that stays empty, and none of the developer's settings."""
    for name in ("TROUPE_DEMO", "TROUPE_NATS_URL", "TROUPE_POSTGRES_URL", "TROUPE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("nope", Exit.USAGE, "nope"),
        ("task show", Exit.USAGE, "task show"),
        ("task show a.b", Exit.USAGE, "task id 'a.b'"),
        ("task submit x --id a/b", Exit.USAGE, "task id 'a/b'"),
        ("task list --limit 0", Exit.USAGE, "--limit 0"),
        ("task list --limit many", Exit.USAGE, "many"),
        ("task list --project a.b", Exit.USAGE, "project 'a.b'"),
        ("agent list --nope", Exit.USAGE, "--nope"),
        ("replay --from 0", Exit.USAGE, "count from 1"),
        ("replay --from 5 --to 4", Exit.USAGE, "--to must not be before --from"),
        ("replay --follow --backward", Exit.USAGE, "choose one"),
        ("replay --since yesterday", Exit.USAGE, "--since 'yesterday' is not an ISO 8601 time"),
        ("replay --until 2026-01-31T12:00:00", Exit.USAGE, "--until '2026-01-31T12:00:00' has no time zone"),
        ("pub troupe.cmd.demo.task {}", Exit.USAGE, "not a command subject"),
        ("pub troupe.cmd.demo.task.t1 {", Exit.USAGE, "not JSON"),
        ("run x", Exit.USAGE, "--repo"),
        ("run x --repo no/such/folder", Exit.NOT_FOUND, "no/such/folder"),
        ("task submit x --repo no/such/folder", Exit.NOT_FOUND, "no/such/folder"),
        ("demo no/such/folder", Exit.NOT_FOUND, "no/such/folder"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: str, code: Exit, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "state").exists()


def test_a_demo_inside_a_demo_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TROUPE_DEMO", "1")
    assert main(["demo"]) == Exit.USAGE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["task", "submit", "x"], ["pub", "troupe.cmd.demo.task.t1", '{"type":"x"}']])
def test_without_a_company_there_is_nobody_to_ask(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Exit.UNAVAILABLE
    assert "troupe dev" in capsys.readouterr().err


def test_help_and_version_are_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == Exit.OK
    assert main(["--help"]) == Exit.OK
    told = capsys.readouterr()
    assert "replay" in told.out
    assert told.err == ""


def test_a_repository_is_found_from_any_folder_in_it(tmp_path: Path) -> None:
    repo = repositories.python_passing(tmp_path / "repo")
    assert find_repository(repo / "src") == repo.resolve()
    (tmp_path / "link").symlink_to(repo)
    assert find_repository(tmp_path / "link") == repo.resolve()


@pytest.mark.parametrize("place", ["report", "repo/out", "full"])
def test_where_a_report_cannot_go_is_said_before_any_work(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = repositories.empty_one_commit(tmp_path / "repo")
    (tmp_path / "report").write_text("a file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("precious")
    assert main(["run", "x", "--repo", str(repo), "--report", str(tmp_path / place)]) == Exit.USAGE
    assert "--report" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["parcels", "café & co", "...", "x" * 300, "-lead"])
def test_the_demos_task_id_can_be_part_of_a_subject(name: str) -> None:
    assert check_token("task id", task_id(Path("/srv") / name)).startswith("review-")


def test_task_ids_differ() -> None:
    ids = {new_task_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(check_token("task id", each) for each in ids)
