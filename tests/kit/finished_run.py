"""What must hold of every finished run: its report, its citations, its part of the log."""

import hashlib
import json
from pathlib import Path
from typing import Any

from actors.cli.evidence import citations
from protocol.role import ROLES
from tests.kit.command_line import Troupe


def check_report(done: dict[str, Any], folder: Path) -> None:
    """The folder holds exactly the artifacts, with their hashes, an index and a summary."""
    assert done["report"] == str(folder)
    assert len(done["artifacts"]) >= 12
    assert {each["role"] for each in done["artifacts"]} == set(ROLES)
    for each in done["artifacts"]:
        assert hashlib.sha256((folder / each["path"]).read_bytes()).hexdigest() == each["sha256"]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {each["path"] for each in done["artifacts"]} | {"REPORT.md", "summary.json"}
    assert json.loads((folder / "summary.json").read_text())["verdict"] == done["verdict"]


def check_citations(done: dict[str, Any], company: Troupe) -> None:
    """What a role's text cites is a tool call of this task; the replay shows the whole run, in order."""
    events = company.replay("--task", done["task"])
    assert len(events) == done["events"]
    assert [each["position"] for each in events] == sorted(each["position"] for each in events)
    calls = {each["event"] for each in events if each["type"] == "tools.called.v1"}
    assert len(calls) == sum(role["tool_calls"] for role in done["roles"].values())
    folder = Path(done["report"])
    for each in done["artifacts"]:
        if each["path"].endswith(".md"):
            cited = citations((folder / each["path"]).read_text())
            assert cited, f"{each['path']} cites nothing"
            assert set(cited) <= calls, each["path"]
    every = {each["event"] for each in events}
    assert set(citations((folder / "REPORT.md").read_text())) <= every
    assert "no such event" not in (folder / "REPORT.md").read_text()
