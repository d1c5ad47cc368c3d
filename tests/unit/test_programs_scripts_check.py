"""scripts.check runs the scripts by which a Node package checks itself, and reads what their checkers print."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.services.tools.analysis import check_output
from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.programs import node_scripts, node_syntax
from actors.services.tools.programs.git import git
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox.detect import detect
from protocol.tools import Finding, ToolInput, ToolResult
from tests.kit import program_runs, repositories
from tests.kit.repositories import from_files, tree_hash

SPEC = CATALOGUE["scripts.check"]

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node with npm")


async def outcome_of(tmp_path: Path, repo: Path, **args: Any) -> ToolResult:
    """Check a clone of `repo` in the sandbox; clone and repository must come out as they went in."""
    report = await detect()
    if report.kind == "none":
        pytest.skip(f"foreign code needs a sandbox: {report.tried}")
    source, workspace = tmp_path / "workspace/source", str(tmp_path / "workspace")
    git(["clone", "--quiet", "--config", "core.symlinks=false", str(repo), str(source)], tmp_path)
    before = tree_hash(repo), tree_hash(source)
    given = ToolInput(SPEC.name, "tools/t1@3", "t1", "T", "2026-01-01T00:00:00Z", str(repo), "", workspace, args=args)
    result = await ProgramRunner().run(SPEC, given)
    assert (tree_hash(repo), tree_hash(source)) == before
    return result


def package(scripts: Mapping[str, str], **more: Any) -> str:
    return json.dumps({"name": "p", "version": "1.0.0", "scripts": dict(scripts), **more}) + "\n"


async def check(tmp_path: Path, files: Mapping[str, str], **args: Any) -> ToolResult:
    return await outcome_of(tmp_path, from_files(tmp_path / "repo", files), **args)


def rows(result: ToolResult) -> list[tuple[str, str, str, int]]:
    return [(each.severity, each.rule, each.path, each.line) for each in result.findings]


@needs_node
async def test_types_lint_and_format_of_a_typescript_package(tmp_path: Path) -> None:
    result = await outcome_of(tmp_path, repositories.typescript(tmp_path / "repo"))
    assert result.status == "ok", result.summary
    assert result.summary == "npm: typecheck failed, lint failed, format:check passed · 3 findings"
    assert rows(result) == [
        ("medium", "TS2322", "src/clock.ts", 3),
        ("medium", "no-var", "src/clock.ts", 4),
        ("low", "no-console", "src/clock.ts", 7),
    ]
    facts = result.facts
    assert (facts["scripts"], facts["passed"], facts["failed"], facts["not_run"]) == (3, 1, 2, 0)
    assert (facts["linted"], facts["complete"], facts["by"], facts["runner"]) == (True, True, "scripts", "npm")
    assert result.data["left_out"] == {"format": "it changes files instead of checking them"}
    assert [(each["script"], each["exit_code"]) for each in result.data["scripts"]] == [
        ("typecheck", 2),
        ("lint", 1),
        ("format:check", 0),
    ]
    assert str(tmp_path) not in json.dumps(result.data)


@needs_node
async def test_without_the_installed_packages_nothing_is_run(tmp_path: Path) -> None:
    repo = repositories.typescript(tmp_path / "repo")
    shutil.rmtree(repo / "node_modules")
    result = await outcome_of(tmp_path, repo)
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing node_modules")


@needs_node
async def test_a_missing_command_is_named(tmp_path: Path) -> None:
    lint = package({"lint": "absent-linter ."})
    result = await check(tmp_path, {"package.json": lint})
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing absent-linter")


@needs_node
async def test_what_one_script_lacks_does_not_hide_the_other(tmp_path: Path) -> None:
    scripts = {"lint": "absent-linter .", "typecheck": "node --check a.js"}
    result = await check(tmp_path, {"package.json": package(scripts), "a.js": "const a = 1;\n"})
    assert result.status == "ok"
    assert result.summary == "npm: typecheck passed · lint could not run: missing absent-linter · 0 findings"
    assert (result.facts["not_run"], result.facts["complete"], result.facts["linted"]) == (1, False, False)


@needs_node
async def test_output_nobody_can_read_is_one_finding_with_its_end(tmp_path: Path) -> None:
    files = {"package.json": package({"check": "node say.js"}), "say.js": "console.log('odd'); process.exit(3);\n"}
    result = await check(tmp_path, files)
    (finding,) = result.findings
    assert (finding.severity, finding.rule) == ("medium", "check-failed")
    assert finding.message == "the script check ended with exit code 3: odd"
    assert result.facts["failed"] == 1


@needs_node
async def test_the_time_is_for_all_scripts_together(tmp_path: Path) -> None:
    scripts = {"lint": "node wait.js", "typecheck": "node wait.js", "format:check": "node wait.js --check"}
    files = {"package.json": package(scripts), "wait.js": "setInterval(() => {}, 1000);\n"}
    result = await check(tmp_path, files, limit_s=1)
    assert result.status == "ok"
    assert (result.facts["stopped"], result.facts["not_run"], result.facts["failed"]) == (1, 2, 0)
    assert result.facts["complete"] is False
    assert result.summary.endswith("no time left for lint, format:check · 1 finding")
    assert [each.rule for each in result.findings] == ["check-stopped"]


@needs_node
async def test_a_script_may_change_the_copy_only(tmp_path: Path) -> None:
    change = "require('node:fs').writeFileSync('a.txt', 'changed'); require('node:fs').writeFileSync('b.txt', '');\n"
    result = await check(tmp_path, {"package.json": package({"lint": "node c.js"}), "a.txt": "a\n", "c.js": change})
    assert (result.status, result.facts["passed"]) == ("ok", 1)


@needs_node
async def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    flood = "for (let i = 0; i < 400000; i++) console.log(`/x/a.js:${i}:1: said [Error/r${i}]`); process.exit(1);\n"
    result = await check(tmp_path, {"package.json": package({"lint": "node flood.js"}), "flood.js": flood})
    assert result.status == "ok"
    assert len(result.findings) <= 200
    assert len(json.dumps(result.data)) < 10_000


async def test_python_alone_is_not_its_business(tmp_path: Path) -> None:
    for kind in (repositories.python_passing, repositories.empty_one_commit):
        result = program_runs.run("scripts.check", kind(tmp_path / kind.__name__), tmp_path / f"{kind.__name__}-run")
        assert result.status == "not_applicable"
        assert result.summary == "no Node package, and there is no JavaScript file"


def test_without_node_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        return None

    for name, missing in (("typescript", "npm"), ("javascript", "node")):
        repo = getattr(repositories, name)(tmp_path / name)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "which", absent)
            result = program_runs.run("scripts.check", repo, tmp_path / f"{name}-run")
        assert (result.status, result.summary) == ("could_not_run", f"could not run: missing {missing}")


@needs_node
def test_without_scripts_every_file_is_parsed(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "package.json": package({"build": "x"}),
        "good.js": "#!/usr/bin/env node\nreturn;\n",
        "module.js": "import fs from 'node:fs';\nexport default await fs.promises.stat('.');\n",
        "broken.js": "const a = 1;\nconst = 2;\n",
        "broken.mjs": "export const a = ;\n",
        "module_broken.js": "import a from 'a';\nfunction (\n",
        "view.js": "export const view = () => <p className='a'>x</p>;\n",
        "typed.js": "// @flow\nfunction f(a: string) {}\n",
        "test/broken.js": "(\n",
        "dist/broken.js": "(\n",
        "only.ts": "const a: = 1\n",
    }
    result = program_runs.run("scripts.check", program_runs.commit(tmp_path / "r", "all", files), tmp_path)
    assert rows(result) == [
        ("high", "syntax", "broken.js", 2),
        ("high", "syntax", "broken.mjs", 1),
        ("high", "syntax", "module_broken.js", 2),
        ("low", "syntax", "test/broken.js", 2),
    ]
    assert result.findings[0].message.startswith("does not parse: Unexpected token")
    facts = result.facts
    assert (facts["by"], facts["syntax_errors"], facts["files_checked"]) == ("syntax", 3, 6)
    assert (facts["files_in_a_dialect"], facts["linted"], facts["complete"]) == (2, False, True)


@needs_node
def test_parsing_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_syntax, "FILES_MAX", 2)
    root = program_runs.commit(tmp_path / "r", "all", {f"{number}.js": "let a;\n" for number in range(5)})
    result = program_runs.run("scripts.check", root, tmp_path)
    assert (result.facts["files_checked"], result.facts["files_not_reached"]) == (2, 3)
    assert result.facts["complete"] is False
    assert result.summary.endswith("3 files not reached")


@pytest.mark.parametrize(
    ("scripts", "chosen", "left_out"),
    [
        ({"build": "tsc", "test": "jest", "start": "node .", "prepare": "husky", "release": "np"}, [], []),
        ({"lint": "eslint .", "tsc": "tsc", "check-types": "tsc --noEmit"}, ["tsc", "check-types", "lint"], []),
        ({"lint": "eslint --fix ."}, [], ["lint"]),
        ({"lint": "eslint --fix-dry-run ."}, ["lint"], []),
        ({"typecheck": "tsc --noEmit --watch"}, [], ["typecheck"]),
        ({"format": "prettier --write .", "prettier": "prettier . --check"}, ["prettier"], ["format"]),
        ({"fmt": "dprint fmt"}, [], ["fmt"]),
        ({"lint": "run-s lint:*", "lint:js": "eslint .", "lint:css": "stylelint ."}, ["lint"], ["lint:js", "lint:css"]),
        ({"lint": "eslint .", "lint:css": "stylelint ."}, ["lint", "lint:css"], []),
        ({"check": "npm run check:types && npm test", "check:types": "tsc"}, ["check:types"], ["check"]),
        ({"check": "biome check ."}, ["check"], []),
        ({"lint:publish": "publint", "check:links": "lychee ."}, [], []),
        ({"lint": 3}, [], []),
    ],
)
def test_scripts_that_check_are_told_from_those_that_change(
    scripts: dict[str, Any], chosen: list[str], left_out: list[str]
) -> None:
    found, reasons = node_scripts.choose(scripts)
    assert [each.name for each in found] == chosen
    assert list(reasons) == left_out


def test_no_more_than_the_bound_is_chosen() -> None:
    chosen, left_out = node_scripts.choose({f"typecheck:{number}": "tsc" for number in range(12)})
    assert len(chosen) == node_scripts.SCRIPTS_MAX
    assert len(left_out) == 12 - node_scripts.SCRIPTS_MAX


def manager(root: Path, version: str, **named: str) -> str:
    """The package manager for a package, where pnpm and yarn are programs that print `version`."""
    for name in ("pnpm", "yarn"):
        program_runs.write(root / "bin", {name: f"#!/bin/sh\n[ -n '{version}' ] && echo {version}\n"})
    return node_scripts.manager(named, root, {"PATH": f"{root / 'bin'}:/usr/bin:/bin"})


def test_the_named_package_manager_is_used_where_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert manager(tmp_path, "9.1.0") == "npm"
    assert manager(tmp_path, "9.1.0", packageManager="pnpm@9.1.0+sha1.abc") == "pnpm"
    assert manager(tmp_path, "", packageManager="pnpm@9.1.0") == "npm"  # A shim that would first download it.
    assert manager(tmp_path, "9.1.0", packageManager="bun@1") == "npm"
    (tmp_path / "yarn.lock").write_text("")
    assert manager(tmp_path, "1.22.22") == "yarn"
    assert manager(tmp_path, "4.1.0") == "npm"


STYLISH = """
src/b.js
  1:1   error    Unexpected var, use let or const instead  no-var
  2:1   warning  Unexpected 'debugger' statement           no-debugger
  3:7   error    Parsing error: Unexpected token =

✖ 3 problems (2 errors, 1 warning)
  1 error and 0 warnings potentially fixable with the `--fix` option.
"""
BIOME = """src/a.ts:2:33 lint/suspicious/noDoubleEquals  FIXABLE  ━━━━━━━━━━━━━━

  × Using == may be unsafe if you are relying on type coercion.

  > 2 │ export function f(a) { return a == 1; }
      │                                 ^^
  i == is only allowed when comparing against null.

src/a.ts:1:7 lint/correctness/noUnusedVariables ━━━━━━━━━━━━━━

  ! This variable n is unused.

src/b.js format ━━━━━━━━━━━━━━━━━━━

  × Formatter would have printed the following content:

Found 3 errors.
check ━━━━━━━━━━━━━━━━━━━

  × Some errors were emitted while running checks.
"""


def place(path: str) -> str:
    return path.removeprefix("/x/") if path.removeprefix("/x/").startswith("src/") else ""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            STYLISH,
            [
                ("medium", "no-var", "src/b.js", 1),
                ("low", "no-debugger", "src/b.js", 2),
                ("medium", "syntax", "src/b.js", 3),
            ],
        ),
        ("/x/src/b.js:2:1: A debugger. [Warning/no-debugger]\n", [("low", "no-debugger", "src/b.js", 2)]),
        ("  /x/src/b.js:2:1: Extra semicolon. (semi)\n", [("medium", "semi", "src/b.js", 2)]),
        ("src/a.ts(1,7): error TS2322: Type 'a'.\n", [("medium", "TS2322", "src/a.ts", 1)]),
        ("src/a.ts:1:7 - error TS2322: Type 'a'.\n\n1 const n\n", [("medium", "TS2322", "src/a.ts", 1)]),
        ("error TS5023: Unknown compiler option 'x'.\n", [("medium", "TS5023", "", 0)]),
        ("other/a.ts(1,7): error TS2322: Type 'a'.\n", [("medium", "TS2322", "", 0)]),
        (
            "Checking formatting...\n[warn] src/a.ts\n[warn] Code style issues found in 2 files.\n"
            "[error] src/b.js: SyntaxError: Unexpected token (4:7)\n[error] > 1 | const = ;\n",
            [("low", "prettier", "src/a.ts", 0), ("medium", "prettier", "src/b.js", 4)],
        ),
        (
            BIOME,
            [
                ("medium", "lint/suspicious/noDoubleEquals", "src/a.ts", 2),
                ("low", "lint/correctness/noUnusedVariables", "src/a.ts", 1),
                ("low", "format", "src/b.js", 0),
            ],
        ),
        (
            "::error title=lint/style/useConst,file=/x/src/a.ts,line=3,endLine=3,col=7,endColumn=9::Use const: now.\n",
            [("medium", "lint/style/useConst", "src/a.ts", 3)],
        ),
        ("all is well\n> p@1.0.0 lint\n", []),
    ],
)
def test_each_format_is_read(output: str, expected: list[tuple[str, str, str, int]]) -> None:
    found: list[Finding] = list(check_output.read(output, place))
    assert [(each.severity, each.rule, each.path, each.line) for each in found] == expected


@needs_node
async def test_links_and_history_are_there_for_the_scripts(tmp_path: Path) -> None:
    look = "const fs = require('node:fs'); process.exit(fs.lstatSync('alias').isSymbolicLink() ? 0 : 1);\n"
    repo = from_files(tmp_path / "repo", {"package.json": package({"lint": "node look.js"}), "look.js": look})
    (repo / "alias").symlink_to("look.js")
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*run, "add", "--all"], cwd=repo, check=True)
    subprocess.run([*run, "commit", "--quiet", "-m", "link"], cwd=repo, check=True)
    assert (await outcome_of(tmp_path, repo)).facts["passed"] == 1
