"""The report of the offline provider: what each tool said, every number and finding with the event it came from."""

from collections.abc import Sequence

import msgspec

from actors.services.tools.composing.citing import by_severity, citation, code, place, plain, reason, shown, table
from protocol.tools import Fact, Finding, Status

FINDINGS_MAX = 20  # shown of one tool; the rest is counted, and the cited event holds all of them

_STATUS_WORDS: dict[Status, str] = {
    "ok": "done",
    "not_applicable": "does not apply here",
    "could_not_run": "could not run",
    "failed": "failed",
}


class ToolAnswer(msgspec.Struct, frozen=True):
    """A tool result as a conversation carries it: `call` is the event it is recorded in, `files` are paths."""

    call: str
    tool: str
    status: Status
    summary: str
    facts: dict[str, Fact] = {}
    findings: tuple[Finding, ...] = ()
    files: tuple[str, ...] = ()


def compose(title: str, label: str, answers: Sequence[ToolAnswer]) -> str:
    """The report in Markdown: title, who wrote it, what is not known, then one section a tool in the order they ran."""
    parts = [f"# {plain(title)}\n", f"_This report was {label}._\n"]
    gaps = [answer for answer in answers if answer.status != "ok"]
    if gaps:
        words = [(a, _STATUS_WORDS[a.status]) for a in gaps]
        lines = [f"- {a.tool} {word}: {reason(a.summary, word)} {citation(a.call)}" for a, word in words]
        parts.append("## Not known\n\n" + "\n".join(lines) + "\n")
    parts += [_section(answer) for answer in answers]
    if not answers:
        parts.append("The playbook of this role has no steps; no tool was called.\n")
    return "\n".join(parts)


def _section(answer: ToolAnswer) -> str:
    own = citation(answer.call)
    word = _STATUS_WORDS[answer.status]
    parts = [f"## {answer.tool}\n", f"**{word}**: {reason(answer.summary, word)} {own}\n"]
    if answer.facts:
        parts.append(table(("Fact", "Value"), ((plain(name), f"{shown(v)} {own}") for name, v in answer.facts.items())))
    if answer.findings:
        parts.append(_findings(answer))
    if answer.files:
        parts.append("Files:\n\n" + "\n".join(f"- {code(path)} {own}" for path in answer.files) + "\n")
    return "\n".join(parts)


def _findings(answer: ToolAnswer) -> str:
    own = citation(answer.call)
    ordered = [found for _, found in by_severity((answer.tool, found) for found in answer.findings)]
    lines = [
        f"- **{found.severity}** {place(found)}: {plain(found.message)} ({plain(found.rule)}) {own}"
        for found in ordered[:FINDINGS_MAX]
    ]
    more = len(ordered) - FINDINGS_MAX
    if more > 0:
        lines.append(f"- {more} more {own}")
    return "Findings, the worst first:\n\n" + "\n".join(lines) + "\n"
