"""REPORT.md: the run on one page. The outcome first, then what each role found, then where everything is."""

from collections.abc import Mapping, Sequence

from actors.cli.evidence import Call, Evidence
from actors.cli.summary import RunSummary
from projections.answers import RoleRow, TaskDetail
from protocol.role import ROLES
from protocol.subjects import parse_reference

_MARKUP = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#"})


def compose(summary: RunSummary, detail: TaskDetail, evidence: Evidence, cited: Mapping[str, str]) -> str:
    """The page. Every number carries the event it comes from; `cited` are the events the roles' own reports cite."""
    return "\n".join(
        (
            f"# {_text(summary.title)}\n",
            _verdict(summary, evidence),
            _run(summary, evidence),
            *_roles(summary, detail, evidence),
            _artifacts(summary, detail, evidence),
            _citations(cited),
        )
    )


def _verdict(summary: RunSummary, evidence: Evidence) -> str:
    outcome = summary.verdict or f"none, the task {summary.status}"
    judged = [call for call in evidence.calls_of("decision-maker") if call.returned is not None]
    source = _cite(judged[-1].reference if judged else evidence.concluded)
    said = judged[-1].returned.summary if judged and judged[-1].returned else summary.summary
    return f"**Verdict: {_text(outcome)}** {source}\n\n{_text(said)} {source}\n"


def _run(summary: RunSummary, evidence: Evidence) -> str:
    last = evidence.concluded or evidence.submitted
    labels = sorted({delivered.label for _, delivered in evidence.deliveries.values() if delivered.label})
    facts = [
        ("Task", f"`{summary.task}` {_cite(evidence.submitted)}"),
        ("Repository", f"{_text(summary.repo)} {_cite(evidence.submitted)}"),
        ("Status", f"{summary.status} {_cite(last)}"),
        ("From submission to conclusion", f"{summary.seconds or 0:.1f} s {_cite(evidence.submitted)} {_cite(last)}"),
        ("Events", f"{summary.events} {_cite(last)}"),
    ]
    written = f"\nThe roles' reports were {_text('; '.join(labels))}.\n" if labels else ""
    return _table(("Run", ""), facts) + written


def _roles(summary: RunSummary, detail: TaskDetail, evidence: Evidence) -> list[str]:
    rows = {row.role: row for row in detail.roles}
    reports: dict[str, str] = {}
    for each in summary.artifacts:
        reports.setdefault(each.role, each.path)  # A role's report comes first.
    present = [name for name in ROLES if name in rows]
    figures = [
        (_link(name, reports.get(name, "")), *_figures(rows[name]), _delivery(evidence, name)) for name in present
    ]
    headers = ("Role", "Status", "Seconds", "Tool calls", "Files", "Recorded in")
    found = [_role(name, rows[name], evidence) for name in present]
    return ["## Roles\n", _table(headers, figures), "## What each role found\n", *found]


def _role(name: str, row: RoleRow, evidence: Evidence) -> str:
    lines = [_finding(call) for call in evidence.calls_of(name)]
    if row.status != "completed":
        lines.append(f"- **{row.status}**: {_text(row.summary or 'it has not delivered')} {_delivery(evidence, name)}")
    return f"### {name}\n\n" + ("\n".join(lines) or f"No tool was called. {_delivery(evidence, name)}") + "\n"


def _finding(call: Call) -> str:
    if call.returned is None:
        return f"- {_text(call.called.tool)}: has not returned {_cite(call.reference)}"
    word = {"ok": "", "not_applicable": "does not apply: ", "could_not_run": "could not run: ", "failed": "failed: "}
    status = word[call.returned.status]
    said = status + call.returned.summary.removeprefix(status)
    return f"- {_text(call.called.tool)}: {_text(said)} {_cite(call.reference)}"


def _artifacts(summary: RunSummary, detail: TaskDetail, evidence: Evidence) -> str:
    sizes = {f"{row.role}/{row.path}": row.size_bytes for row in detail.artifacts}
    rows = [
        (_link(each.path, each.path), str(sizes[each.path]), f"`{each.sha256}`", _delivery(evidence, each.role))
        for each in summary.artifacts
    ]
    return "## Files\n\nHashes are SHA-256.\n\n" + _table(("File", "Bytes", "Hash", "Recorded in"), rows)


def _citations(cited: Mapping[str, str]) -> str:
    if not cited:
        return "## Events cited\n\nNone.\n"
    in_order = sorted(cited.items(), key=lambda item: parse_reference(item[0]))
    rows = [(f"`{reference}`", _text(meaning) or "**no such event**") for reference, meaning in in_order]
    return "## Events cited\n\n" + _table(("Event", "What it was"), rows)


def _figures(row: RoleRow) -> tuple[str, str, str, str]:
    seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
    return row.status, seconds, str(row.tool_calls), str(row.artifacts)


def _delivery(evidence: Evidence, role: str) -> str:
    return _cite(evidence.deliveries[role][0]) if role in evidence.deliveries else ""


def _cite(reference: str) -> str:
    return f"[{reference}]" if reference else ""


def _link(text: str, path: str) -> str:
    return f"[{_text(text)}](<{path}>)" if path and not set(path) & set("<>\n|") else _text(text)


def _text(text: str) -> str:
    """Text from outside, on one line and without meaning to Markdown."""
    return "".join(sign if sign.isprintable() else " " for sign in text).translate(_MARKUP).strip()


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
