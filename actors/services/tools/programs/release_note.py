"""release.note: the release note for the proposed version, from the changelog draft and the state the tools found.

It promises nothing: failing tests, tests that did not run and everything that is not known are said on the page itself.
"""

from typing import Literal

from actors.services.tools.analysis.findings import noun
from actors.services.tools.composing import changelog
from actors.services.tools.composing.changelog import Entry
from actors.services.tools.composing.citing import Evidence, citation, plain
from protocol.tools import ProducedFile, ToolInput, ToolResult

TestsWord = Literal["passed", "failed", "cut short", "not known"]

NOTE = "release-note.md"
SECTION_ENTRIES_MAX = 15  # of one section; the changelog has the rest


def run(given: ToolInput) -> ToolResult:
    """The note; not applicable when nothing changed since the last version, could_not_run without a changelog draft."""
    evidence = Evidence(given.prior)
    if evidence.status("changelog.draft") != "ok":
        return _without_draft(evidence)
    entries = changelog.entries(evidence)
    unknown = _unknown(given, evidence)
    version = evidence.word("changelog.draft", "proposed_version")
    page = "\n".join(
        (
            f"# {_heading(version, evidence)}\n",
            f"{_standing(evidence)}\n",
            _changes(evidence, entries),
            "## State of this release\n\n" + "\n".join(_state(evidence)) + "\n",
            "## Not known\n\n" + "\n".join(unknown) + "\n",
            f"Drafted by release.note {citation(given.call)}; a person has to read it before it is published.\n",
        )
    )
    return ToolResult(
        "ok",
        f"release note for {version or 'a version not yet named'}: {len(entries)} changes, "
        f"{noun(len(unknown), 'thing')} not known; tests {_tests_word(evidence)}",
        facts={
            "version": version,
            "changes": len(entries),
            "not_known": len(unknown),
            "tests": _tests_word(evidence),
        },
        files=(ProducedFile(NOTE, "text/markdown", page.encode()),),
    )


def _without_draft(evidence: Evidence) -> ToolResult:
    why = evidence.prior.get("changelog.draft")
    if why is not None and why.result.status == "not_applicable":
        return ToolResult(
            "not_applicable", f"nothing to announce; changelog.draft does not apply: {why.result.summary}"
        )
    reason = "it has no result in this task" if why is None else f"it {why.result.status}: {why.result.summary}"
    return ToolResult("could_not_run", f"missing: the changelog draft ({reason})")


def _heading(version: str, evidence: Evidence) -> str:
    if not version:
        return f"Release, version not yet named {evidence.cite('changelog.draft')}"
    return f"Release {plain(version)} {evidence.cite('changelog.draft')}"


def _standing(evidence: Evidence) -> str:
    """The first sentence under the title: whether anybody may rely on this."""
    broken = _broken_tests(evidence)
    own = evidence.cite("tests.run")
    match _tests_word(evidence):
        case "failed":
            said = f"tests that fail or break: {broken}" if broken else "the test suite ends with an error"
            return f"**Not fit for release as it stands: {said} {own}.**"
        case "passed":
            return f"The test suite passes {own}. Whether to release is the decision maker's verdict, not this note's."
        case "cut short":
            return f"**The test run was cut short {own}; no test failed up to then, the rest is not known.**"
        case "not known":
            return f"**Whether it works is not known: {evidence.why_unknown('tests.run', 'passed')}.**"


def _changes(evidence: Evidence, entries: list[Entry]) -> str:
    own = evidence.cite("changelog.draft")
    if not entries:
        return f"## Changes\n\nThe changelog draft lists no change {own}\n"
    parts: list[str] = []
    for section in dict.fromkeys(entry.section for entry in entries):
        lines = [f"- {_breaking(entry)}{plain(entry.text)} {own}" for entry in entries if entry.section == section]
        more = len(lines) - SECTION_ENTRIES_MAX
        if more > 0:
            lines[SECTION_ENTRIES_MAX:] = [f"- {more} more in the changelog {own}"]
        parts.append(f"## {plain(section)}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _breaking(entry: Entry) -> str:
    return "**Breaking:** " if entry.breaking else ""


def _state(evidence: Evidence) -> list[str]:
    return [
        f"- Commit: {evidence.cited('workspace.prepare', 'head')}",
        f"- Last version: {evidence.cited('changelog.draft', 'last_version')}",
        f"- Commits since then: {evidence.cited('changelog.draft', 'commits')}",
        f"- Tests passed: {evidence.cited('tests.run', 'passed')}",
        f"- Tests failed: {evidence.cited('tests.run', 'failed')}",
        f"- Tests that broke: {evidence.cited('tests.run', 'errors')}",
        f"- Exit code of the test runner: {evidence.cited('tests.run', 'exit_code')}",
        f"- Tests skipped: {evidence.cited('tests.run', 'skipped')}",
        f"- Licence: {evidence.cited('docs.check', 'licence')}",
        f"- README: {evidence.cited('docs.check', 'has_readme')}",
    ]


def _unknown(given: ToolInput, evidence: Evidence) -> list[str]:
    lines = [
        f"- {evidence.why_unknown(tool)}"
        for tool in ("workspace.prepare", "tests.run", "docs.check")
        if evidence.status(tool) != "ok"
    ]
    if evidence.fact("tests.run", "complete") is False:
        lines.append(f"- How the tests end that the run did not reach {evidence.cite('tests.run')}")
    if evidence.fact("workspace.prepare", "shallow") is True:
        lines.append(f"- Changes before the point where the history is cut off {evidence.cite('workspace.prepare')}")
    if evidence.fact("workspace.prepare", "dirty") is True:
        lines.append(
            f"- What the uncommitted changes do; they are not in this release {evidence.cite('workspace.prepare')}"
        )
    lines.append(f"- How it behaves in use and under load: nothing of this task has measured it {citation(given.call)}")
    return lines


def _broken_tests(evidence: Evidence) -> int:
    return int((evidence.number("tests.run", "failed") or 0) + (evidence.number("tests.run", "errors") or 0))


def _tests_word(evidence: Evidence) -> TestsWord:
    """What may be said of the tests. A suite in which no test passed has not passed."""
    code = evidence.number("tests.run", "exit_code")
    if _broken_tests(evidence) or (code is not None and code > 0):
        return "failed"
    if evidence.fact("tests.run", "complete") is False:
        return "cut short"
    passed, failed = evidence.number("tests.run", "passed"), evidence.number("tests.run", "failed")
    if passed is None and failed is None and code == 0:
        return "passed"  # The runner tells no counts; its exit code says that all is well.
    return "passed" if passed and failed is not None else "not known"
