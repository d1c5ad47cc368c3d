"""text.hygiene: what is wrong with files whatever their language."""

import json
from pathlib import Path

import pytest

from actors.services.tools.analysis import data_files
from actors.services.tools.programs import text_hygiene
from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, found, git, run

CONFLICT = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> topic\n"


def looked(tmp_path: Path, files: dict[str, str | bytes]) -> ToolResult:
    return run("text.hygiene", commit(tmp_path / "r", "all", files), tmp_path)


def places(result: ToolResult) -> set[tuple[str, str, str, int]]:
    return {(each.rule, each.severity, each.path, each.line) for each in result.findings}


def test_a_clean_repository_has_no_findings(tmp_path: Path) -> None:
    result = run("text.hygiene", repositories.typescript(tmp_path / "r"), tmp_path)
    assert (result.status, result.findings) == ("ok", ())
    assert (result.facts["files_looked_at"], result.facts["complete"]) == (9, True)


def test_an_empty_repository_has_nothing_to_look_at(tmp_path: Path) -> None:
    result = run("text.hygiene", repositories.empty_one_commit(tmp_path / "r"), tmp_path)
    assert (result.status, result.summary) == ("not_applicable", "there is no text file to look at")


def test_a_committed_conflict_is_high_and_in_a_test_low(tmp_path: Path) -> None:
    heading = "Merging\n=======\n\n>>>>>>> is how it ends\n"
    files: dict[str, str | bytes] = {"a.go": CONFLICT, "tests/b.go": CONFLICT, "c.rst": heading}
    result = looked(tmp_path, files)
    assert places(result) == {
        ("conflict-marker", "high", "a.go", 2),
        ("conflict-marker", "low", "tests/b.go", 2),
    }
    assert result.facts["conflicts"] == 1


def test_data_that_cannot_be_read_is_named_by_line(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.json": '{\n  "a": 1\n  "b": 2\n}\n',
        "b.yaml": "a: 1\nb: [1, 2\nc: 3\n",
        "c.toml": "a = 1\nb =\n",
        "tests/d.json": "{\n",
        "e.lock": "no format\n",
    }
    result = looked(tmp_path, files)
    assert places(result) == {
        ("broken-data", "medium", "a.json", 3),
        ("broken-data", "medium", "b.yaml", 3),
        ("broken-data", "medium", "c.toml", 2),
        ("broken-data", "info", "tests/d.json", 2),
    }
    assert result.facts["broken_data_files"] == 3
    assert "4 that cannot be read" in result.summary


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.json", '{"a": 1}'),
        ("lines.json", '{"a": 1}\n{"a": 2}\n'),
        ("tsconfig.base.json", '{\n  // said\n  "a": [1, /* and */ 2,],\n}\n'),
        (".vscode/settings.json", '{"url": "http://a//b", }'),
        ("chart/deployment.yaml", "a: {{ .Values.a }}\n  b: - {\n"),
        ("a.json5", "{a: 1}"),
        ("a.yaml", "a: !Ref b\n---\nb: *unknown\n"),
        ("deep.json", "[" * 100_000 + "]" * 100_000),
        ("long.json", "9" * 10_000),
        ("block.yaml", "a: |\n  b\n  \tc\n"),
        ("a.toml", "a = 1979-05-27\n"),
        ("a.txt", "{"),
    ],
)
def test_what_its_reader_accepts_is_no_finding(path: str, text: str) -> None:
    assert data_files.check(path, text) is None


@pytest.mark.parametrize("text", ["/*" * 200_000, '"\\"' * 200_000, "," * 300_000, "/*,\n" * 100_000])
def test_text_made_to_be_slow_is_judged_at_once(text: str) -> None:
    broken = data_files.check("a.json", text)
    assert broken is not None
    assert (broken.format, broken.lenient) == ("JSON", False)


def test_json_with_comments_is_a_remark_where_a_strict_parser_may_read_it(tmp_path: Path) -> None:
    result = looked(tmp_path, {"data.json": '{"a": 1,\n}\n'})
    assert [(each.rule, each.severity) for each in result.findings] == [("lenient-json", "info")]
    assert result.facts["broken_data_files"] == 0


def test_layout_is_one_finding_a_file_and_rule(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.go": "a \nb\t\nc\n",
        "b.rb": "a\r\nb\r\nc\nd\r\n",
        "c.sh": "no end",
        "d.md": "two spaces  \nbreak\n",
        "e.py": "x = 1 \n",
        "f.txt": "\ufeffmarked\n",
        "g.csv": "\ufeffmarked\n",
        "h.yaml": "a:\n  - b\n\t- c\n",
        "dist/i.js": "a \n",
    }
    result = looked(tmp_path, files)
    assert places(result) == {
        ("trailing-space", "info", "a.go", 1),
        ("mixed-line-ends", "low", "b.rb", 3),
        ("no-final-newline", "info", "c.sh", 1),
        ("byte-order-mark", "low", "f.txt", 1),
        ("broken-data", "medium", "h.yaml", 3),
    }
    assert "tab" in found(result, "broken-data")[0].message
    assert found(result, "trailing-space")[0].message == "ends in spaces or tabs, and so 1 more line"


def test_modes_sizes_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_hygiene, "LARGE_BYTES", 1_000)
    root = commit(tmp_path / "origin", "all", {"a.md": "a\n", "run.md": "#!/bin/sh\n", "big.bin": b"\0" * 2_000})
    (root / "a.md").chmod(0o755)
    for name, target in (("good", "a.md"), ("gone", "b.md"), ("out", "../x"), ("far", "/etc/passwd"), ("sub", ".")):
        (root / name).symlink_to(target)
    (root / "through").symlink_to("sub/whatever")
    commit(root, "links")
    clone = tmp_path / "r"
    git(tmp_path, "clone", "--quiet", "--config", "core.symlinks=false", str(root), str(clone))
    for checkout in (clone, root):
        result = run("text.hygiene", checkout, tmp_path)
        assert places(result) == {
            ("executable", "info", "a.md", 0),
            ("large-file", "low", "big.bin", 0),
            ("broken-link", "low", "gone", 0),
            ("broken-link", "medium", "out", 0),
            ("broken-link", "low", "far", 0),
        }
        assert (result.facts["large_files"], result.facts["broken_links"]) == (1, 3)


def test_what_the_time_does_not_reach_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_hygiene, "LIMIT_S", 0.0)
    result = looked(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"})
    assert (result.facts["files_not_reached"], result.facts["complete"]) == (2, False)
    assert "2 files not reached" in result.summary


def test_odd_names_and_many_findings_stay_bounded(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{number} 'a'\n.txt": "a " for number in range(250)}
    result = looked(tmp_path, files)
    assert len(result.findings) == 200
    assert result.facts["findings"] == 500
    assert result.facts["findings_omitted"] == 300
    assert len(json.dumps([each.path for each in result.findings])) < 10_000
