"""change.review: remarks on the last commit and on the developer's patch, by file and line of the new side.

The last commit is compared with its first parent (a merge: what it brought in), the first commit with nothing. In a
shallow clone that hides the parent there is nothing to compare with, and the review says so instead of guessing.
"""

from dataclasses import dataclass

from actors.services.tools.analysis import changes, patches, review_commit, review_patch, review_python, review_text
from actors.services.tools.analysis.findings import bounded, finding, noun, omission, section, severity_facts
from actors.services.tools.analysis.sources import PYTHON_SUFFIXES, is_test
from actors.services.tools.composing.citing import citation, plain
from actors.services.tools.programs.checkout import files, read_text
from actors.services.tools.programs.git import GitError, git
from protocol.tools import Fact, Finding, ProducedFile, ToolInput, ToolResult

PATCH_PATH = "developer.patch"
REVIEW_PATH = "review.md"


@dataclass(frozen=True, slots=True)
class _Patch:
    """The developer's patch: its bytes, and where they come from or why there are none."""

    content: bytes
    origin: str


def run(given: ToolInput) -> ToolResult:
    """Review the last commit and the patch. Not applicable where there is no commit."""
    try:
        change = changes.last_change(given.source)
    except GitError as error:
        return ToolResult("not_applicable", f"there is no commit to review: {error}")
    except TimeoutError as error:
        return ToolResult("failed", str(error))
    commit_findings = _review_commit(given, change)
    patch = _patch(given)
    try:
        reviewed = review_patch.review(given, patch.content) if patch.content else review_patch.PatchReview()
    except (GitError, TimeoutError) as error:
        return ToolResult("failed", f"the developer's patch could not be reviewed: {error}")
    patch_findings = reviewed.findings or []
    every = [*commit_findings, *patch_findings]
    facts: dict[str, Fact] = {
        "commit": change.commit.hash,
        "commit_reviewed": change.known,
        "merge": len(change.commit.parents) > 1,
        "patch_reviewed": bool(patch.content),
    }
    if change.known:
        facts |= {
            "files_changed": len(change.files),
            "insertions": change.insertions,
            "deletions": change.deletions,
            "files_unread": change.unread,
        }
    if patch.content:
        facts |= {
            "patch_applies": reviewed.applies,
            "patch_files": reviewed.files,
            "patch_insertions": reviewed.insertions,
            "patch_deletions": reviewed.deletions,
            "patch_ast_equal_files": reviewed.equal,
            "patch_ast_changed_files": reviewed.different,
        }
    page = _page(given, change, commit_findings, patch, reviewed)
    return ToolResult(
        "ok",
        _summary(change, len(commit_findings), patch, reviewed),
        facts=facts | severity_facts(every),
        findings=bounded(every),
        files=(ProducedFile(REVIEW_PATH, "text/markdown", page.encode("utf-8", "replace")),),
    )


def _review_commit(given: ToolInput, change: changes.Change) -> list[Finding]:
    found: list[Finding] = []
    executable: set[str] = set()
    has_tests = False
    for file in files(given.source):
        has_tests = has_tests or is_test(file.path)
        if file.executable:
            executable.add(file.path)
    for file in change.files:
        found += review_text.review(file.path, file.added)
        if file.added and file.path.endswith(tuple(PYTHON_SUFFIXES)):
            text = read_text(given.source, file.path)
            if text is not None:
                found += review_python.review(file.path, text, file.added, executable=file.path in executable)
    found += review_commit.review(change, has_tests=has_tests)
    if not change.known:
        said = (
            "the clone is shallow and lacks the last commit's parent: its change cannot be reviewed, only its message"
        )
        found.append(finding("info", "history-cut", said))
    if change.unread:
        found.append(
            finding("info", "not-read", f"{noun(change.unread, 'file')} too large or generated: counted, not read")
        )
    return found


def _patch(given: ToolInput) -> _Patch:
    prior = given.prior.get("lint.fix")
    if prior is None:
        return _Patch(b"", "the developer's tool has no result in this task")
    if prior.result.status != "ok":
        return _Patch(b"", f"the developer made no patch: {plain(prior.result.summary)} {citation(prior.call)}")
    for file in prior.result.files:
        if file.path == PATCH_PATH and file.content:
            return _Patch(file.content, f"as the developer's tool produced it {citation(prior.call)}")
    return _from_branch(given, str(prior.result.facts.get("branch", "")), citation(prior.call))


def _from_branch(given: ToolInput, branch: str, cite: str) -> _Patch:
    """The patch from the branch it was committed to: a result may come without the bytes of its files."""
    nothing = _Patch(b"", f"the developer found nothing to change {cite}")
    prior = given.prior["lint.fix"].result
    if not branch or not prior.facts.get("patch_bytes"):
        return nothing
    data = prior.data
    complete = bool(prior.facts.get("patch_complete", True))
    end = str((data.get("format_commit") if complete else "") or data.get("lint_commit") or "")
    if not end or set(end) - set("0123456789abcdef"):
        return nothing
    try:
        patch = git(["format-patch", *patches.FORMAT, f"HEAD..{end}"], given.source).stdout
    except GitError as error:
        return _Patch(b"", f"the developer's branch {plain(branch)} cannot be read: {plain(str(error))} {cite}")
    return _Patch(patch, f"from the branch `{plain(branch)}` {cite}")


def _summary(change: changes.Change, remarks: int, patch: _Patch, reviewed: review_patch.PatchReview) -> str:
    commit = change.commit
    first = f"commit {commit.hash[:10]}: {noun(len(change.files), 'file')} changed, {noun(remarks, 'remark')}"
    if not change.known:
        first = f"commit {commit.hash[:10]}: its parent is not in this shallow clone; {noun(remarks, 'remark')}"
    if not patch.content:
        return f"{first}; no developer's patch to review"
    if not reviewed.applies:
        return f"{first}; the developer's patch does not apply"
    meaning = (
        f"{reviewed.different} of {reviewed.equal + reviewed.different} formatted files are not proven the same program"
        if reviewed.different
        else f"{noun(reviewed.equal, 'formatted file')} with an unchanged syntax tree"
    )
    return f"{first}; the developer's patch applies, {meaning}"


def _page(
    given: ToolInput,
    change: changes.Change,
    commit_findings: list[Finding],
    patch: _Patch,
    reviewed: review_patch.PatchReview,
) -> str:
    cite = citation(given.call)
    commit = change.commit
    against = "its first parent" if commit.parents else "nothing (it is the first)"
    changed = f"{noun(len(change.files), 'file')}, {change.insertions} lines added, {change.deletions} removed"
    if not change.known:
        against, changed = "nothing: the clone is shallow and lacks its parent", "not known"
    parts = [
        f"# Review\n\nTask: {plain(given.title)}\n",
        f"## Last commit\n\n- Commit: `{commit.hash}` {cite}\n- Subject: {plain(commit.subject) or 'none'} {cite}\n"
        f"- Compared with: {against} {cite}\n"
        f"- Changed: {changed} {cite}\n",
    ]
    by_path: dict[str, list[Finding]] = {}
    for each in bounded(commit_findings):
        by_path.setdefault(each.path, []).append(each)
    for path in sorted(by_path):
        heading = "The commit as a whole" if not path else "`" + plain(path).replace("`", "'") + "`"
        parts.append("#" + section(heading, by_path[path], given.call, ""))
    if not commit_findings:
        parts.append(f"No remarks {cite}.\n")
    parts.append(omission(commit_findings, given.call))
    parts.append(f"## The developer's patch\n\n{_patch_text(patch, reviewed, cite)}")
    if reviewed.findings:
        parts.append("#" + section("Remarks on the patch", bounded(reviewed.findings), given.call, ""))
    return "\n".join(part for part in parts if part)


def _patch_text(patch: _Patch, reviewed: review_patch.PatchReview, cite: str) -> str:
    if not patch.content:
        return f"No patch was reviewed: {patch.origin}.\n"
    compared = noun(reviewed.equal + reviewed.different, "file")
    size = f"{reviewed.insertions} lines added, {reviewed.deletions} removed"
    return (
        f"Reviewed {patch.origin}.\n\n"
        f"- Applies to HEAD: {'yes' if reviewed.applies else 'no'} {cite}\n"
        f"- Changed: {noun(reviewed.files, 'file')}, {size} {cite}\n"
        f"- Formatted, with the same syntax tree before and after: {reviewed.equal} of {compared} {cite}\n"
    )
