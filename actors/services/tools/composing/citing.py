"""Citing: every number and finding a text states carries the event of the tool call it came from.

A fact counts only when its tool's result is `ok`: what a tool that broke or did not apply left behind is no evidence.
Text that comes from a repository cannot forge a citation or a tag: `plain` defuses both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from protocol.tools import SEVERITIES, Fact, Finding, Prior, Status

TEXT_CHARS_MAX = 400  # A longer summary or message is cut: a table row is read, not studied.
_SEVERITY_ORDER = {severity: -rank for rank, severity in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The earlier results of a task, read with their citations."""

    prior: Mapping[str, Prior]

    def status(self, tool: str) -> Status | None:
        """The status of the tool's result; None when the task has none."""
        found = self.prior.get(tool)
        return None if found is None else found.result.status

    def fact(self, tool: str, name: str) -> Fact | None:
        """The fact if the tool's result is ok and has it, else None."""
        found = self.prior.get(tool)
        if found is None or found.result.status != "ok":
            return None
        return found.result.facts.get(name)

    def number(self, tool: str, name: str) -> int | float | None:
        """The fact if it is a number, else None. A truth value is no number."""
        value = self.fact(tool, name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def word(self, tool: str, name: str) -> str:
        """The fact if it is a text, else ""."""
        value = self.fact(tool, name)
        return value if isinstance(value, str) else ""

    def cite(self, tool: str) -> str:
        """`[tools/t1@3]`, or "" when the task has no result of the tool."""
        found = self.prior.get(tool)
        return "" if found is None else citation(found.call)

    def cited(self, tool: str, name: str) -> str:
        """`12 [tools/t1@3]`, or why the fact is not known (with the citation of the result that lacks it)."""
        value = self.fact(tool, name)
        if value is None:
            return f"not known ({self.why_unknown(tool, name)})"
        return f"{shown(value)} {self.cite(tool)}"

    def why_unknown(self, tool: str, name: str = "") -> str:
        """Why a fact is not there, as a half-sentence with its citation."""
        found = self.prior.get(tool)
        if found is None:
            return f"{tool} has no result in this task"
        if found.result.status != "ok":
            said = found.result.status.replace("_", " ")
            return f"{tool} {said}: {reason(found.result.summary, said)} {citation(found.call)}"
        return f"{tool} reported no {name or 'facts'} {citation(found.call)}"


def citation(call: str) -> str:
    """The exact form in which a text cites an event."""
    return f"[{call}]"


def shown(value: Fact) -> str:
    """A fact as people read it: yes/no, a number, or the defused text (`none` for the empty one)."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, int) else (plain(value) or "none")


def reason(summary: str, status_word: str) -> str:
    """A summary to put behind its status word: without that word, if the tool has said it already."""
    return plain(summary.removeprefix(f"{status_word}: "))


def plain(text: str, limit: int = TEXT_CHARS_MAX) -> str:
    """One line of text from elsewhere that can neither open a tag nor forge a citation; cut at `limit` characters."""
    line = " ".join(text.split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace("[tools/", "&#91;tools/")


def code(text: str) -> str:
    """The text, a path say, in code quotes; a quote or a forged citation in it is defused."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("[tools/", "(tools/") + "`"


def place(finding: Finding) -> str:
    """`path:line` or `path` in code quotes, or "the repository"."""
    if not finding.path:
        return "the repository"
    return code(f"{finding.path}:{finding.line}" if finding.line else finding.path)


def by_severity(findings: Iterable[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
    """(tool, finding) pairs, the worst first; then by tool, path and line, so that the order never wavers."""
    return sorted(findings, key=lambda pair: (_SEVERITY_ORDER[pair[1].severity], pair[0], pair[1].path, pair[1].line))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes in cells are escaped. Ends in a newline."""
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
