"""Findings in what checkers of JavaScript and TypeScript print: the formats in which each says path and line.

Known: eslint (stylish, unix), standard and xo, tsc (plain and pretty), prettier --check, biome (default and GitHub).
Sources: the formatters of those projects. A line in none of these formats is passed over.
"""

import re
from collections.abc import Callable, Iterator

from actors.services.tools.analysis.findings import finding
from protocol.tools import Finding, Severity

LINE_CHARS_MAX = 2_000  # a longer line is no report by a checker
PROBLEM: Severity = "medium"
REMARK: Severity = "low"
UNFORMATTED = "is not formatted as the project wants it"

_HEADING = re.compile(r"^(?P<path>\S.*\.\w{1,8})$")
_STYLISH = re.compile(r"^ +(?P<line>\d+):\d+ +(?P<grade>error|warning|[✖⚠]) +(?P<said>.+?)(?: {2,}(?P<rule>\S+))?$")
_UNIX = re.compile(
    r"^ *(?P<path>[^\s:][^:]*\.\w{1,8}):(?P<line>\d+):\d+: (?P<said>.+?)"
    r"(?: \[(?:(?P<grade>Error|Warning)/?)?(?P<rule>[^\]\s]*)\]| \((?P<rule2>[@\w/-]+)\))$"
)
_TSC = re.compile(
    r"^(?P<path>[^\s(][^(]*)\((?P<line>\d+),\d+\): (?P<grade>error|warning) (?P<rule>TS\d+): (?P<said>.+)$"
)
_TSC_PRETTY = re.compile(
    r"^(?P<path>[^\s:][^:]*):(?P<line>\d+):\d+ - (?P<grade>error|warning) (?P<rule>TS\d+): (?P<said>.+)$"
)
_TSC_GLOBAL = re.compile(r"^(?P<grade>error) (?P<rule>TS\d+): (?P<said>.+)$")
_PRETTIER = re.compile(r"^\[(?P<grade>warn|error)\] (?P<said>(?P<path>[^:]+\.\w{1,8})(?:: .+)?)$")
_GITHUB = re.compile(r"^::(?P<grade>error|warning|notice) (?P<fields>[^:]*(?::(?!:)[^:]*)*)::(?P<said>.+)$")
_BIOME = re.compile(
    r"^(?P<path>[^\s:][^:]*?)(?::(?P<line>\d+):\d+)? "
    r"(?P<rule>(?:lint|assist|suppressions)/[\w/]+|format|parse|organizeImports)\b.*━━"
)
_BIOME_SAID = re.compile(r"^ +(?P<grade>[×✖!ℹi]) (?P<said>.+)$")
_GRAVE = frozenset({"error", "Error", "✖", "×"})

Place = Callable[[str], str]
"""A path as a checker printed it → relative to the checkout, "" where it names no file there."""


def read(output: str, place: Place) -> Iterator[Finding]:
    """Every finding in the output, in its order. Errors are `medium`, warnings and layout `low`."""
    heading = ""
    pending: re.Match[str] | None = None  # biome says place and rule first, grade and message below
    for raw in output.splitlines():
        line = raw.rstrip()
        if not line or len(line) > LINE_CHARS_MAX:
            continue
        found = _STYLISH.match(line)
        if found and heading:
            yield _made(found, place(heading))
            continue
        said = _BIOME_SAID.match(line)
        if pending and said:
            layout = pending["rule"] == "format"  # What follows is the file as it should be.
            grave: Severity = PROBLEM if said["grade"] in _GRAVE and not layout else REMARK
            text = UNFORMATTED if layout else said["said"]
            yield _finding(grave, pending["rule"], text, place(pending["path"]), pending["line"] or "0")
            pending = None
            continue
        pending = _BIOME.match(line) or pending
        made = _one_line(line, place)
        if made:
            yield made
            continue
        found = _HEADING.match(line)
        heading = found["path"] if found else heading


def _one_line(line: str, place: Place) -> Finding | None:
    """The finding of a line that says all by itself."""
    for form in (_TSC, _TSC_PRETTY, _UNIX):
        found = form.match(line)
        if found:
            return _made(found, place(found["path"]))
    found = _TSC_GLOBAL.match(line)
    if found:
        return finding(PROBLEM, found["rule"], found["said"])
    found = _PRETTIER.match(line)
    if found and place(found["path"]):
        broken = found["grade"] == "error"
        said, severity = (found["said"], PROBLEM) if broken else (UNFORMATTED, REMARK)
        at = re.search(r"\((\d+):\d+\)$", said)
        return _finding(severity, "prettier", said, place(found["path"]), at[1] if at else "0")
    found = _GITHUB.match(line)
    if found:
        fields: dict[str, str] = {}
        for part in found["fields"].split(","):
            name, _, value = part.partition("=")
            fields[name.strip()] = value.strip()
        severity = PROBLEM if found["grade"] == "error" else REMARK
        rule = fields.get("title") or "check"
        return _finding(severity, rule, found["said"], place(fields.get("file", "")), fields.get("line", "0"))
    return None


def _made(found: re.Match[str], path: str) -> Finding:
    parts = found.groupdict()
    # `unix` may leave the grade out; what a linter prints without one is an error.
    severity = PROBLEM if (parts.get("grade") or "error") in _GRAVE else REMARK
    rule = parts.get("rule") or parts.get("rule2") or "syntax"
    return _finding(severity, rule, found["said"], path, found["line"])


def _finding(severity: Severity, rule: str, said: str, path: str, line: str) -> Finding:
    number = int(line) if line.isdecimal() and len(line) <= 9 else 0
    return finding(severity, rule[:100], said, path, number if path else 0)
