"""The developer's patch, held to its word: it applies, it touches what it says, and formatting changes no meaning."""

from collections.abc import Iterator
from dataclasses import dataclass

from actors.services.tools.analysis import patches, python_code
from actors.services.tools.analysis.findings import finding
from actors.services.tools.analysis.sources import PYTHON_SUFFIXES
from actors.services.tools.programs.git import GitError
from protocol.tools import Finding, ToolInput

COMPARED_BYTES_MAX = 1_000_000  # of one file; a larger one is not compared, and a finding says so
FORMAT_SUBJECT = "Format the code"  # of the commit that must not change any syntax tree


@dataclass(slots=True)
class PatchReview:
    """What came of applying the patch to HEAD part by part."""

    applies: bool = True
    files: int = 0
    equal: int = 0  # files of the formatting commit whose syntax tree is the same before and after
    different: int = 0  # files of the formatting commit whose syntax tree changed or could not be compared
    insertions: int = 0
    deletions: int = 0
    findings: list[Finding] | None = None


def review(given: ToolInput, patch: bytes) -> PatchReview:
    """Apply the patch apart from the clone and compare. Raises GitError or TimeoutError when git itself fails."""
    result = PatchReview(findings=[])
    found: list[Finding] = []
    shelf = patches.Shelf(given.source, given.scratch)
    first = before = shelf.tree()
    for part in patches.parts(patch):
        try:
            shelf.apply(part.content)
        except patches.PatchRefused as error:
            result.applies = False
            found.append(finding("high", "patch-refused", f"“{part.subject}” does not apply to HEAD: {error}"))
            break
        after = shelf.tree()
        found += _strangers(shelf, before, after)
        if part.subject == FORMAT_SUBJECT:
            for path in shelf.changed(before, after):
                difference = _meaning_changed(shelf, before, after, path)
                if difference is None:
                    result.equal += 1
                else:
                    result.different += 1
                    found.append(difference)
        before = after
    result.files = len(shelf.changed(first, before))
    result.insertions, result.deletions = shelf.counts(first, before)
    result.findings = found
    return result


def _strangers(shelf: patches.Shelf, before: str, after: str) -> Iterator[Finding]:
    for path in shelf.changed(before, after):
        if not path.endswith((*PYTHON_SUFFIXES, ".ipynb")):
            said = "the patch says lint fixes and formatting of Python, and changes this file"
            yield finding("medium", "patch-beyond-scope", said, path)


def _meaning_changed(shelf: patches.Shelf, before: str, after: str, path: str) -> Finding | None:
    """Why a file of the formatting commit is not the same program as before; None when its syntax tree is equal."""
    trees: list[str] = []
    for tree in (before, after):
        try:
            text = shelf.read(tree, path, COMPARED_BYTES_MAX)
        except GitError:
            text = None
        parsed = (
            python_code.parse(text) if text is not None else python_code.Unparsable(0, "missing, binary or too large")
        )
        if isinstance(parsed, python_code.Unparsable):
            return finding("medium", "patch-not-compared", f"formatted, but cannot be compared: {parsed.reason}", path)
        printed = python_code.fingerprint(parsed)
        if printed is None:
            return finding(
                "medium", "patch-not-compared", "formatted, but its syntax tree is too deep to compare", path
            )
        trees.append(printed)
    if trees[0] != trees[1]:
        return finding(
            "high", "patch-changes-meaning", "the formatting commit changes the syntax tree of this file", path
        )
    return None
