"""The version a project states in its manifest at the root."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any, cast

from actors.services.tools.analysis.history import parse_version
from actors.services.tools.programs.checkout import read_text


def stated(source: str) -> str:
    """The version in pyproject.toml, Cargo.toml or package.json, the first that states one; "" when none does."""
    pyproject, cargo = _toml(source, "pyproject.toml"), _toml(source, "Cargo.toml")
    tables = (
        _table(pyproject.get("project")),
        _table(_table(pyproject.get("tool")).get("poetry")),
        _table(cargo.get("package")),
        _json(source, "package.json"),
    )
    for table in tables:
        version = table.get("version")
        if isinstance(version, str) and parse_version(version) is not None:
            return version
    return ""


def _toml(source: str, path: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_text(source, path) or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}  # What does not parse states nothing; dependencies.list reports it.


def _json(source: str, path: str) -> Mapping[str, Any]:
    try:
        return _table(json.loads(read_text(source, path) or "null"))
    except (ValueError, RecursionError):
        return {}


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
