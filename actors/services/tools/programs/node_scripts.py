"""Which scripts of a package.json check without changing anything, and with which package manager to run them."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.services.tools.programs import suite

Kind = Literal["types", "lint", "format", "check"]

SCRIPTS_MAX = 8  # run; the rest is named as skipped
PROBE_TIMEOUT_S = 10.0  # for a package manager to say its version

# By name. Others (build, release, check:links, …) may write, publish or need a network, and say little about the code.
_NAMES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("types", re.compile(r"(type-?checks?|types?|tsc|(check|lint|test)[:-](types?|tsc|ts)|types?[:-]check)(:\w+)?")),
    ("lint", re.compile(r"(eslint|lint|(lint|check)[:-](js|jsx|tsx|es|eslint|code|src|style|lint|all|ci|check))")),
    ("lint", re.compile(r"(biome|oxlint|xo|standard)([:-](check|lint|ci))?|lint[:-](css|styles?|scss|md|markdown)")),
    ("format", re.compile(r"(prettier|format|fmt)([:-](check|ci|lint))?|(check|lint)[:-](prettier|format|fmt)")),
    ("check", re.compile(r"check")),
)
_LINTERS = re.compile(r"\b(eslint|biome|oxlint|xo|standard|tslint|jshint|rslint|deno lint|next lint|ng lint)\b")
_CHANGES = re.compile(r"--(fix|write|apply|update)\b(?!-dry)|\bprettier\b[^&|;]*\s-w\b")
_ENDLESS = re.compile(r"--watch\b(?!=false)|\btsc\b[^&|;]*\s-w\b|\b(nodemon|chokidar|watchexec)\b")
_MORE = re.compile(r"\b(npm|pnpm|yarn|bun)( run)? (test|build)\b|\b(jest|vitest|mocha|ava|tap|playwright|cypress)\b")
_COMPARES = re.compile(r"--(check|list-different)\b|\s-[cl]\b|\bbiome (ci|check|format)\b|\b(npm|pnpm|yarn) ")
_LOCKS = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"))
_ORDER: tuple[Kind, ...] = ("types", "lint", "check", "format")  # the gravest answers first: the time is bounded


@dataclass(frozen=True, slots=True)
class Script:
    """A script that checks. `lints`: a linter looks at the code in it."""

    name: str
    command: str
    kind: Kind

    @property
    def lints(self) -> bool:
        """Whether it is a linter's run, by its name or by the command."""
        return self.kind == "lint" or bool(_LINTERS.search(self.command))


def choose(scripts: Mapping[str, Any]) -> tuple[list[Script], dict[str, str]]:
    """The scripts to run, at most SCRIPTS_MAX, in the order to run them; and those left out, by name, with the reason.

    A script whose name says nothing about checking is in neither.
    """
    chosen: list[Script] = []
    left_out: dict[str, str] = {}
    for name, command in scripts.items():
        kind = _kind(name)
        if kind is None or not isinstance(command, str):
            continue
        script = Script(name, command, kind)
        why = _unfit(script, scripts)
        if why:
            left_out[name] = why
        else:
            chosen.append(script)
    chosen.sort(key=lambda script: _ORDER.index(script.kind))
    left_out |= {script.name: f"more than {SCRIPTS_MAX} scripts" for script in chosen[SCRIPTS_MAX:]}
    return chosen[:SCRIPTS_MAX], left_out


def _kind(name: str) -> Kind | None:
    for kind, pattern in _NAMES:
        if pattern.fullmatch(name):
            return kind
    return None


def _unfit(script: Script, scripts: Mapping[str, Any]) -> str:
    if _ENDLESS.search(script.command):
        return "it watches for changes"
    if _CHANGES.search(script.command):
        return "it changes files instead of checking them"
    if script.kind == "format" and not _COMPARES.search(script.command):
        return "it formats instead of checking the format"
    if script.kind == "check" and _MORE.search(script.command):
        return "it runs tests or a build as well"
    # Where there is a whole, its parts are in it: `lint` often calls each `lint:…`.
    whole, _, part = script.name.partition(":")
    command, kind = scripts.get(whole), _kind(whole)
    if not part or kind is None or not isinstance(command, str) or _unfit(Script(whole, command, kind), {}):
        return ""
    calls = re.search(rf"\b{re.escape(whole)}:(\*|{re.escape(part)}(?![\w:-]))", command)
    return f"{whole} runs it" if calls else ""


def manager(package: Mapping[str, Any], root: Path, environment: Mapping[str, str]) -> str:
    """`npm`, or the package manager that the package names where it is here and can run scripts without a network."""
    named = str(package.get("packageManager", "")).partition("@")[0]
    by_lock = next((name for lock, name in _LOCKS if (root / lock).is_file()), "npm")
    wanted = named if named in ("npm", "pnpm", "yarn") else by_lock
    if wanted == "npm" or shutil.which(wanted) is None:
        return "npm"
    # A shim that would first download the real one fails here. Yarn from 2 on wants its own kind of installation.
    version = suite.run([wanted, "--version"], root, environment, PROBE_TIMEOUT_S)
    usable = version.code == 0 and (wanted == "pnpm" or version.tail.startswith("1."))
    return wanted if usable else "npm"


def argv(runner: str, script: str) -> list[str]:
    """The command line that runs a script and prints nothing of its own."""
    return ["npm", "run", "--silent", script] if runner == "npm" else [runner, "--silent", "run", script]
