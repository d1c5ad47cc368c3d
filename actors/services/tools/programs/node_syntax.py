"""Whether JavaScript files parse, by `node --check`: what is left where a package names no script that checks."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actors.services.tools.analysis.findings import finding
from actors.services.tools.analysis.sources import is_generated, is_template, is_test
from actors.services.tools.programs.checkout import TextFile, text_files
from protocol.tools import Finding

SUFFIXES = (".js", ".mjs", ".cjs")
FILES_MAX = 400  # looked at; the rest is counted
FILE_TIMEOUT_S = 10.0

_PLACE = re.compile(r"^(?:\[stdin\]|/.*|file://.*):(\d+)$", re.MULTILINE)
_SAID = re.compile(r"^SyntaxError: (.+)$", re.MULTILINE)
# A file that imports or exports is a module, whatever its package says: bundlers take it for one.
_EXCHANGES = re.compile(r"^(import\b(?!\s*[.(])|export\b)", re.MULTILINE)
# What Node says to other modules that it takes for CommonJS.
_MODULE = re.compile(r"outside a module|Unexpected token 'export'|import\.meta|await is only valid|reserved word")
# Not JavaScript by the standard: JSX, Flow's types, decorators. A compiler turns these into JavaScript first.
_DIALECT = re.compile(r"@flow\b|@jsx\b|</?[A-Za-z][\w.]*(\s[^<>]*)?/?>|<>|^\s*@\w+", re.MULTILINE)


@dataclass(slots=True)
class Looked:
    """What a look came to: files judged, those of a dialect, those that the bounds left out, and what is wrong."""

    checked: int = 0
    dialect: int = 0
    left_out: int = 0
    errors: int = 0  # in files that are not tests: tests may hold broken code on purpose
    findings: list[Finding] = field(default_factory=list[Finding])


def look(root: Path, environment: Mapping[str, str], limit_s: float) -> Looked:
    """Check every JavaScript file that people wrote, at most FILES_MAX and for `limit_s`. Needs `node`."""
    node = shutil.which("node")
    assert node is not None, "the caller looks for node first"
    looked = Looked()
    deadline = time.monotonic() + limit_s
    for file in text_files(root, suffixes=SUFFIXES):
        if is_generated(file.path) or is_template(file.path):
            continue
        if looked.checked + looked.dialect >= FILES_MAX or time.monotonic() >= deadline:
            looked.left_out += 1
            continue
        _note(looked, file, _wrong(node, file, environment))
    return looked


def _note(looked: Looked, file: TextFile, wrong: tuple[str, int] | None) -> None:
    if wrong and _DIALECT.search(file.text):
        looked.dialect += 1
        return
    looked.checked += 1
    if wrong:
        test = is_test(file.path)
        looked.errors += not test
        said = f"{wrong[0]} (in a test)" if test else wrong[0]
        looked.findings.append(finding("low" if test else "high", "syntax", said, file.path, wrong[1]))


def _wrong(node: str, file: TextFile, environment: Mapping[str, str]) -> tuple[str, int] | None:
    """What does not parse, and in which line; None where it parses, or where Node cannot say."""
    as_module = [node, "--input-type=module", "--check", "-"]
    if file.suffix == ".js" and _EXCHANGES.search(file.text):
        # Some versions of Node take a .js file that they find to be a module for granted without parsing the rest.
        refused = _check(as_module, file.text, file, environment)
    else:
        refused = _check([node, "--check", str(file.location)], "", file, environment)
        if file.suffix == ".js" and _MODULE.search(refused):
            refused = _check(as_module, file.text, file, environment)
    said = _SAID.search(refused)
    if said is None:
        return None
    line = _PLACE.search(refused)
    return f"does not parse: {said[1]}", int(line[1]) if line else 0


def _check(argv: list[str], text: str, file: TextFile, environment: Mapping[str, str]) -> str:
    """What Node prints about a file; "" where it takes it, or does not answer in time."""
    try:
        done = subprocess.run(
            argv,
            cwd=file.location.parent,
            env=dict(environment),
            input=text.encode("utf-8", "replace"),
            capture_output=True,
            timeout=FILE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stderr.decode("utf-8", "replace") if done.returncode else ""
