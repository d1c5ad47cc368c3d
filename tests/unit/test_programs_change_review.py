"""change.review: remarks by file and line of the new side, and the developer's patch held to its word."""

from pathlib import Path

import msgspec

from protocol.tools import Finding, ProducedFile, ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, found, git, run
from tests.kit.tool_inputs import file_text, result, uncited


def remarks(review: ToolResult, rule: str) -> list[tuple[str, int, str]]:
    return [(each.path, each.line, each.severity) for each in found(review, rule)]


def review_of(tmp_path: Path, before: dict[str, str | bytes], after: dict[str, str | bytes]) -> ToolResult:
    commit(tmp_path / "r", "Start", before)
    commit(tmp_path / "r", "Change the thing", after)
    return run("change.review", tmp_path / "r", tmp_path)


OLD = '''"""Doc."""


def old(values=[]):
    try:
        return eval(values)
    except:
        pass
'''

NEW = """

def new(first, cache={}, *, more=list()):
    breakpoint()
    print(first)
    try:
        exec(first)
    except Exception:
        pass
    try:
        first()
    except Exception:
        raise
    import subprocess
    subprocess.run(first, shell=True)
    assert (first, "message")
    return first is "text"


# first = 1
# second = first + 1
# print(second)

# This is prose that
# goes over lines and
# is no code at all.
"""


def test_only_added_lines_are_remarked(tmp_path: Path) -> None:
    review = review_of(tmp_path, {"a.py": OLD}, {"a.py": OLD + NEW})
    start = OLD.count("\n")
    assert remarks(review, "mutable-default") == [("a.py", start + 3, "medium")]
    assert remarks(review, "debugger") == [("a.py", start + 4, "medium")]
    assert remarks(review, "print") == [("a.py", start + 5, "info")]
    assert remarks(review, "dynamic-code") == [("a.py", start + 7, "high")]
    assert remarks(review, "swallowed-exception") == [("a.py", start + 8, "medium")]
    assert remarks(review, "shell-command") == [("a.py", start + 15, "medium")]
    assert remarks(review, "assert-on-tuple") == [("a.py", start + 16, "medium")]
    assert remarks(review, "identity-of-literal") == [("a.py", start + 17, "medium")]
    assert remarks(review, "commented-code") == [("a.py", start + 20, "low")]
    assert remarks(review, "bare-except") == []
    assert found(review, "mutable-default")[0].message.startswith("`new`")


def test_a_program_may_print_and_a_test_too(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "cli.py": "print(1)\n",
        "bin/tool": "#!/usr/bin/env python\nprint(1)\n",
        "tests/test_x.py": "print(1)\n",
        "guarded.py": 'if __name__ == "__main__":\n    print(1)\n',
    }
    assert remarks(review_of(tmp_path, {"README": "x"}, files), "print") == []


def test_text_remarks_in_other_languages(tmp_path: Path) -> None:
    review = review_of(
        tmp_path,
        {"a.js": "let a;\n"},
        {
            "a.js": "let a;\n// TODO: later\ndebugger;\nconsole.log(a);\n// console.log(a)\n" + "x" * 201 + "\n",
            "a.test.js": "it.only('x', () => {});\n",
            "notes.txt": "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n",
            "data.json": '{"x": "' + "y" * 300 + '"}\n',
        },
    )
    assert remarks(review, "todo") == [("a.js", 2, "info")]
    assert remarks(review, "debugger") == [("a.js", 3, "medium")]
    assert remarks(review, "print") == [("a.js", 4, "info")]
    assert remarks(review, "long-line") == [("a.js", 6, "low")]
    assert remarks(review, "focused-test") == [("a.test.js", 1, "medium")]
    assert remarks(review, "conflict-marker") == [("notes.txt", 2, "high"), ("notes.txt", 6, "high")]


def test_the_commit_as_a_whole(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start", {"a.py": "x = 1\n", "tests/test_a.py": "x = 1\n"})
    commit(root, "wip", {"a.py": "x = 1\n" * 600, "big.bin": b"\0" * 150_000, "huge.txt": "a\n" * 600_000})
    review = run("change.review", root, tmp_path)
    assert remarks(review, "commit-message") == [("", 0, "low"), ("", 0, "info")]
    assert remarks(review, "no-test-changed") == [("a.py", 0, "low")]
    assert remarks(review, "large-binary") == [("big.bin", 0, "low")]
    assert remarks(review, "large-file") == [("huge.txt", 0, "medium")]
    assert remarks(review, "large-change") == [("", 0, "low")]
    assert review.facts["files_unread"] == 1


def test_a_change_with_its_test_needs_no_remark(tmp_path: Path) -> None:
    review = review_of(tmp_path, {"a.py": "x = 1\n"}, {"a.py": "x = 2\n", "tests/test_a.py": "x = 2\n"})
    assert review.findings == ()
    assert review.facts["files_changed"] == 2


def test_a_moved_file_is_not_new(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start", {"old name.py": OLD})
    git(root, "mv", "old name.py", "new\tname\u00fc.py")
    commit(root, "Move it", {})
    review = run("change.review", root, tmp_path)
    assert remarks(review, "bare-except") == []
    assert (review.facts["insertions"], review.facts["files_changed"]) == (0, 1)


def test_strange_names_and_bytes(tmp_path: Path) -> None:
    before: dict[str, str | bytes] = {"a.py": "x = 1\n"}
    after: dict[str, str | bytes] = {
        'quo"te\n.py': "try:\n    x = 1\nexcept:\n    raise\n",
        "latin.py": b"# caf\xe9\ny = eval(input())\r\n",
        "broken.py": "def f(:\n",
        "-dash.py": "breakpoint()\n",
    }
    review = review_of(tmp_path, before, after)
    assert remarks(review, "dynamic-code") == [("latin.py", 2, "high")]
    assert remarks(review, "syntax-error") == [("broken.py", 1, "high")]
    assert remarks(review, "debugger") == [("-dash.py", 1, "medium")]


def test_the_first_commit_is_compared_with_nothing(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start", {"a.py": "def f(x=[]):\n    return x\n"})
    review = run("change.review", root, tmp_path)
    assert remarks(review, "mutable-default") == [("a.py", 1, "medium")]
    assert remarks(review, "no-test-changed") == []


def test_a_merge_is_what_it_brought_in(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "Start", {"a.py": "x = 1\n"})
    git(root, "checkout", "--quiet", "-b", "side")
    commit(root, "On the side", {"b.py": "breakpoint()\n"})
    git(root, "checkout", "--quiet", "main")
    commit(root, "On main", {"c.py": "breakpoint()\n"})
    git(root, "merge", "--quiet", "--no-ff", "--message", "Merge the side", "side")
    review = run("change.review", root, tmp_path)
    assert review.facts["merge"] is True
    assert remarks(review, "debugger") == [("b.py", 1, "medium")]


def test_a_shallow_clone_hides_the_change_and_the_review_says_so(tmp_path: Path) -> None:
    review = run("change.review", repositories.shallow(tmp_path / "r"), tmp_path)
    assert review.facts["commit_reviewed"] is False
    assert "files_changed" not in review.facts
    assert remarks(review, "history-cut") == [("", 0, "info")]
    assert "parent is not in this shallow clone" in review.summary


def test_an_empty_commit_is_reviewed(tmp_path: Path) -> None:
    review = run("change.review", repositories.empty_one_commit(tmp_path / "r"), tmp_path)
    assert (review.status, review.facts["files_changed"]) == ("ok", 0)


def test_without_a_commit_it_does_not_apply(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    git(tmp_path / "r", "init", "--quiet")
    assert run("change.review", tmp_path / "r", tmp_path).status == "not_applicable"


def test_the_patch_of_the_developer_is_proven(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    review = run("change.review", source, tmp_path, {"lint.fix": run("lint.fix", source, tmp_path)})
    assert review.facts["patch_applies"] is True
    assert (review.facts["patch_ast_equal_files"], review.facts["patch_ast_changed_files"]) == (1, 0)
    assert review.facts["patch_files"] == 2
    text = file_text(review, "review.md")
    assert "[tools/t1@1]" in text
    assert uncited(text) == []


def test_the_patch_is_found_on_its_branch_when_the_result_came_without_bytes(tmp_path: Path) -> None:
    source = repositories.python_passing(tmp_path / "r")
    developer = run("lint.fix", source, tmp_path)
    bare = msgspec.structs.replace(
        developer, files=tuple(ProducedFile(f.path, f.media_type, b"") for f in developer.files)
    )
    with_bytes = run("change.review", source, tmp_path, {"lint.fix": developer})
    assert run("change.review", source, tmp_path, {"lint.fix": bare}).facts == with_bytes.facts


def forged(tmp_path: Path, old: str, new: str) -> ToolResult:
    """The review of a patch whose formatting commit was tampered with."""
    source = repositories.python_passing(tmp_path / "r")
    developer = run("lint.fix", source, tmp_path)
    content = developer.files[0].content.replace(old.encode(), new.encode())
    assert content != developer.files[0].content
    tampered = msgspec.structs.replace(developer, files=(ProducedFile("developer.patch", "text/x-diff", content),))
    return run("change.review", source, tmp_path, {"lint.fix": tampered})


def test_formatting_that_changes_the_program_is_seen(tmp_path: Path) -> None:
    review = forged(tmp_path, '+SURCHARGES = {"home": 0', '+SURCHARGES = {"home": 1')
    assert remarks(review, "patch-changes-meaning") == [("src/parcels/rates.py", 0, "high")]
    assert review.facts["patch_ast_changed_files"] == 1
    assert "not proven" in review.summary


def test_a_patch_that_does_not_apply_is_seen(tmp_path: Path) -> None:
    review = forged(tmp_path, "-import json", "-import yaml")
    assert review.facts["patch_applies"] is False
    assert [each.severity for each in found(review, "patch-refused")] == ["high"]


def test_reindented_docstrings_are_the_same_program(tmp_path: Path) -> None:
    code = 'def f():\n  """Doc.\n\n    Indented.\n  """\n  return {  "a" :1 }\n'
    source = commit(tmp_path / "r", "all", {"a.py": code})
    review = run("change.review", source, tmp_path, {"lint.fix": run("lint.fix", source, tmp_path)})
    assert (review.facts["patch_ast_equal_files"], review.facts["patch_ast_changed_files"]) == (1, 0)


def test_no_patch_says_why(tmp_path: Path) -> None:
    source = repositories.javascript(tmp_path / "r")
    review = run("change.review", source, tmp_path, {"lint.fix": result("not_applicable", "no Python files")})
    assert review.facts["patch_reviewed"] is False
    assert "no Python files [tools/t1@1]" in file_text(review, "review.md")


def test_many_remarks_are_bounded_and_the_rest_is_counted(tmp_path: Path) -> None:
    review = review_of(tmp_path, {"README": "x"}, {"a.py": "breakpoint()\n" * 300})
    assert len(review.findings) == 200
    assert review.facts["findings_omitted"] == 102
    assert review.findings[0] == Finding("medium", "debugger", "stops in a debugger: breakpoint()", "a.py", 1)
    assert "102 more findings are not listed" in file_text(review, "review.md")
