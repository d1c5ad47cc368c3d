"""The house rules that no linter knows: sizes, names, what belongs together, what must not be in the tree."""

import ast
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

import protocol
from actors.roles.playbook import ROLES, file_of
from protocol.message import Command, Event
from protocol.schemas import messages

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("actors", "eventstore", "projections", "protocol")

MODULE_LINES_MAX = 300
TEST_MODULE_LINES_MAX = 600  # A test file is a list; nobody has to hold it in the head.
FUNCTION_LINES_MAX = 50
# Longer ones, each with its reason and its own limit.
MODULES_LONGER = {
    "eventstore/verifier.py": (620, "one file on purpose: whoever doubts us copies it, reads it and runs it alone"),
    "eventstore/store.py": (350, "the port: all its promises on one page"),
    "eventstore/postgres/store.py": (350, "one adapter of that port, a method a promise"),
}
FUNCTIONS_LONGER: dict[str, tuple[int, str]] = {}

SCRIPT_LINES_MAX = 25
# Written in two parts: this file is checked as well.
FORBIDDEN = ("/ro" + "ot/", "/wo" + "rk/", "/tmp/he" + "lpers")
SKIPPED_FOLDERS = {".git", ".venv", "__pycache__", ".ruff_cache", ".pytest_cache", ".hypothesis", "node_modules"}


def _files() -> Iterator[Path]:
    """Every file of the tree that is ours, whether it is committed yet or not."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in SKIPPED_FOLDERS]
        yield from (Path(folder, name) for name in files)


def _modules(*parts: str) -> list[Path]:
    return sorted(path for part in parts for path in (ROOT / part).rglob("*.py"))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_modules_are_short_enough_to_hold_in_the_head() -> None:
    sizes = {_relative(path): len(path.read_text("utf-8").splitlines()) for path in _modules(*PACKAGES, "tests")}
    too_long = {name: lines for name, lines in sizes.items() if lines > _lines_max(name)}
    assert not too_long
    assert MODULES_LONGER.keys() <= sizes.keys(), "an exception for a module that is gone"


def _lines_max(name: str) -> int:
    usual = TEST_MODULE_LINES_MAX if name.startswith("tests/") else MODULE_LINES_MAX
    return MODULES_LONGER.get(name, (usual, ""))[0]


def test_functions_are_short() -> None:
    too_long: dict[str, int] = {}
    for path in _modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{_relative(path)}:{node.name}"
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTIONS_LONGER.get(name, (FUNCTION_LINES_MAX, ""))[0]:
                    too_long[name] = lines
    assert not too_long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        _relative(path)
        for path in _modules(*PACKAGES)
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_no_catch_all_hides_a_message() -> None:
    """`case _` in an actor is there for the type checker only."""
    hidden: list[str] = []
    for path in [each for each in _modules("actors/roles", "actors/services") if each.stem in ("core", "effects")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Match):
                hidden += [f"{_relative(path)}:{case.pattern.lineno}" for case in node.cases if _swallows(case)]
    assert not hidden


def _swallows(case: ast.match_case) -> bool:
    if not (isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None):
        return False
    return "assert_never" not in ast.unparse(case.body[0])


def test_every_kind_has_a_pure_core_and_its_effects() -> None:
    for folder in [each for each in (ROOT / "actors/services").iterdir() if (each / "__init__.py").is_file()]:
        assert (folder / "core.py").is_file(), f"{_relative(folder)} has no core.py"
        assert (folder / "effects.py").is_file(), f"{_relative(folder)} has no effects.py"
    assert (ROOT / "actors/roles/core.py").is_file()
    for role in ROLES:
        assert (ROOT / "actors/roles" / file_of(role)).is_file(), f"the role {role} has no playbook"
    for effects in (ROOT / "actors/roles").glob("*/effects.py"):
        assert effects.with_name("core.py").is_file(), f"{_relative(effects.parent)} has no core.py"


def _contracts() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter", "utf-8")
    return parser


def test_every_module_named_in_a_contract_exists() -> None:
    ours = re.compile(rf"\b(?:{'|'.join(PACKAGES)})\b[\w.*]*")
    named = [name for section in _contracts().values() for name in ours.findall(" ".join(section.values()))]
    missing = [name for name in named if name != "actors.edge" and not _found(name)]
    assert len(named) > len(PACKAGES)
    assert not missing, "a contract about nothing passes silently"


def _found(name: str) -> bool:
    path = name.replace(".", "/")
    return any(ROOT.glob(f"{path}.py")) or any(ROOT.glob(f"{path}/__init__.py"))


def test_every_contract_bites(tmp_path: Path) -> None:
    """In a copy of the tree with one wrong import for each contract, and one in each core, every one is reported."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    cores = [_relative(path) for path in _modules("actors/roles", "actors/services") if path.name == "core.py"]
    wrong = {
        "protocol/message.py": "eventstore.store",
        "actors/embedded/errors.py": "eventstore.chain",
        "actors/roles/playbook.py": "actors.roles.orchestrator.core",
        "actors/roles/effects.py": "nats",
        "actors/runtime/kind.py": "asyncpg",
        **dict.fromkeys(cores, "uuid"),
    }
    for module, imported in wrong.items():
        with (tmp_path / module).open("a") as file:
            file.write(f"\nimport {imported}\n")
    program = "from importlinter.cli import lint_imports; lint_imports(no_cache=True, no_logo=True)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    checked = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = checked.stdout
    for name, section in _contracts().items():
        if name.startswith("importlinter:contract:"):
            assert f"{section['name']} BROKEN" in said, said + checked.stderr
    for core in cores:
        assert f"{core.removesuffix('.py').replace('/', '.')} -> uuid" in said


def test_every_sql_file_is_used() -> None:
    for package in ("eventstore", "projections"):
        modules = [(path.stem, path.read_text("utf-8")) for path in _modules(package)]
        folder = ROOT / package / "sql"
        names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.sql")]
        assert names
        assert not [name for name in names if not _is_named(name, modules)]


def _is_named(statement: str, modules: list[tuple[str, str]]) -> bool:
    """By its whole name in any module, or in the module it begins with (or whose folder it is in) by the rest."""
    if any(f'"{statement}"' in code for _, code in modules):
        return True
    owners = [(stem, code) for stem, code in modules if statement.startswith((f"{stem}_", f"{stem}/"))]
    return any(f'"{statement[len(stem) + 1 :]}"' in code for stem, code in owners)


def test_every_message_class_is_part_of_its_vocabulary() -> None:
    listed = {cls for _, commands, events in messages() for cls in (*commands, *events)}
    for found in pkgutil.iter_modules(protocol.__path__):
        module = importlib.import_module(f"protocol.{found.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Command | Event) and value not in (Command, Event):
                assert value in listed, f"{value.__name__} is in no COMMANDS or EVENTS"


SCRIPTS = [*sorted((ROOT / "bin").iterdir()), ROOT / ".ci/run"]


@pytest.mark.parametrize("path", SCRIPTS, ids=_relative)
def test_scripts_are_short_and_portable(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= SCRIPT_LINES_MAX
    if path.name != "_setup":  # It is read by the others, not run.
        assert text.startswith("#!/bin/sh\n")
        assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", str(path)], check=True)


def test_lock_files_agree_and_name_no_registry() -> None:
    pins = {
        name: dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    }
    assert pins["requirements.lock"]
    assert pins["requirements.lock"].items() <= pins["requirements-dev.lock"].items()
    for name in pins:
        assert "://" not in (ROOT / name).read_text("utf-8")
        assert "--index" not in (ROOT / name).read_text("utf-8")
    assert not (ROOT / ("uv" + ".lock")).exists()


def test_nothing_of_the_machine_it_was_written_on_is_in_the_tree() -> None:
    for path in _files():
        content = path.read_bytes()
        for word in FORBIDDEN:
            assert word.encode() not in content, f"{_relative(path)} contains {word}"
