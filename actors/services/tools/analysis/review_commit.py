"""What a reviewer would remark about a commit as a whole: its message, its size, its tests, what it drags in."""

import re
from collections.abc import Iterator, Sequence

from actors.services.tools.analysis.changes import Change, ChangedFile, Commit
from actors.services.tools.analysis.findings import finding, noun
from actors.services.tools.analysis.sources import is_generated, is_test, language
from protocol.tools import Finding

SUBJECT_CHARS_MAX = 72
CHANGED_LINES_MAX = 500  # of source and text that people wrote; more is hard to review at once
UNEXPLAINED_LINES_MAX = 200  # a larger change deserves a word on why
LARGE_FILE_BYTES = 1_000_000
LARGE_BINARY_BYTES = 100_000

_EMPTY_SUBJECTS = re.compile(
    r"^(wip|fix(es|ed)?|bug ?fix|update[sd]?|change[sd]?|misc|stuff|tmp|temp|test|asdf|commit|minor|\.+)[.!]?$",
    re.IGNORECASE,
)


def review(change: Change, *, has_tests: bool) -> Iterator[Finding]:
    """Remarks on the commit; of the first commit of a repository only on its message and what it holds."""
    yield from message(change.commit, sum(file.plus + file.minus for file in change.files))
    for file in change.files:
        yield from _weight(file)
    if change.commit.parents:
        yield from _size(change.files)
        yield from _tests(change.files, has_tests=has_tests)


def message(commit: Commit, lines: int) -> Iterator[Finding]:
    """Remarks on the message of a commit that changed `lines` lines."""
    subject, short = commit.subject, commit.hash[:10]
    if not subject:
        yield finding("low", "commit-message", f"commit {short} has no message")
    elif _EMPTY_SUBJECTS.match(subject):
        yield finding("low", "commit-message", f"commit {short} says nothing about what changed: “{subject}”")
    elif len(subject) > SUBJECT_CHARS_MAX:
        said = f"the subject of commit {short} has {len(subject)} characters, more than {SUBJECT_CHARS_MAX}"
        yield finding("info", "commit-message", said)
    if subject and commit.parents and not commit.body and lines > UNEXPLAINED_LINES_MAX:
        yield finding("info", "commit-message", f"commit {short} changes {lines} lines without a word on why")


def _weight(file: ChangedFile) -> Iterator[Finding]:
    if file.status != "A":
        return
    if file.size > LARGE_FILE_BYTES:
        yield finding(
            "medium", "large-file", f"adds a file of {file.size} bytes, which stays in the history", file.path
        )
    elif file.binary and file.size > LARGE_BINARY_BYTES:
        yield finding("low", "large-binary", f"adds a binary file of {file.size} bytes", file.path)


def _size(files: Sequence[ChangedFile]) -> Iterator[Finding]:
    lines = sum(file.plus + file.minus for file in files if not is_generated(file.path))
    if lines > CHANGED_LINES_MAX:
        said = f"changes {lines} lines in {noun(len(files), 'file')}: more than {CHANGED_LINES_MAX} are hard to review"
        yield finding("low", "large-change", said)


def _tests(files: Sequence[ChangedFile], *, has_tests: bool) -> Iterator[Finding]:
    sources = [
        file
        for file in files
        if file.plus and language(file.path) and not is_test(file.path) and not is_generated(file.path)
    ]
    if not sources or any(is_test(file.path) for file in files):
        return
    said = f"changes {noun(len(sources), 'source file')} and no test"
    yield finding("low", "no-test-changed", said if has_tests else f"{said}; the repository has none", sources[0].path)
