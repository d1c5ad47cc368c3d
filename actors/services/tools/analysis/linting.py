"""Ruff on a folder: with the repository's own settings where it has them and they work, else with defaults."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ruff import find_ruff_bin

from actors.services.tools.programs.checkout import read_text

RUFF_TIMEOUT_S = 40.0  # of one run; the tool makes at most five
MESSAGE_CHARS_MAX = 300
_OLDEST, _NEWEST = 7, 14  # Python 3 minor versions that ruff can be told to support


class RuffFailed(Exception):
    """Ruff ended with an error of its own; the text is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem that ruff reports. `line` counts from 1; `rule` is `syntax` for what does not parse."""

    path: str
    line: int
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How ruff is told to judge: `origin` says whose settings they are, `note` why they are not the repository's."""

    origin: Literal["repository", "defaults"]
    options: tuple[str, ...]
    note: str = ""


def settings(root: str | Path) -> Settings:
    """The repository's settings if its root has some, else defaults for the oldest Python it supports.

    Without any, ruff would look for settings in the folders above the checkout, which are not the repository's.
    """
    if read_text(root, "ruff.toml") is not None or read_text(root, ".ruff.toml") is not None:
        return Settings("repository", ())
    project = _toml(read_text(root, "pyproject.toml") or "")
    if isinstance(_in(project, "tool", "ruff"), dict):
        return Settings("repository", ())
    return _defaults(project, "the repository has no ruff settings at its root")


def fallback(root: str | Path, error: RuffFailed) -> Settings:
    """Defaults in place of settings that ruff could not use; the note says so."""
    return _defaults(
        _toml(read_text(root, "pyproject.toml") or ""), f"the repository's ruff settings do not work: {error}"
    )


def problems(folder: str | Path, using: Settings) -> list[Problem]:
    """Every problem in the folder, nothing changed. Raises RuffFailed, TimeoutError."""
    args = ["check", "--no-fix", "--no-fix-only", "--exit-zero", "--output-format", "json", "--quiet"]
    output = _run(args, folder, using, codes=(0, 1))
    try:
        reported = cast("Sequence[Mapping[str, Any]]", json.loads(output or "[]"))
        return sorted((_problem(each, folder) for each in reported), key=lambda p: (p.path, p.line, p.rule, p.message))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuffFailed(f"ruff printed something that is no list of problems: {error}") from error


def fix(folder: str | Path, using: Settings) -> None:
    """Apply the fixes that ruff calls safe, in place. Raises RuffFailed, TimeoutError."""
    _run(["check", "--fix", "--no-unsafe-fixes", "--exit-zero", "--quiet"], folder, using, codes=(0, 1))


def reformat(folder: str | Path, using: Settings) -> bool:
    """Format in place; False when some file could not be, mostly because it does not parse. Raises TimeoutError.

    Settings must have been tried by `problems` before: ruff ends with 2 for bad settings as well.
    """
    done = _process(_command(["format", "--quiet"], using), folder)
    if done.returncode not in (0, 2):
        raise RuffFailed(_said(done.stderr))
    return done.returncode == 0


def version() -> str:
    """Ruff's own version ("0.17.5"). Raises RuffFailed when ruff is not there."""
    done = _process([_binary(), "--version"], Path(__file__).parent)
    if done.returncode:
        raise RuffFailed(_said(done.stderr))
    return done.stdout.split()[-1]


def _run(args: Sequence[str], folder: str | Path, using: Settings, codes: Sequence[int]) -> str:
    done = _process(_command(args, using), folder)
    if done.returncode not in codes:
        raise RuffFailed(_said(done.stderr))
    return done.stdout


def _command(args: Sequence[str], using: Settings) -> list[str]:
    return [_binary(), *args, "--no-cache", *using.options, "."]


def _binary() -> str:
    # The program itself rather than `python -m ruff`: no folder of the checkout can be imported in its place.
    try:
        return find_ruff_bin()
    except FileNotFoundError as error:
        raise RuffFailed(f"the ruff package has no program: {error}") from error


def _process(command: Sequence[str], folder: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUFF_")}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=RUFF_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"ruff took more than {RUFF_TIMEOUT_S:g} s") from error


def _problem(reported: Mapping[str, Any], folder: str | Path) -> Problem:
    path = os.path.relpath(str(reported["filename"]), os.path.realpath(folder))
    location = cast("Mapping[str, int] | None", reported.get("location"))
    rule = str(reported.get("code") or "syntax")
    rule = "syntax" if rule == "invalid-syntax" else rule
    line = int(location["row"]) if location else 0
    return Problem(Path(path).as_posix(), line, rule, str(reported["message"])[:MESSAGE_CHARS_MAX])


def _defaults(project: Mapping[str, Any], note: str) -> Settings:
    options = ["--isolated"]
    requires = str(_in(project, "project", "requires-python") or "")
    oldest = re.search(r"(?:>=|~=|==|>)\s*3\.(\d+)", requires)
    if oldest:
        options += ["--target-version", f"py3{min(max(int(oldest[1]), _OLDEST), _NEWEST)}"]
    # A repository formatted by black keeps its line length; ruff's other defaults are black's.
    length = _in(project, "tool", "black", "line-length")
    if isinstance(length, int) and not isinstance(length, bool) and 1 <= length <= 320:
        options += ["--config", f"line-length = {length}"]
    if _in(project, "tool", "black", "skip-string-normalization") is True:
        options += ["--config", 'format.quote-style = "preserve"']
    return Settings("defaults", tuple(options), note)


def _in(table: Mapping[str, Any], *keys: str) -> object:
    found: object = table
    for key in keys:
        if not isinstance(found, dict):
            return None
        found = cast("Mapping[str, Any]", found).get(key)
    return found


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _said(stderr: str) -> str:
    return " ".join(stderr.split())[-MESSAGE_CHARS_MAX:] or "it said nothing"
