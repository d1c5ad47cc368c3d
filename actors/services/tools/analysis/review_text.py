"""What a reviewer would remark in any text: reported by path and line for the lines that were added."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from actors.services.tools.analysis.findings import finding
from actors.services.tools.analysis.sources import SCRIPT_SUFFIXES, is_generated, is_test, language
from protocol.tools import Finding, Severity

LINE_CHARS_MAX = 200


class _Pattern(NamedTuple):
    pattern: re.Pattern[str]
    severity: Severity
    rule: str
    message: str


_MARK = re.compile(r"(?:#|//|/\*|<!--|--|;|^\s*\*)[^\n]*?\b(TODO|FIXME|XXX|HACK)\b[:( ]?\s*(.*)")
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7})( |$)")

_SCRIPTS = (
    _Pattern(re.compile(r"^\s*debugger\s*;?\s*$"), "medium", "debugger", "stops in a debugger"),
    _Pattern(re.compile(r"(?<![\w.])eval\s*\("), "high", "dynamic-code", "runs a text as code by eval()"),
    _Pattern(re.compile(r"\bnew\s+Function\s*\("), "high", "dynamic-code", "makes a function of a text"),
)
_SCRIPT_OUTPUT = _Pattern(
    re.compile(r"\bconsole\.(log|debug|trace|dir)\s*\("), "info", "print", "prints to the console: left from debugging?"
)
_ONLY = _Pattern(
    re.compile(r"\b(it|test|describe|suite)\.only\s*\("),
    "medium",
    "focused-test",
    "runs only this test: all others are skipped unseen",
)
_RUBY = _Pattern(re.compile(r"\bbinding\.(pry|irb)\b"), "medium", "debugger", "stops in a debugger")


def review(path: str, added: Mapping[int, str]) -> Iterator[Finding]:
    """Remarks on added lines of a text file: conflict marks, notes to do, overlong lines, leftovers of debugging."""
    suffix = "." + path.rsplit(".", 1)[-1].lower() if "." in path else ""
    code = bool(language(path))
    patterns = list(_patterns(path, suffix))
    for line, text in sorted(added.items()):
        if _CONFLICT.match(text):
            yield finding("high", "conflict-marker", "a mark of an unresolved merge conflict", path, line)
        if is_generated(path) or not code:
            continue
        mark = _MARK.search(text)
        if mark:
            yield finding("info", "todo", f"{mark[1]}: {mark[2].strip() or 'no text'}", path, line)
        if len(text) > LINE_CHARS_MAX:
            yield finding("low", "long-line", f"{len(text)} characters, more than {LINE_CHARS_MAX}", path, line)
        if text.lstrip().startswith(("//", "*", "/*")):
            continue
        for each in patterns:
            if each.pattern.search(text):
                yield finding(each.severity, each.rule, each.message, path, line)


def _patterns(path: str, suffix: str) -> Iterator[_Pattern]:
    if suffix in SCRIPT_SUFFIXES:
        yield from _SCRIPTS
        if is_test(path):
            yield _ONLY
        elif not any(folder in ("bin", "scripts", "cli", "examples") for folder in path.split("/")[:-1]):
            yield _SCRIPT_OUTPUT
    elif suffix == ".rb":
        yield _RUBY
