"""secrets.scan: what looks like a secret in the files and in the versions of files in the last commits.

A secret never leaves this program: results hold its first letters, its length and, when it is long, the start of its
hash. What is in the history stays readable to everybody who clones, so it counts as much as what is in the files.
"""

import re
from collections.abc import Mapping, Sequence

from actors.services.tools.analysis import secret_patterns
from actors.services.tools.analysis.blobs import History
from actors.services.tools.analysis.findings import bounded, finding, lowered, noun, severity_facts
from actors.services.tools.analysis.secret_patterns import Match
from actors.services.tools.analysis.sources import is_generated, is_test
from actors.services.tools.programs.checkout import text_files
from actors.services.tools.programs.git import GitError
from protocol.tools import SEVERITIES, Fact, Finding, ToolInput, ToolResult

COMMITS_MAX = 50  # of the history that are looked at

_ENVIRONMENT_FILE = re.compile(r"(^|/)\.env(\.(local|production|prod|staging))?$")
_ASSIGNMENT = re.compile(r"^\s*(export\s+)?[A-Za-z_]\w*\s*=\s*\S", re.MULTILINE)


def run(given: ToolInput) -> ToolResult:
    """Scan files and history. Applies to every checkout; fails when git cannot read the history."""
    found: list[Finding] = []
    known: set[str] = set()
    files = 0
    for file in text_files(given.source):
        files += 1
        if _ENVIRONMENT_FILE.search(file.path) and _ASSIGNMENT.search(file.text):
            found.append(
                finding("low", "environment-file", "a file of local settings is under version control", file.path)
            )
        for match in secret_patterns.find(file.path, file.text):
            if _generic_in_generated(match, file.path):
                continue
            known.add(match.secret)
            found.append(_in_file(match, file.path))
    try:
        history = History(given.source, COMMITS_MAX)
        versions = 0
        for version in history.versions():
            versions += 1
            for match in secret_patterns.find(version.path, version.text):
                # A secret that is still in the files is reported there; an old one once, where it was last seen.
                if match.secret in known or _generic_in_generated(match, version.path):
                    continue
                known.add(match.secret)
                found.append(_in_history(match, version.path, version.commit))
    except (GitError, TimeoutError) as error:
        return ToolResult("failed", f"the files were scanned, the history was not: {error}", findings=bounded(found))
    facts: dict[str, Fact] = severity_facts(found) | {
        "secrets": sum(each.severity != "info" for each in found),
        "files_scanned": files,
        "commits_scanned": history.commits,
        "versions_scanned": versions,
        "versions_not_scanned": history.not_read,
    }
    return ToolResult("ok", _summary(facts), facts=facts, findings=bounded(found))


def _generic_in_generated(match: Match, path: str) -> bool:
    """Lock files are full of hashes: there only the well-known formats count."""
    return match.rule == "assigned-secret" and is_generated(path)


def _in_file(match: Match, path: str) -> Finding:
    return _found(match, path, match.line, f"{match.what}: {secret_patterns.masked(match.secret)}")


def _in_history(match: Match, path: str, commit: str) -> Finding:
    said = (
        f"{match.what}: {secret_patterns.masked(match.secret)}, in the history only "
        f"(commit {commit[:10]}, line {match.line} there): it must be revoked"
    )
    return _found(match, path, 0, said)


def _found(match: Match, path: str, line: int, message: str) -> Finding:
    if is_test(path) and match.severity != "info":
        return finding(lowered(match.severity), match.rule, f"{message} (in a test: one level lower)", path, line)
    return finding(match.severity, match.rule, message, path, line)


def _summary(facts: Mapping[str, Fact]) -> str:
    counted: Sequence[str] = [f"{facts[severity]} {severity}" for severity in reversed(SEVERITIES) if facts[severity]]
    looked = f"{facts['files_scanned']} files and {facts['commits_scanned']} commits looked at"
    text = f"{looked}: {', '.join(counted)}" if counted else f"{looked}: nothing that looks like a secret"
    left = int(facts["versions_not_scanned"])
    return f"{text}; {noun(left, 'old version')} too large to look at" if left else text
