"""Tool inputs with earlier results, and the check that a text cites every number it states."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.tools import Fact, Finding, Prior, ProducedFile, Status, ToolInput, ToolResult

_CITATION = re.compile(r"\[tools/[^\]\s@]+@\d+\]")
_CODE = re.compile(r"`[^`]*`")


def result(status: Status = "ok", summary: str = "done", **facts: Fact) -> ToolResult:
    """A result with these facts and nothing else."""
    return ToolResult(status, summary, facts)


def given(
    tool: str,
    prior: Mapping[str, ToolResult] | None = None,
    *,
    source: Path | str = "",
    args: dict[str, Any] | None = None,
    title: str = "review this repository for release",
) -> ToolInput:
    """The input of the call `tools/t1@99`; the earlier results got `tools/t1@1`, `@2`, … in the order given."""
    calls = enumerate((prior or {}).items(), start=1)
    return ToolInput(
        tool,
        "tools/t1@99",
        "t1",
        title,
        "2026-01-02T03:04:05Z",
        repo=str(source),
        source=str(source),
        args=args or {},
        prior={name: Prior(f"tools/t1@{number}", each) for number, (name, each) in calls},
    )


def file_text(outcome: ToolResult, path: str) -> str:
    """The text of the produced file; fails when the tool produced none under that path."""
    files: dict[str, ProducedFile] = {file.path: file for file in outcome.files}
    return files[path].content.decode()


def uncited(text: str) -> list[str]:
    """The lines that state a number (outside code quotes and citations) and cite no event."""
    lines: list[str] = []
    for line in text.splitlines():
        bare = _CODE.sub("", _CITATION.sub("", line))
        if any(sign.isdigit() for sign in bare) and not _CITATION.search(line):
            lines.append(line)
    return lines


def finding(severity: str = "low", path: str = "a.py", line: int = 3, message: str = "is odd") -> Finding:
    """A finding of the rule `r1`."""
    assert severity in ("info", "low", "medium", "high", "critical")
    return Finding(severity, "r1", message, path, line)
