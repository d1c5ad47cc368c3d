"""docs.check: documents, licence, docstrings and links."""

from pathlib import Path

import pytest

from actors.services.tools.analysis import licences
from protocol.tools import ToolResult
from tests.kit import repositories, repository_files
from tests.kit.program_runs import commit, found, git, run, write
from tests.kit.tool_inputs import file_text, uncited


def checked(tmp_path: Path, files: dict[str, str | bytes]) -> ToolResult:
    return run("docs.check", commit(tmp_path / "r", "all", files), tmp_path)


def test_a_documented_package(tmp_path: Path) -> None:
    result = run("docs.check", repositories.python_passing(tmp_path / "r"), tmp_path)
    facts = result.facts
    assert (facts["has_readme"], facts["has_changelog"], facts["has_contributing"]) == (True, True, False)
    assert (facts["licence"], facts["version"], facts["changelog_names_version"]) == ("MIT", "0.1.0", True)
    assert (facts["documented"], facts["documentable"], facts["docstring_coverage_percent"]) == (10, 12, 83.3)
    assert {(each.path, each.line) for each in found(result, "docstring-missing")} == {
        ("src/parcels/quotes.py", 14),
        ("src/parcels/rates.py", 19),
    }
    assert uncited(file_text(result, "documentation.md")) == []


def test_nothing_at_all(tmp_path: Path) -> None:
    result = run("docs.check", repositories.empty_one_commit(tmp_path / "r"), tmp_path)
    assert result.status == "ok"
    assert result.facts["licence"] == ""
    assert "docstring_coverage_percent" not in result.facts
    assert {(each.rule, each.severity) for each in result.findings} == {
        ("licence-missing", "high"),
        ("readme-missing", "high"),
        ("changelog-missing", "medium"),
        ("contributing-missing", "info"),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (repository_files.LICENCE["LICENSE"], "MIT"),
        ("Apache License\n      Version 2.0, January 2004\n", "Apache-2.0"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007", "AGPL-3.0"),
        (
            "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007" + "x" * 2_000 + "GNU Affero General Public License",
            "GPL-3.0",
        ),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "LGPL-2.1"),
        ("Redistribution and use in source\n * and binary forms ... Neither the name of", "BSD-3-Clause"),
        ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
        ("SPDX-License-Identifier: MPL-2.0 OR MIT\n", "MPL-2.0 OR MIT"),
        ("All rights reserved.", licences.UNRECOGNISED),
    ],
)
def test_licences_are_told_by_their_phrases(text: str, expected: str) -> None:
    assert licences.identify(text) == expected


def test_two_licences_and_an_unknown_one(tmp_path: Path) -> None:
    two: dict[str, str | bytes] = {
        "LICENSE-MIT": repository_files.LICENCE["LICENSE"],
        "LICENSE-APACHE": "Apache License Version 2.0",
        "license.py": "x = 1\n",
    }
    assert checked(tmp_path / "a", two).facts["licence"] == "Apache-2.0 OR MIT"
    unknown = checked(tmp_path / "b", {"COPYING": "Ask me."})
    assert unknown.facts["licence"] == "unrecognised"
    assert [each.severity for each in found(unknown, "licence-unrecognised")] == ["low"]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    text = (
        '# T\n[a](docs/there.md#x) [b](docs/gone.md)\n![c](/img/x.png "t")\n[d](https://example.org/gone) [e](#here)\n'
        "```\n[f](in/code.md)\n```\n"
        "`[g](in/code.md)` [h](../../issues) [i](with%20space.md) [j](docs)\n\n[k]: gone/k.md\n"
    )
    result = checked(tmp_path, {"README.md": text, "docs/there.md": "x", "with space.md": "x"})
    assert {(each.line, each.message) for each in found(result, "broken-link")} == {
        (2, "leads nowhere: docs/gone.md"),
        (3, "leads nowhere: /img/x.png"),
        (10, "leads nowhere: gone/k.md"),
    }
    assert result.facts["broken_links"] == 3


def test_docstrings_count_what_is_public(tmp_path: Path) -> None:
    code = '''
from typing import overload

class Shown:
    """Doc."""

    def __init__(self): ...
    def plain(self): ...
    def _hidden(self): ...
    @property
    def value(self):
        """Doc."""
    @value.setter
    def value(self, x): ...

    class Inner:
        def deep(self):
            """Doc."""

class _Hidden:
    def method(self): ...

@overload
def f(x: int): ...
def f(x):
    """Doc."""
    def inner(): ...

async def g(): ...
'''
    files: dict[str, str | bytes] = {
        "p/a.py": code,
        "p/__init__.py": "",
        "p/_private.py": "def x(): ...\n",
        "tests/test_a.py": "def test_x(): ...\n",
        "p/broken.py": "def f(:\n",
        "p/latin.py": b'"""caf\xe9"""\n',
    }
    result = checked(tmp_path, files)
    missing = {each.message.split("`")[1] for each in found(result, "docstring-missing")}
    assert missing == {"a", "Shown.plain", "Shown.Inner", "g"}
    assert (result.facts["documented"], result.facts["documentable"]) == (5, 9)


def test_a_low_coverage_is_a_finding(tmp_path: Path) -> None:
    result = checked(tmp_path, {"a.py": "def f(): ...\ndef g(): ...\n"})
    assert result.facts["docstring_coverage_percent"] == 0.0
    assert [each.severity for each in found(result, "docstring-coverage")] == ["low"]


def test_the_changelog_names_the_version_of_the_manifest_or_the_tag(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "all", {"CHANGES.rst": "1.10.0\n======\n"})
    git(root, "tag", "v1.1.0")
    result = run("docs.check", root, tmp_path)
    assert (result.facts["version"], result.facts["changelog_names_version"]) == ("1.1.0", False)
    assert [each.path for each in found(result, "changelog-version")] == ["CHANGES.rst"]
    commit(root, "next", {"package.json": '{"version": "1.10.0"}'})
    assert run("docs.check", root, tmp_path).facts["changelog_names_version"] is True


def test_strange_files_do_no_harm(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r", {"README.md": b"\xff\xfe# caf\xe9 [x](\xff.md)\n", "pyproject.toml": "[[[", "LICENSE": b"\0"}
    )
    (root / "CHANGELOG.md").symlink_to("/etc/passwd")
    result = run("docs.check", commit(root, "all"), tmp_path)
    assert (result.status, result.facts["has_readme"], result.facts["has_changelog"]) == ("ok", True, False)
    assert result.facts["broken_links"] == 1


EXPORTS = """/** Says good day. */
export function greet(name) { return `good ${name}`; }

export async function* bare() {}
/** */
export const empty = (a) => a;
/* no JSDoc */
export const plain = async (a: string): Promise<void> => {};
/**
 * A clock.
 * @example src/**/*.ts
 */
@sealed
export default abstract class Clock {}
const text = `
export function inside() {}
`;
/*
export function commented() {}
*/
function own() {}
export const number = 3;
/** One of them says it. */
export function over(a: string): void;
export function over(a: number): void;
export { own };
"""


def test_exports_of_scripts_are_counted_apart_from_docstrings(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"src/all.ts": EXPORTS, "src/all.d.ts": EXPORTS, "test/all.test.ts": EXPORTS}
    result = checked(tmp_path, files)
    assert (result.facts["doc_exports_documented"], result.facts["doc_exports"]) == (3, 6)
    assert result.facts["doc_coverage_percent"] == 50.0
    assert "docstring_coverage_percent" not in result.facts
    assert [(each.line, each.message) for each in found(result, "jsdoc-missing")] == [
        (4, "function `bare` has no JSDoc comment"),
        (6, "function `empty` has no JSDoc comment"),
        (8, "function `plain` has no JSDoc comment"),
    ]
    assert found(result, "jsdoc-coverage") == []
    page = file_text(result, "documentation.md")
    assert "| JSDoc coverage | 50.0 % (3 of 6) [tools/t1@99] |" in page
    assert uncited(page) == []


def test_little_jsdoc_is_a_remark(tmp_path: Path) -> None:
    (said,) = found(checked(tmp_path, {"a.js": "export class A {}\n"}), "jsdoc-coverage")
    assert (said.severity, said.message) == (
        "low",
        "0 of 1 exported functions and classes have a JSDoc comment (0.0 %)",
    )
