"""What reaches the terminal: nothing that drives it, nothing cut in a pipe, progress only where it belongs."""

import io
import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console

from actors.cli import output
from actors.cli.dev import without_secrets
from actors.cli.live import LineProgress, TableProgress, progress, roles_table
from projections.answers import RoleRow, TaskDetail, TaskRow
from protocol.role import ROLES

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _role(**changes: object) -> RoleRow:
    row = RoleRow("tester", "working", "tester-1", (), 1, 0, 0, 0, 0, 0, 0, "tests.run", AT, None, None, "")
    return msgspec.structs.replace(row, **changes)


def _detail(*roles: RoleRow) -> TaskDetail:
    task = TaskRow("demo", "t1", "review", "/srv/repo", "active", "", "", AT, AT, None, 13, 0, 12, 0, 12)
    return TaskDetail(task, roles, (), {})


def test_text_from_outside_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b[2Jb\nc\rd\u202ee")
    output.note("x\x07y")
    output.table(("[red]H",), [("[bold]cell\x1b]0;title\x07",)])
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "a\ufffd[2Jb c\ufffdd\ufffde"
    assert told.err == "x\ufffdy\n"
    assert "[bold]cell" in told.out
    assert "\x1b" not in told.out


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("A", "B"), [("x" * 500, 1.25), (None, "last")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["x" * 500, "1.2"]
    assert lines[2].split() == ["-", "last"]


def test_data_is_one_json_value_a_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    @dataclass
    class Answer:
        text: str

    output.data([Answer("two\nlines"), None])
    output.lines([b"{}", b"[]"])
    first, *rest = capsysbinary.readouterr().out.splitlines()
    assert json.loads(first) == [{"text": "two\nlines"}, None]
    assert rest == [b"{}", b"[]"]


def test_without_a_terminal_each_change_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as shown:
        assert isinstance(shown, LineProgress)
        for row in (_role(), _role(), _role(tool_calls=2), _role(activity="thinking")):
            shown.show(_detail(row))
        shown.show(_detail(_role(status="completed", seconds=2.5, summary="5 passed")))
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(maxsplit=1)[1] for line in told.err.splitlines()] == [
        "working: tests.run",
        "working: thinking",
        "completed in 2.5 s: 5 passed",
    ]


def test_the_live_table_shows_all_roles_from_the_first_moment() -> None:
    table = roles_table(_detail(_role()), AT + timedelta(seconds=3))
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    assert [line.split()[0] for line in lines[1:14]] == list(ROLES)
    tester = next(line for line in lines if line.startswith("tester"))
    assert tester.split() == ["tester", "working", "tests.run", "1", "3.0"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_honoured_on_a_terminal(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in (("TERM", "xterm"), ("NO_COLOR", no_color), ("COLUMNS", "100")):
        monkeypatch.setenv(name, value)
    with progress() as shown:
        assert isinstance(shown, TableProgress)
        shown.show(_detail(_role(status="completed", seconds=2.5)))
    assert "completed" in terminal.getvalue()
    assert bool(re.search(r"\x1b\[3[0-9]", terminal.getvalue())) is not bool(no_color)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://troupe:secret@127.0.0.1:5432/troupe", "postgresql://troupe@127.0.0.1:5432/troupe"),
        ("nats://token@127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("postgresql:///troupe?host=/run/pg", "postgresql:///troupe?host=/run/pg"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
