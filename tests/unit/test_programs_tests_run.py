"""tests.run runs whatever suite it finds, hostile ones too, and says what is known of it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.programs import suite, suite_javascript
from actors.services.tools.programs.git import git
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox.detect import detect
from protocol.tools import ToolInput, ToolResult
from tests.kit import repositories
from tests.kit.repositories import from_files, tree_hash

SPEC = CATALOGUE["tests.run"]


@pytest.fixture(autouse=True)
async def confined() -> None:
    report = await detect()
    if report.kind == "none":
        pytest.skip(f"foreign code needs a sandbox: {report.tried}")


async def outcome_of(tmp_path: Path, repo: Path, **args: Any) -> ToolResult:
    """Test a clone of `repo` as `workspace.prepare` makes it; clone and repository must come out as they went in."""
    source = tmp_path / "workspace/source"
    git(["clone", "--quiet", "--config", "core.symlinks=false", str(repo), str(source)], tmp_path)
    before = tree_hash(repo), tree_hash(source)
    result = await ProgramRunner().run(SPEC, given(tmp_path, repo, **args))
    assert (tree_hash(repo), tree_hash(source)) == before
    return result


def given(tmp_path: Path, repo: Path, **args: Any) -> ToolInput:
    workspace = str(tmp_path / "workspace")
    return ToolInput(
        SPEC.name, "tools/t1@3", "t1", "T", "2026-01-01T00:00:00Z", str(repo), workspace=workspace, args=args
    )


def counts(result: ToolResult) -> tuple[Any, ...]:
    assert result.status == "ok", result.summary
    return tuple(result.facts[name] for name in ("passed", "failed", "errors", "skipped"))


async def run_files(tmp_path: Path, files: Mapping[str, str], **args: Any) -> ToolResult:
    return await outcome_of(tmp_path, from_files(tmp_path / "repo", files), **args)


async def test_a_passing_suite(tmp_path: Path) -> None:
    task = given(tmp_path, repositories.python_passing(tmp_path / "repo"))
    assert (await ProgramRunner().run(CATALOGUE["workspace.prepare"], task)).status == "ok"
    result = await ProgramRunner().run(SPEC, task)
    assert counts(result) == (5, 0, 0, 0)
    assert (result.facts["runner"], result.facts["complete"], result.facts["exit_code"]) == ("pytest", True, 0)
    assert result.findings == ()


async def test_a_failing_test_is_a_finding_by_file_and_line(tmp_path: Path) -> None:
    result = await outcome_of(tmp_path, repositories.python_failing(tmp_path / "repo"))
    assert counts(result) == (4, 1, 0, 0)
    (finding,) = result.findings
    assert (finding.severity, finding.rule, finding.path, finding.line) == (
        "high",
        "test-failure",
        "tests/test_quotes.py",
        6,
    )
    assert "test_remote_zone_costs_more" in finding.message


async def test_no_tests(tmp_path: Path) -> None:
    for name in ("python_without_tests", "empty_one_commit"):
        result = await outcome_of(tmp_path / name, getattr(repositories, name)(tmp_path / name / "repo"))
        assert (result.status, result.summary) == ("not_applicable", "no tests found")


async def test_unittest_without_pytest(tmp_path: Path) -> None:
    cases = """
import unittest
class Cases(unittest.TestCase):
    def test_good(self): self.assertTrue(True)
    def test_bad(self): self.assertEqual(1, 2)
    def test_error(self): raise RuntimeError("boom")
    @unittest.skip("later")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_known(self): self.fail()
"""
    result = await run_files(
        tmp_path, {"pkg/__init__.py": "", "pkg/tests/__init__.py": "", "pkg/tests/test_it.py": cases}
    )
    assert counts(result) == (1, 1, 1, 2)
    assert result.facts["runner"] == "unittest"
    assert {(finding.path, finding.line) for finding in result.findings} == {
        ("pkg/tests/test_it.py", 5),
        ("pkg/tests/test_it.py", 6),
    }


async def test_partial_counts_survive_the_limit(tmp_path: Path) -> None:
    slow = (
        "import signal\ndef test_a(): pass\ndef test_b(): assert False\ndef test_c():\n    while True: signal.pause()\n"
    )
    result = await run_files(tmp_path, {"test_slow.py": slow}, limit_s=4)
    assert counts(result) == (1, 1, 0, 0)
    assert result.facts["complete"] is False
    assert result.summary.startswith("pytest: stopped after 4 s; until then 1 passed, 1 failed")
    assert result.summary.endswith("of 3")


async def test_a_suite_that_kills_itself_keeps_its_counts(tmp_path: Path) -> None:
    dying = "import os\ndef test_a(): pass\ndef test_b(): os.kill(os.getpid(), 9)\n"
    result = await run_files(tmp_path, {"test_dying.py": dying})
    assert counts(result) == (1, 0, 0, 0)
    assert result.facts["complete"] is False
    assert "died of signal 9" in result.summary


async def test_a_suite_that_leaves_early_is_not_complete(tmp_path: Path) -> None:
    leaving = "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\n"
    result = await run_files(tmp_path, {"test_leaving.py": leaving})
    assert counts(result) == (1, 0, 0, 0)
    assert (result.facts["complete"], result.facts["exit_code"]) == (False, 0)
    assert "did not run to its end" in result.summary


async def test_a_suite_that_kills_all_it_can_reach_is_a_failed_tool(tmp_path: Path) -> None:
    result = await run_files(tmp_path, {"test_killer.py": "import os\ndef test_a(): os.kill(-1, 9)\n"})
    assert result.status == "failed"
    assert "signal 9" in result.summary


async def test_a_daemon_neither_holds_nor_outlives_the_suite(tmp_path: Path) -> None:
    daemon = """
import os, signal
def test_a():
    if not os.fork():
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: signal.pause()
"""
    result = await run_files(tmp_path, {"test_daemon.py": daemon})
    assert counts(result) == (1, 0, 0, 0)
    assert result.facts["complete"] is True


async def test_a_flood_of_output_is_read_and_dropped(tmp_path: Path) -> None:
    flood = "import os\ndef test_a():\n    for _ in range(1600): os.write(2, b'x' * 65536)\n    assert False\n"
    result = await run_files(tmp_path, {"test_flood.py": flood, "pytest.ini": "[pytest]\naddopts = -s\n"})
    assert counts(result) == (0, 1, 0, 0)
    assert len(json.dumps(result.data)) < 10_000


async def test_a_missing_module_is_named(tmp_path: Path) -> None:
    result = await run_files(
        tmp_path, {"test_it.py": "import pytest\nimport not_installed_anywhere\ndef test_a(): pass\n"}
    )
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing not_installed_anywhere")


async def test_a_module_missing_from_the_conftest_is_named(tmp_path: Path) -> None:
    files = {"conftest.py": "import not_installed_anywhere.part\n", "test_it.py": "def test_a(): pass\n"}
    result = await run_files(tmp_path, files)
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing not_installed_anywhere")


async def test_a_module_missing_for_a_unittest_is_named(tmp_path: Path) -> None:
    result = await run_files(tmp_path, {"test_it.py": "import unittest\nimport not_installed_anywhere\n"})
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing not_installed_anywhere")


async def test_what_can_be_collected_runs_beside_what_cannot(tmp_path: Path) -> None:
    files = {
        "test_good.py": "def test_a(): pass\n",
        "test_bad.py": "import not_installed_anywhere\ndef test_a(): pass\n",
    }
    result = await run_files(tmp_path, files)
    assert counts(result) == (1, 0, 1, 0)
    assert result.data["missing"] == ["not_installed_anywhere"]
    assert result.summary.endswith("missing not_installed_anywhere")
    assert [(finding.rule, finding.path) for finding in result.findings] == [("test-collection", "test_bad.py")]


async def test_a_broken_module_of_the_repositorys_own_is_a_defect(tmp_path: Path) -> None:
    files = {"own/__init__.py": "", "test_it.py": "import own.gone\ndef test_a(): pass\n"}
    result = await run_files(tmp_path, files)
    assert counts(result) == (0, 0, 1, 0)
    assert result.data["missing"] == []


async def test_options_of_absent_plugins_are_left_out(tmp_path: Path) -> None:
    files = {"pytest.ini": "[pytest]\naddopts = --absent-plugin=5\n", "test_it.py": "def test_a(): pass\n"}
    result = await run_files(tmp_path, files)
    assert counts(result) == (1, 0, 0, 0)
    assert "without the repository's own options" in result.summary


async def test_a_required_plugin_is_named(tmp_path: Path) -> None:
    files = {"pytest.ini": "[pytest]\nrequired_plugins = pytest-absent\n", "test_it.py": "def test_a(): pass\n"}
    result = await run_files(tmp_path, files)
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing pytest-absent")


async def test_a_meddling_conftest_does_not_spoil_the_counts(tmp_path: Path) -> None:
    conftest = """
import builtins, json, os, socket, sys, tempfile
def forbidden(*args, **kwargs): raise RuntimeError("forbidden")
json.dumps = os.write = socket.socket = tempfile.mkdtemp = forbidden
os.environ.clear()
os.chdir("/")
"""
    result = await run_files(
        tmp_path, {"conftest.py": conftest, "test_it.py": "def test_a(): pass\ndef test_b(): assert 0\n"}
    )
    assert counts(result) == (1, 1, 0, 0)


async def test_forged_outcomes_do_not_break_the_report(tmp_path: Path) -> None:
    forger = """
import os
def test_a():
    with open(os.environ["TROUPE_OUTCOMES"], "ab") as record:
        record.write(b'null\\n[]\\n{"what": 3}\\n{"what": "collected", "count": "many"}\\n')
        record.write(b'\\xff\\xfe{\\n{"what": "te')
"""
    result = await run_files(tmp_path, {"test_forger.py": forger})
    assert result.status == "ok"


async def test_setup_and_teardown_errors_are_errors(tmp_path: Path) -> None:
    code = """
import pytest
@pytest.fixture
def before(): raise RuntimeError("before")
@pytest.fixture
def after():
    yield
    raise RuntimeError("after")
def test_a(before): pass
def test_b(after): pass
@pytest.mark.skip
def test_c(): pass
@pytest.mark.xfail
def test_d(): assert False
"""
    assert counts(await run_files(tmp_path, {"test_it.py": code})) == (0, 0, 2, 2)


async def test_the_suite_may_use_loopback_and_its_folders_but_not_the_users(tmp_path: Path) -> None:
    secret = tmp_path / "repo/.env"
    code = f"""
import os, pathlib, subprocess, tempfile
def test_a(tmp_path):
    (tmp_path / "file").write_text("x"); tempfile.mkdtemp(); pathlib.Path("written").touch()
    assert subprocess.run(["git", "log", "-1"], env={{**os.environ, "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}}).returncode == 0
def test_b():
    assert not os.access({str(secret)!r}, os.R_OK)
"""
    repo = from_files(tmp_path / "repo", {"test_it.py": code})
    secret.write_text("KEY=1")
    assert counts(await outcome_of(tmp_path, repo)) == (2, 0, 0, 0)


async def test_links_of_the_repository_are_links_for_its_suite(tmp_path: Path) -> None:
    repo = from_files(tmp_path / "repo", {"test_it.py": "import os\ndef test_a(): assert os.path.islink('alias')\n"})
    (repo / "alias").symlink_to("test_it.py")
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*run, "add", "--all"], cwd=repo, check=True)
    subprocess.run([*run, "commit", "--quiet", "-m", "link"], cwd=repo, check=True)
    assert counts(await outcome_of(tmp_path, repo)) == (1, 0, 0, 0)


def environment(path: Path, *, pytest_there: bool) -> None:
    """A virtual environment in the repository, made from the Python that runs this, and ignored by git."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    (path / ".gitignore").write_text("*\n")
    site = next(path.glob("lib/python3*/site-packages"))
    (site / "only_there.py").write_text("WORD = 'there'\n")
    if pytest_there:
        (site / "ours.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")


async def test_the_repositorys_own_environment_is_used(tmp_path: Path) -> None:
    code = "import sys\nimport only_there\ndef test_a(): assert sys.prefix.endswith('repo/.venv'), sys.prefix\n"
    repo = from_files(tmp_path / "repo", {"test_it.py": code})
    environment(repo / ".venv", pytest_there=True)
    result = await outcome_of(tmp_path, repo)
    assert counts(result) == (1, 0, 0, 0), result.data["tail"]


async def test_an_environment_without_pytest_is_said_where_pytest_is_needed(tmp_path: Path) -> None:
    needing = from_files(tmp_path / "a/repo", {"test_it.py": "import pytest\ndef test_a(): pass\n"})
    environment(needing / ".venv", pytest_there=False)
    result = await outcome_of(tmp_path / "a", needing)
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing pytest")
    code = "import only_there, unittest\nclass Test(unittest.TestCase):\n    def test_a(self): pass\n"
    content = from_files(tmp_path / "b/repo", {"test_it.py": code})
    environment(content / ".venv", pytest_there=False)
    assert counts(await outcome_of(tmp_path / "b", content)) == (1, 0, 0, 0)


async def test_a_broken_environment_is_passed_over(tmp_path: Path) -> None:
    repo = from_files(tmp_path / "repo", {"test_it.py": "def test_a(): pass\n"})
    (repo / ".venv/bin").mkdir(parents=True)
    (repo / ".venv/bin/python").symlink_to("/nowhere/python")
    (repo / ".venv/.gitignore").write_text("*\n")
    assert counts(await outcome_of(tmp_path, repo)) == (1, 0, 0, 0)


needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")


@needs_node
async def test_a_node_suite(tmp_path: Path) -> None:
    result = await outcome_of(tmp_path, repositories.javascript(tmp_path / "repo"))
    assert counts(result) == (2, 0, 0, 0)
    assert result.facts["runner"] == "npm"


@needs_node
async def test_a_failing_node_suite(tmp_path: Path) -> None:
    repo = repositories.javascript(tmp_path / "repo")
    broken = (repo / "src/slug.js").read_text().replace('"-"', '"_"')
    result = await run_files(
        tmp_path / "broken",
        {
            "package.json": (repo / "package.json").read_text(),
            "src/slug.js": broken,
            "src/words.js": (repo / "src/words.js").read_text(),
            "test/slug.test.js": (repo / "test/slug.test.js").read_text(),
        },
    )
    assert counts(result) == (1, 1, 0, 0)
    assert [finding.message for finding in result.findings] == ["words are joined by dashes: failed"]


@needs_node
async def test_a_script_without_known_output_is_judged_by_its_exit_code(tmp_path: Path) -> None:
    result = await run_files(tmp_path, {"package.json": '{"scripts": {"test": "exit 3"}}'})
    assert (result.status, result.facts["exit_code"]) == ("ok", 3)
    assert "passed" not in result.facts
    assert "counts unknown" in result.summary
    assert [finding.rule for finding in result.findings] == ["test-failure"]


@needs_node
async def test_node_modules_that_are_not_there_are_named(tmp_path: Path) -> None:
    package = '{"scripts": {"test": "jest"}, "devDependencies": {"jest": "29.7.0"}}'
    result = await run_files(tmp_path, {"package.json": package})
    assert (result.status, result.summary) == ("could_not_run", "could not run: missing node_modules")


@needs_node
async def test_installed_node_modules_are_used(tmp_path: Path) -> None:
    package = '{"type": "commonjs", "scripts": {"test": "node --test"}, "dependencies": {"there": "1.0.0"}}'
    code = 'const t = require("node:test"); t("a", () => { if (require("there") !== 5) throw new Error("no"); });\n'
    repo = from_files(tmp_path / "repo", {"package.json": package, "a.test.js": code, ".gitignore": "node_modules\n"})
    (repo / "node_modules/there").mkdir(parents=True)
    (repo / "node_modules/there/index.js").write_text("module.exports = 5;\n")
    assert counts(await outcome_of(tmp_path, repo)) == (1, 0, 0, 0)


async def test_the_placeholder_of_npm_is_no_test(tmp_path: Path) -> None:
    package = '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'
    assert (await run_files(tmp_path, {"package.json": package})).status == "not_applicable"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("# tests 4\n# suites 0\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n", (2, 1, 1)),
        ("ℹ tests 3\nℹ pass 3\nℹ fail 0\n", (3, 0, 0)),
        ("Test Suites: 1 failed, 1 total\nTests:       1 failed, 2 skipped, 3 passed, 6 total\n", (3, 1, 2)),
        (" Test Files  1 failed | 2 passed (3)\n      Tests  1 failed | 2 passed (3)\n", (2, 1, 0)),
        ("\x1b[32m  3 passing\x1b[0m (5ms)\n  1 pending\n  2 failing\n", (3, 2, 1)),
        ("TAP version 13\nok 1 - a\nnot ok 2 - b\n1..2\n", (1, 1, 0)),
    ],
)
def test_closing_lines_of_known_runners(output: str, expected: tuple[int, int, int]) -> None:
    outcomes = suite_javascript.parse(output)
    assert (outcomes.passed, outcomes.failed, outcomes.skipped) == expected
    assert outcomes.known


def test_other_output_has_no_counts() -> None:
    assert not suite_javascript.parse("all is well\n").known


def test_failures_are_named_up_to_a_bound(tmp_path: Path) -> None:
    record = tmp_path / "outcomes"
    line = {"what": "test", "outcome": "failed", "path": "a.py", "line": 1, "message": "m"}
    record.write_text("".join(json.dumps({**line, "name": f"test_{n}"}) + "\n" for n in range(200)))
    outcomes = suite.recorded(record)
    assert outcomes.failed == 200
    assert len(outcomes.failures) == suite.FAILURES_KEPT_MAX


def test_output_is_read_to_its_end(tmp_path: Path) -> None:
    ran = suite.run([sys.executable, "-c", "print('x' * 1_000_000 + 'end')"], tmp_path, dict(os.environ), 30)
    assert ran.code == 0
    assert ran.tail.endswith("end\n")
    assert len(ran.tail) == suite.TAIL_BYTES_KEPT
