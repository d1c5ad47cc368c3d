"""Whether JSON, TOML and YAML files can be read: the problem by line, or nothing.

JSON with comments or trailing commas is what some tools read from files of certain names; elsewhere it is a remark. A
template of a data file need not be valid by itself, and a file of JSON lines is valid line by line.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

SUFFIXES = frozenset({".json", ".jsonc", ".json5", ".webmanifest", ".geojson", ".toml", ".yaml", ".yml"})
PLAIN_YAML_BYTES_MAX = 100_000  # parsed where PyYAML has no C parser, which is a hundred times as fast

_LOADER: Any = getattr(yaml, "CSafeLoader", None)
_TEMPLATE = re.compile(r"\{\{|\{%|<%|^\s*[#%@](if|for|each|include)\b|\$\{\{", re.MULTILINE)
_COMMENTED = re.compile(
    r"(^|/)((ts|js)config[\w.-]*|\.eslintrc|\.swcrc|\.babelrc|devcontainer|deno|biome|api-extractor|nx|turbo|renovate)"
    r"(\.json)?$|(^|/)\.(vscode|devcontainer|zed|changeset|mocharc|jshintrc)[/.]|\.(jsonc|json5)$"
)
# What is never closed is taken to its end: a file full of openings must not be searched once for each of them.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"?|//[^\n]*|/\*.*?(?:\*/|\Z)|,(?=\s*[\]}])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a file cannot be read. `lenient`: only a strict parser refuses it (comments, trailing commas)."""

    format: str
    message: str
    line: int
    lenient: bool = False


def check(path: str, text: str) -> Broken | None:
    """What is wrong with a data file; None when it can be read, is a template, or is in no format known here."""
    suffix = PurePosixPath(path.lower()).suffix
    body = text.removeprefix("\ufeff")
    try:
        if suffix == ".toml":
            broken = _toml(body)
        elif suffix in (".yaml", ".yml"):
            broken = _yaml(body)
        elif suffix in SUFFIXES:
            broken = _json(path.lower(), body)
        else:
            return None
    except RecursionError:
        return None  # Nested deeper than a parser here can follow: not known to be broken.
    return None if broken and _TEMPLATE.search(text) else broken


def _toml(text: str) -> Broken | None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        said = re.sub(r" \(at [^)]*\)$", "", str(error))
        return Broken("TOML", said, int(place[1]) if place else text.count("\n") + 1)
    return None


def _yaml(text: str) -> Broken | None:
    if _LOADER is None and len(text) > PLAIN_YAML_BYTES_MAX:
        return None
    try:
        # Events only: nothing is built, so that neither tags nor aliases can do harm.
        for _ in yaml.parse(text, Loader=_LOADER or yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return Broken("YAML", error.problem or str(error.context or "cannot be read"), line)
    except yaml.YAMLError as error:
        return Broken("YAML", str(error).splitlines()[0], 0)
    return None


def _json(path: str, text: str) -> Broken | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if _readable(_strict(text)):
            return None if _COMMENTED.search(path) else Broken("JSON", error.msg, error.lineno, lenient=True)
        lines = [line for line in text.splitlines() if line.strip()]
        if path.endswith(".json5") or (len(lines) > 1 and all(_readable(line) for line in lines)):
            return None
        return Broken("JSON", error.msg, error.lineno)
    except ValueError as error:  # A number longer than Python converts: readable all the same.
        return None if "digits" in str(error) else Broken("JSON", str(error), 0)
    return None


def _strict(text: str) -> str:
    """The text without comments and trailing commas, as a tolerant parser sees it."""

    def kept(token: re.Match[str]) -> str:
        return token[0] if token[0].startswith('"') else " "

    # Twice: a comment may stand between a trailing comma and the bracket.
    return _TOKEN.sub(kept, _TOKEN.sub(kept, text))


def _readable(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
