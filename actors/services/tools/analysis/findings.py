"""Findings and pages about them: bounded, in a fixed order, and safe to travel as JSON and Markdown."""

from collections import Counter
from collections.abc import Iterable, Sequence

from actors.services.tools.composing.citing import citation, place, plain
from protocol.tools import SEVERITIES, Fact, Finding, Severity

FINDINGS_MAX = 200  # of one result; the fact `findings_omitted` counts the rest
MESSAGE_CHARS_MAX = 300

_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def finding(severity: Severity, rule: str, message: str, path: str = "", line: int = 0) -> Finding:
    """A finding whose texts are valid Unicode on one line; a message longer than MESSAGE_CHARS_MAX is cut."""
    said = clean(message)
    if len(said) > MESSAGE_CHARS_MAX:
        said = said[: MESSAGE_CHARS_MAX - 1].rstrip() + "…"
    return Finding(severity, rule, said, path.encode("utf-8", "replace").decode(), max(line, 0))


def clean(text: str) -> str:
    """`text` as one line of valid Unicode without control characters: it may come from a foreign file or name."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(letter for letter in line if letter.isprintable() or letter == " ")


def bounded(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst FINDINGS_MAX without repetitions, the worst first, then by path, line, rule and message."""
    return tuple(_ordered(findings)[:FINDINGS_MAX])


def severity_facts(findings: Iterable[Finding]) -> dict[str, Fact]:
    """How many distinct findings there are of each severity and in all, and how many `bounded` leaves out."""
    distinct = _ordered(findings)
    count = Counter(each.severity for each in distinct)
    facts: dict[str, Fact] = {severity: count[severity] for severity in reversed(SEVERITIES)}
    return facts | {"findings": len(distinct), "findings_omitted": max(0, len(distinct) - FINDINGS_MAX)}


def lowered(severity: Severity, steps: int = 1) -> Severity:
    """The severity `steps` levels down; never below `info`."""
    return SEVERITIES[max(0, _RANK[severity] - steps)]


def noun(count: int, singular: str, plural: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def section(heading: str, findings: Sequence[Finding], call: str, empty: str) -> str:
    """A Markdown section that lists findings with place, severity, rule and citation; `empty` when there are none."""
    if not findings:
        return f"## {heading}\n\n{empty} {citation(call)}\n"
    rows = [
        f"- **{each.severity}** {place(each)}: {plain(each.message)} (`{each.rule}`) {citation(call)}"
        for each in findings
    ]
    return f"## {heading}\n\n" + "\n".join(rows) + "\n"


def omission(findings: Iterable[Finding], call: str) -> str:
    """The sentence about findings that the bound leaves out; "" when it leaves out none."""
    left_out = severity_facts(findings)["findings_omitted"]
    return f"\n{left_out} more findings are not listed {citation(call)}.\n" if left_out else ""


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(
        set(findings), key=lambda each: (-_RANK[each.severity], each.path, each.line, each.rule, each.message)
    )
