"""The report folder: whole or not at all, true to the log's hashes, every citation resolved."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.cli.evidence import citations
from actors.cli.exits import Exit, Stop
from actors.cli.report import write_report
from eventstore.memory.store import MemoryStore
from eventstore.store import NewEvent
from projections.answers import ArtifactRow, RoleRow, TaskDetail, TaskRow
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.role import RoleDelivered
from protocol.subjects import Address
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import ToolCalled, ToolReturned
from tests.kit.blobs import spoil_blob

_CODE = re.compile(r"`[^`]*`")
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEXT = "# Tests\n\n5 passed [tools/t1@1], 2 | odd [tools/t1@9]\n"


async def _append(log: MemoryStore, kind: str, *events: Event) -> None:
    new = [NewEvent(tag_of(event), encode(event), AT, "t1", "c") for event in events]
    await log.append(Address("demo", kind, "t1"), new)


async def _run(*paths: str) -> tuple[MemoryStore, TaskDetail]:
    log = MemoryStore()
    await _append(log, "task", TaskSubmitted("review *it*", "/srv/repo"), TaskConcluded("completed", "go", "all well"))
    await _append(
        log,
        "tools",
        ToolCalled("tester", "r1", "tests.run", "review", "/srv/repo"),
        ToolReturned("tools/t1@1", "tester", "tests.run", "ok", "5 passed", seconds=0.5),
    )
    await _append(log, "tester", RoleDelivered("completed", "tests.run: 5 passed", tool_calls=1, label="by nobody"))
    sha256 = await log.blobs.put("demo", TEXT.encode())
    artifacts = tuple(ArtifactRow("tester", path, "text/markdown", sha256, len(TEXT), 5) for path in paths)
    row = RoleRow(
        "tester", "completed", "tester-1", (), 1, 1, 0, 0, 0, 0, len(paths), "", AT, AT, 1.25, "tests.run: 5 passed"
    )
    ended = AT + timedelta(seconds=9)
    task = TaskRow(
        "demo", "t1", "review *it*", "/srv/repo", "completed", "go", "all well", AT, AT, ended, 1, 1, 5, 0, 5
    )
    return log, TaskDetail(task, (row,), artifacts, {})


async def test_the_folder_holds_every_file_an_index_and_a_summary(tmp_path: Path) -> None:
    log, detail = await _run("report.md", "data/more.md")
    summary = await write_report(log, "demo", detail, tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "REPORT.md",
        "summary.json",
        "tester/report.md",
        "tester/data/more.md",
    }
    assert (tmp_path / "out/tester/report.md").read_text() == TEXT
    stored = json.loads((tmp_path / "out/summary.json").read_text())
    assert stored["roles"] == {"tester": {"status": "completed", "seconds": 1.25, "tool_calls": 1, "artifacts": 2}}
    assert (stored["seconds"], stored["events"], stored["verdict"]) == (9.0, 5, "go")
    assert [each.path for each in summary.artifacts] == ["tester/report.md", "tester/data/more.md"]


async def test_the_index_cites_an_event_for_every_number_and_says_which_do_not_exist(tmp_path: Path) -> None:
    log, detail = await _run("report.md")
    await write_report(log, "demo", detail, tmp_path / "out")
    page = (tmp_path / "out/REPORT.md").read_text()
    body, _, listed = page.partition("## Events cited")
    assert not [
        line
        for line in body.splitlines()
        if any(map(str.isdigit, _CODE.sub("", line.replace("SHA-256", "")))) and not citations(line)
    ]
    assert listed
    assert "tester called tests.run; ok: 5 passed" in page
    assert "| `tools/t1@9` | **no such event** |" in page
    assert "# review \\*it\\*" in page
    assert "by nobody" in page
    assert json.loads((tmp_path / "out/summary.json").read_text())["citations"]["tools/t1@9"] == ""


async def test_an_earlier_report_is_replaced_as_a_whole(tmp_path: Path) -> None:
    log, detail = await _run("report.md")
    (tmp_path / "out/old").mkdir(parents=True)
    await write_report(log, "demo", detail, tmp_path / "out")
    assert not (tmp_path / "out/old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", ["../escape.md", "/tmp/escape.md", "a/../../escape.md"])
async def test_no_file_leaves_the_folder(path: str, tmp_path: Path) -> None:
    log, detail = await _run("report.md", path)
    with pytest.raises(Stop) as stopped:
        await write_report(log, "demo", detail, tmp_path / "out")
    assert stopped.value.code == Exit.DIVERGENCE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoiled", [True, False], ids=["other bytes", "no bytes"])
async def test_bytes_that_are_not_those_of_the_log_are_a_divergence(spoiled: bool, tmp_path: Path) -> None:
    log, detail = await _run("report.md")
    if spoiled:
        await spoil_blob(log, "demo", detail.artifacts[0].sha256)
    else:
        log = MemoryStore()
    with pytest.raises(Stop, match=r"tester/report\.md") as stopped:
        await write_report(log, "demo", detail, tmp_path / "out")
    assert stopped.value.code == Exit.DIVERGENCE
    assert list(tmp_path.iterdir()) == []


def test_citations_are_found_once_each_in_order() -> None:
    text = "[tools/t1@2] a [tools/a-b_c@13][tools/t1@2] [not a/b] [tools/t1@] `[task/t@1]`"
    assert citations(text) == ["tools/t1@2", "tools/a-b_c@13", "task/t@1"]
