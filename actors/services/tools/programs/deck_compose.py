"""deck.compose: a Slidev deck of seven slides for the people who decide on the release.

The deck is read back and checked before it is delivered; a deck that Slidev could not show is a failure, not a file.
"""

from typing import cast

from actors.services.tools.composing import changelog, slides
from actors.services.tools.composing.citing import Evidence, by_severity, citation, place
from actors.services.tools.composing.slides import text
from protocol.tools import SEVERITIES, Finding, ProducedFile, ToolInput, ToolResult

DECK = "slides.md"
POINTS_MAX = 6  # lines on a slide; more cannot be read from the back row
DIAGRAM_LINES_MAX = 60  # of Mermaid; a larger diagram is unreadable on a slide

_NEEDED = ("workspace.prepare", "architecture.map", "tests.run", "security.scan", "changelog.draft")


def run(given: ToolInput) -> ToolResult:
    """The deck; could_not_run while the task has no result to show."""
    evidence = Evidence(given.prior)
    known = [tool for tool in _NEEDED if evidence.status(tool) is not None]
    if not known:
        return ToolResult("could_not_run", f"nothing to show yet: the task has no result of {', '.join(_NEEDED)}")
    diagram = _diagram(evidence)
    pages = [
        _cover(given, evidence),
        _what(evidence),
        _architecture(evidence, diagram),
        _changes(evidence),
        _tests(evidence),
        _security(evidence),
        _unknown(given, evidence),
    ]
    source = slides.deck(pages)
    wrong = slides.problems(source)
    read = slides.read(source)
    if len(read) != len(pages):
        wrong.append(f"{len(pages)} slides were written and {len(read)} read back")
    if wrong:
        return ToolResult("failed", f"the deck does not have the form Slidev expects: {'; '.join(wrong)}")
    return ToolResult(
        "ok",
        f"{len(read)} slides, {'with' if diagram else 'without'} a diagram of the packages; "
        f"{len(known)} of {len(_NEEDED)} sources had a result",
        facts={
            "slides": len(read),
            "diagrams": int(bool(diagram)),
            "slides_with_notes": sum(bool(each.note) for each in read),
            "sources": len(known),
            "valid": True,
        },
        files=(ProducedFile(DECK, "text/markdown", source.encode()),),
        data={"titles": [each.content.splitlines()[0].lstrip("# ") for each in read]},
    )


def _cover(given: ToolInput, evidence: Evidence) -> str:
    proposed = evidence.word("changelog.draft", "proposed_version")
    version = f"Proposed version: {evidence.cited('changelog.draft', 'proposed_version')}\n\n" if proposed else ""
    body = f"{version}Commit: {evidence.cited('workspace.prepare', 'head')}\n\nDrafted by tools {citation(given.call)}"
    note = "Every number on these slides names the event of the tool call it came from; the log has the details."
    front = {"theme": "default", "title": text(given.title), "layout": "cover", "drawings": {"enabled": False}}
    return slides.slide(given.title, body, note, front)


def _what(evidence: Evidence) -> str:
    points = (
        ("Language", "primary_language"),
        ("Files", "files"),
        ("Commits", "commits"),
        ("Last tag", "last_tag"),
        ("Licence file", "licence_file"),
        ("Uncommitted changes", "dirty"),
    )
    body = "\n".join(f"- {name}: {_cited(evidence, 'workspace.prepare', fact)}" for name, fact in points)
    return slides.slide("What this is", body, _summary(evidence, "workspace.prepare"))


def _architecture(evidence: Evidence, diagram: str) -> str:
    points = (("Modules", "modules"), ("Packages", "packages"), ("Import cycles", "cycles"))
    body = "\n".join(f"- {name}: {_cited(evidence, 'architecture.map', fact)}" for name, fact in points)
    if diagram:
        body += f"\n\n```mermaid {{scale: 0.6}}\n{diagram}\n```"
    elif evidence.status("architecture.map") == "ok":
        body += f"\n\nThe diagram is in the architect's record {evidence.cite('architecture.map')}"
    return slides.slide("How it is built", body, _summary(evidence, "architecture.map"))


def _changes(evidence: Evidence) -> str:
    entries = changelog.entries(evidence)
    own = evidence.cite("changelog.draft")
    lines = [
        f"- {text(each.section)}{', breaking' if each.breaking else ''}: {text(each.text)} {own}"
        for each in entries[:POINTS_MAX]
    ]
    if len(entries) > POINTS_MAX:
        lines.append(f"- {len(entries) - POINTS_MAX} more {own}")
    body = "\n".join(lines) or f"No entry: {_why(evidence, 'changelog.draft')}"
    return slides.slide("What changes", body, _summary(evidence, "changelog.draft"))


def _tests(evidence: Evidence) -> str:
    points = ("runner", "passed", "failed", "errors", "skipped", "complete")
    if evidence.status("tests.run") != "ok":
        body = f"The tests are **not known** to pass: {_why(evidence, 'tests.run')}"
    else:
        body = "\n".join(f"- {fact.capitalize()}: {_cited(evidence, 'tests.run', fact)}" for fact in points)
    return slides.slide("Tests", body, _summary(evidence, "tests.run"))


def _security(evidence: Evidence) -> str:
    if evidence.status("security.scan") != "ok":
        body = f"**Not known**: {_why(evidence, 'security.scan')}"
        return slides.slide("Security", body, _summary(evidence, "security.scan"))
    lines = [
        f"- {severity.capitalize()}: {_cited(evidence, 'security.scan', severity)}"
        for severity in reversed(SEVERITIES)
        if severity != "info"
    ]
    found = evidence.prior["security.scan"].result.findings
    grave = [each for _, each in by_severity(("security.scan", each) for each in found) if _is_grave(each)]
    own = evidence.cite("security.scan")
    lines += [f"- **{each.severity}** {_place(each)} {text(each.message)} {own}" for each in grave[:2]]
    return slides.slide("Security", "\n".join(lines), _summary(evidence, "security.scan"))


def _unknown(given: ToolInput, evidence: Evidence) -> str:
    lines = [f"- {_why(evidence, tool)}" for tool in _NEEDED if evidence.status(tool) != "ok"]
    if evidence.fact("tests.run", "complete") is False:
        lines.append(f"- The test run was cut short; its counts are partial {evidence.cite('tests.run')}")
    if evidence.fact("workspace.prepare", "shallow") is True:
        lines.append(f"- The history is cut off; older changes were not seen {evidence.cite('workspace.prepare')}")
    lines.append(f"- Whether it does what its users need: no tool can tell {citation(given.call)}")
    return slides.slide("What is not known", "\n".join(lines), "What is not listed as known was not found out.")


def _diagram(evidence: Evidence) -> str:
    """The architect's Mermaid diagram, "" when there is none, it is too large, or it could leave its fence."""
    found = evidence.prior.get("architecture.map")
    if found is None or found.result.status != "ok":
        return ""
    diagram = cast("object", found.result.data.get("mermaid"))
    if not isinstance(diagram, str) or "```" in diagram or not diagram.strip():
        return ""
    lines = diagram.strip().splitlines()
    return "\n".join(lines) if len(lines) <= DIAGRAM_LINES_MAX else ""


def _cited(evidence: Evidence, tool: str, fact: str) -> str:
    # `plain` made the fact safe for Markdown; Slidev has two more signs of its own.
    return evidence.cited(tool, fact).replace("{{", "&#123;&#123;").replace("$", "&#36;")


def _why(evidence: Evidence, tool: str) -> str:
    return evidence.why_unknown(tool).replace("{{", "&#123;&#123;").replace("$", "&#36;")


def _summary(evidence: Evidence, tool: str) -> str:
    found = evidence.prior.get(tool)
    if found is None:
        return f"{tool} has no result in this task."
    return f"{text(found.result.summary)} {citation(found.call)}"


def _place(found: Finding) -> str:
    # Inside code an escape would be shown as it is; a space is enough to make it no interpolation.
    return place(found).replace("{{", "{ {")


def _is_grave(found: Finding) -> bool:
    return found.severity in ("critical", "high")
