"""Finding and running the Python tests of a checkout: pytest where they look like it, unittest otherwise."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.programs import checkout, suite

PROBE_TIMEOUT_S = 20.0
CONFIGURATION_ERROR, NO_TESTS = 4, 5  # exit codes of pytest; our runner of unittest uses the second as well

_INJECTED = Path(__file__).with_name("injected")
_TEST_NAME = re.compile(r"(test_.*|.*_test|tests?)\.py")
_OF_PYTEST = re.compile(r"^(?:\s*(?:import|from) pytest\b|(?:async )?def test_)", re.MULTILINE)
_CONFIGURED = {
    "pytest.ini": "[pytest]",
    "pyproject.toml": "[tool.pytest",
    "setup.cfg": "[tool:pytest]",
    "tox.ini": "[pytest]",
}
_MISSING = re.compile(r"No module named '?([\w.]+)|Missing required plugins: ([\w.-]+)")
_UNKNOWN_OPTION = "unrecognized arguments"


@dataclass(frozen=True, slots=True)
class Tests:
    """The test files found, as paths relative to the checkout, and whether only pytest can run them."""

    files: tuple[str, ...]
    pytest: bool


@dataclass(frozen=True, slots=True)
class Report:
    """How the suite went. `refused`: why it could not even start, "" when it could."""

    runner: str
    outcomes: suite.Outcomes
    ran: suite.Ran | None = None
    refused: str = ""
    note: str = ""


def find(root: Path) -> Tests | None:
    """The Python tests of the checkout at `root`, None where there are none."""
    found: list[str] = []
    pytest = any(mark in (checkout.read_text(root, name) or "") for name, mark in _CONFIGURED.items())
    for file in checkout.text_files(root, suffixes=(".py",)):
        if file.name == "conftest.py":
            pytest = True
        elif _TEST_NAME.fullmatch(file.name) and "test" in file.text.lower():
            found.append(file.path)
            pytest = pytest or bool(_OF_PYTEST.search(file.text))
    return Tests(tuple(found), pytest) if found else None


def interpreter(repo: str, cwd: Path) -> tuple[str, bool]:
    """The Python to run the tests with, and whether it has pytest: the repository's `.venv` if it works, else ours."""
    own = _venv_python(repo)
    question = "import importlib.util as u, sys; sys.stdout.write(str(u.find_spec('pytest') is not None))"
    for candidate in (own, sys.executable) if repo and os.path.exists(own) else (sys.executable,):
        try:
            answer = suite.run([candidate, "-I", "-c", question], cwd, _environment(cwd, cwd), PROBE_TIMEOUT_S)
        except OSError:
            continue  # A `.venv` whose base installation is gone, or out of the sandbox's reach.
        if answer.code == 0 and answer.tail in ("True", "False"):
            return candidate, answer.tail == "True"
    return sys.executable, True


def _venv_python(repo: str) -> str:
    """Where the repository's own interpreter would be; it may be the very one that runs us, when Troupe looks at
    itself."""
    return f"{repo}/.venv/bin/python"


def run(tests: Tests, root: Path, scratch: Path, repo: str, limit_s: float) -> Report:
    """Run the tests in the copy at `root`; `scratch` holds the record of outcomes and the suite's home."""
    python, has_pytest = interpreter(repo, scratch)
    if tests.pytest and not has_pytest:
        return Report("pytest", suite.Outcomes(), refused="missing pytest")
    if not tests.pytest:
        modules = [_module(root, path) for path in tests.files]
        argv = [python, str(_INJECTED / "troupe_unittest.py"), *modules]
        return _run("unittest", argv, root, scratch, repo, limit_s)
    options = ("-p", "troupe_outcomes", "--color=no", "--tb=short", "--continue-on-collection-errors")
    argv = [python, "-m", "pytest", *options]
    report = _run("pytest", argv, root, scratch, repo, limit_s)
    if report.ran and report.ran.code == CONFIGURATION_ERROR and _UNKNOWN_OPTION in report.ran.tail:
        # The repository asks for options of plugins that are not there; its tests may well do without.
        again = _run("pytest", [*argv, "-o", "addopts="], root, scratch, repo, limit_s - report.ran.seconds)
        note = "without the repository's own options (addopts)"
        return Report("pytest", again.outcomes, again.ran, again.refused, note)
    return report


def _run(runner: str, argv: list[str], root: Path, scratch: Path, repo: str, limit_s: float) -> Report:
    record = scratch / "outcomes.ndjson"
    record.unlink(missing_ok=True)
    env = _environment(root, scratch) | {"TROUPE_OUTCOMES": str(record)}
    if argv[0] == sys.executable and argv[0] != _venv_python(repo):
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # The plugins we happen to have are not the repository's.
    ran = suite.run(argv, root, env, limit_s)
    outcomes = suite.recorded(record)
    # A module of the repository's own that cannot be imported is a defect, not something to install.
    outcomes.missing = {name.partition(".")[0] for name in outcomes.missing if not _own(root, name)}
    return Report(runner, outcomes, ran, _refusal(runner, ran, outcomes))


def _refusal(runner: str, ran: suite.Ran, outcomes: suite.Outcomes) -> str:
    if outcomes.ran == outcomes.errors and outcomes.missing and ran.code is not None:
        return "missing " + ", ".join(sorted(outcomes.missing))
    if outcomes.ran or ran.code in (0, NO_TESTS, None):
        return ""
    named = [first or second for first, second in _MISSING.findall(ran.tail)]
    if named:
        return f"missing {named[-1].partition('.')[0]}"
    if runner == "pytest" and ran.code == CONFIGURATION_ERROR:
        said = next((line for line in ran.tail.splitlines() if "error" in line.lower()), "no message")
        return f"pytest refused the repository's configuration: {said.strip()[:200]}"
    return ""


def _own(root: Path, module: str) -> bool:
    name = module.partition(".")[0]
    return any((base / name).is_dir() or (base / f"{name}.py").is_file() for base in (root, root / "src"))


def _module(root: Path, path: str) -> str:
    """FOLDER:MODULE for the runner: the folder above the outermost package that the file is in."""
    location = root / path
    parts = [location.stem]
    folder = location.parent
    while folder != root and (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return f"{folder}:{'.'.join(parts)}"


def _environment(root: Path, scratch: Path) -> dict[str, str]:
    """The suite's environment. The copy comes before what is installed: HEAD is tested even where REPO is installed."""
    paths = [str(_INJECTED), str(root), str(root / "src")]
    return {**suite.environment(scratch), "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
