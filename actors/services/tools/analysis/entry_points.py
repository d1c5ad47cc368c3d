"""Where a program starts by its own manifests: pyproject.toml scripts, package.json bin and main, Go and Rust mains."""

import json
import posixpath
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from actors.services.tools.programs.checkout import TextFile

_GO_MAIN = re.compile(r"^package main\b", re.MULTILINE)


def declared(files: Sequence[TextFile]) -> list[tuple[str, str]]:
    """(name, kind) of every declared entry point, sorted; a manifest that does not parse declares none."""
    found: set[tuple[str, str]] = set()
    for file in files:
        if file.name == "pyproject.toml":
            found |= {(name, "console script") for name in _scripts(file.text)}
        elif file.name == "package.json":
            found |= _node(file.text)
        elif file.suffix == ".go" and _GO_MAIN.search(file.text) and "func main(" in file.text:
            found.add((posixpath.dirname(file.path) or ".", "Go main package"))
        elif file.path.endswith("src/main.rs"):
            found.add((file.path, "Rust main"))
    return sorted(found)


def _scripts(text: str) -> list[str]:
    try:
        project = tomllib.loads(text).get("project")
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    scripts: object = cast("Mapping[str, Any]", project).get("scripts") if isinstance(project, dict) else None
    return sorted(str(name) for name in cast("Mapping[str, Any]", scripts)) if isinstance(scripts, dict) else []


def _node(text: str) -> set[tuple[str, str]]:
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    if not isinstance(loaded, dict):
        return set()
    manifest = cast("Mapping[str, Any]", loaded)
    found: set[tuple[str, str]] = set()
    binaries = manifest.get("bin")
    if isinstance(binaries, str):
        found.add((binaries, "package.json bin"))
    elif isinstance(binaries, dict):
        found |= {(str(name), "package.json bin") for name in cast("Mapping[str, Any]", binaries)}
    if isinstance(manifest.get("main"), str):
        found.add((str(manifest["main"]), "package.json main"))
    return found
