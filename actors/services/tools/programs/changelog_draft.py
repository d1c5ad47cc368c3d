"""changelog.draft: the next changelog section from the history since the last version, and the version it would be.

Subjects are sorted by their conventional-commit type or, without one, by their first verb. The next version follows
semantic versioning: a breaking change raises the first number, a feature the second, anything else the third; below
1.0.0 a breaking change raises the second, a feature the third (semver.org, item 4: anything may change). Without a tag
it is the version that the manifest states. In a shallow clone without a tag nobody can tell, and none is proposed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.services.tools.analysis import project_version
from actors.services.tools.analysis.findings import noun
from actors.services.tools.analysis.history import Log, LoggedCommit, Version, last_version, log
from actors.services.tools.composing.citing import citation, plain
from actors.services.tools.programs.git import GitError
from protocol.tools import Fact, Finding, ProducedFile, ToolInput, ToolResult

DRAFT_PATH = "CHANGELOG.draft.md"
FIRST_VERSION = Version(0, 1, 0, True)
GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Documentation", "Other")

_CONVENTIONAL = re.compile(
    r"^(?P<type>[A-Za-z]{2,12})(?:\((?P<scope>[^)]{1,60})\))?(?P<breaking>!)?:\s+(?P<text>\S.*)$"
)
_BREAKING_FOOTER = re.compile(r"^BREAKING[ -]CHANGE:\s*(?P<text>.*)", re.MULTILINE)
_BY_TYPE: Mapping[str, str] = {
    "feat": "Added", "feature": "Added", "add": "Added",
    "fix": "Fixed", "bugfix": "Fixed", "hotfix": "Fixed",
    "perf": "Changed", "refactor": "Changed", "change": "Changed", "revert": "Removed",
    "remove": "Removed", "deprecate": "Deprecated", "security": "Security", "sec": "Security",
    "docs": "Documentation", "doc": "Documentation",
}  # fmt: skip
_BY_VERB: Mapping[str, str] = {
    **dict.fromkeys(("add", "adds", "added", "introduce", "implement", "support", "allow", "create", "new"), "Added"),
    **dict.fromkeys(("fix", "fixes", "fixed", "correct", "repair", "resolve", "resolves", "prevent", "avoid"), "Fixed"),
    **dict.fromkeys(("remove", "removes", "removed", "drop", "drops", "delete", "revert"), "Removed"),
    **dict.fromkeys(("deprecate", "deprecates", "deprecated"), "Deprecated"),
    **dict.fromkeys(("document", "documents", "documented", "docs", "doc", "readme"), "Documentation"),
    **dict.fromkeys(
        ("change", "changes", "changed", "update", "improve", "rename", "move", "make", "refactor", "simplify", "use",
         "replace", "rework", "rewrite", "extend", "split", "merge", "speed", "reduce", "upgrade", "bump"), "Changed",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Entry:
    group: str
    text: str
    commit: LoggedCommit
    breaking: bool
    feature: bool


def run(given: ToolInput) -> ToolResult:
    """Draft the section. Not applicable without a commit, or when nothing was committed since the last version."""
    last = last_version(given.source)
    tag = last[0] if last else ""
    try:
        history = log(given.source, tag)
    except GitError as error:
        return ToolResult("not_applicable", f"there is no history to draft from: {error}")
    entries = [_entry(commit) for commit in history.commits if not commit.merge]
    if not entries:
        return ToolResult("not_applicable", f"nothing was committed since {tag or 'the beginning'}")
    proposed = _proposed(given.source, last[1] if last else None, entries, history)
    facts: dict[str, Fact] = {
        "last_version": str(last[1]) if last else "",
        "last_tag": tag,
        "proposed_version": proposed,
        "commits": len(history.commits),
        "entries": len(entries),
        "breaking": sum(each.breaking for each in entries),
        "features": sum(each.feature for each in entries),
        "fixes": sum(each.group == "Fixed" for each in entries),
        "history_complete": not (history.more or history.shallow),
    }
    since = f"since {tag}" if tag else "in the whole history"
    summary = f"{noun(len(history.commits), 'commit')} {since}; proposed version {proposed or 'not known'}"
    note = _cut(history, tag)
    return ToolResult(
        "ok",
        f"{summary}; {note}" if note else summary,
        facts=facts,
        findings=(Finding("info", "history-cut", note),) if note else (),
        files=(
            ProducedFile(
                DRAFT_PATH, "text/markdown", _draft(given, proposed, tag, entries, note).encode("utf-8", "replace")
            ),
        ),
        data={
            "entries": [
                {"section": each.group, "text": each.text, "commit": each.commit.hash, "day": each.commit.day,
                 "breaking": each.breaking}
                for each in entries
            ]
        },
    )  # fmt: skip


def _entry(commit: LoggedCommit) -> _Entry:
    match = _CONVENTIONAL.match(commit.subject)
    footer = bool(_BREAKING_FOOTER.search(commit.body))
    if match is not None:
        kind = match["type"].lower()
        group = _BY_TYPE.get(kind, "Other")
        text = f"{match['scope']}: {match['text']}" if match["scope"] else match["text"]
        breaking = bool(match["breaking"]) or footer
    else:
        words = re.findall(r"[a-z]+", commit.subject.lower())
        group = _BY_VERB.get(words[0], "Other") if words else "Other"
        text, breaking = commit.subject, footer
    if group == "Fixed" and re.search(r"\bCVE-\d{4}-\d+|\bvulnerab", commit.subject, re.IGNORECASE):
        group = "Security"
    text = text or "(no message)"
    return _Entry(group, text[:1].upper() + text[1:], commit, breaking, group == "Added")


def _proposed(source: str, last: Version | None, entries: Sequence[_Entry], history: Log) -> str:
    if last is not None:
        return str(_next(last, entries))
    if history.shallow:
        return ""
    return project_version.stated(source) or str(FIRST_VERSION)


def _next(last: Version, entries: Sequence[_Entry]) -> Version:
    """The version after `last` by semantic versioning."""
    if last.pre:
        return Version(last.major, last.minor, last.patch, True)  # the release that the pre-release announced
    breaking = any(each.breaking for each in entries)
    feature = any(each.feature for each in entries)
    if last.major == 0:
        breaking, feature = False, breaking
    if breaking:
        return Version(last.major + 1, 0, 0, True)
    if feature:
        return Version(last.major, last.minor + 1, 0, True)
    return Version(last.major, last.minor, last.patch + 1, True)


def _cut(history: Log, tag: str) -> str:
    if history.shallow and not tag:
        return "the clone is shallow: its history is cut off, so the last version and older commits are not seen"
    if history.shallow:
        return "the clone is shallow: older commits may be missing"
    return f"only the last {len(history.commits)} commits were read" if history.more else ""


def _draft(given: ToolInput, version: str, tag: str, entries: Sequence[_Entry], note: str) -> str:
    cite = citation(given.call)
    since = f"since `{plain(tag)}`" if tag else "from the whole history"
    lines = [
        "# Changelog (draft)",
        "",
        f"Drafted {since}, {noun(len(entries), 'commit')} {cite}. Words and order are the commits' own: edit them.",
    ]
    if note:
        lines += ["", f"{note[0].upper()}{note[1:]} {cite}."]
    lines += ["", f"## [{version or 'Unreleased'}] - {given.at[:10]} {cite}"]
    for group in GROUPS:
        some = [each for each in entries if each.group == group]
        if some:
            lines += ["", f"### {group}", ""]
            lines += [
                f"- {'**Breaking:** ' if each.breaking else ''}{plain(each.text)} (`{each.commit.hash[:10]}`) {cite}"
                for each in some
            ]
    return "\n".join(lines) + "\n"
