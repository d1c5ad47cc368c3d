"""Dangerous constructs in files that are not Python, by their lines: scripts, shell, Dockerfiles, workflows."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from actors.services.tools.analysis.findings import finding, lowered
from actors.services.tools.analysis.sources import SCRIPT_SUFFIXES, is_test
from actors.services.tools.programs.checkout import TextFile
from protocol.tools import Finding, Severity

LINE_CHARS_MAX = 1_000  # a longer line is a bundle, not something people wrote


class _Hazard(NamedTuple):
    pattern: re.Pattern[str]
    severity: Severity
    rule: str
    message: str


_PIPED = _Hazard(
    re.compile(r"\b(curl|wget)\b[^|;&\n]*\|\s*(sudo\s+)?(ba|z|da)?sh\b"),
    "medium",
    "download-to-shell",
    "runs what it downloads without looking at it",
)
_SCRIPTS = (
    _Hazard(re.compile(r"(?<![\w.$])eval\s*\(\s*[^\s\"'`)]"), "high", "eval", "runs a computed text as code"),
    _Hazard(re.compile(r"\bnew\s+Function\s*\("), "high", "new-function", "makes a function of a text"),
    _Hazard(
        re.compile(r"\b(exec|execSync)\s*\(\s*(`[^`]*\$\{|[\"'][^\"'\n]*[\"']\s*\+)"),
        "high",
        "shell-command",
        "hands a command put together from values to the shell",
    ),
    _Hazard(
        re.compile(r"\.(innerHTML|outerHTML)\s*=(?!=|\s*[\"'][^\"']*[\"']\s*;?\s*$)|\bdocument\.write(ln)?\s*\("),
        "medium",
        "html-injection",
        "writes a computed text as HTML",
    ),
    _Hazard(re.compile(r"\bdangerouslySetInnerHTML\b|\bv-html="), "medium", "html-injection", "writes a value as HTML"),
    _Hazard(re.compile(r"rejectUnauthorized\s*:\s*false"), "high", "no-tls-check", "accepts any TLS certificate"),
)
_SHELL = (
    _PIPED,
    _Hazard(re.compile(r"(^|[;&|]\s*)\s*eval\s+[\"']?\$"), "low", "eval", "runs a variable as a command"),
    _Hazard(re.compile(r"\bchmod\s+(-R\s+)?0?777\b"), "low", "world-writable", "lets everybody write"),
    _Hazard(re.compile(r"\bcurl\b[^\n]*\s(-k|--insecure)\b"), "medium", "no-tls-check", "accepts any TLS certificate"),
)
_DOCKER = (
    _PIPED,
    _Hazard(
        re.compile(r"^\s*ADD\s+https?://", re.IGNORECASE), "low", "add-from-network", "adds a file unchecked by hash"
    ),
    _Hazard(
        re.compile(r"^\s*(ENV|ARG)\s+\w*(PASSWORD|SECRET|TOKEN|API_?KEY)\w*[= ]\S", re.IGNORECASE),
        "medium",
        "secret-in-image",
        "a secret given this way stays in the image",
    ),
)
_WORKFLOW_INPUT = _Hazard(
    re.compile(r"\$\{\{[^}]*\bgithub\.(event\.(issue|pull_request|comment|review|head_commit)\.[\w.]*(title|body|message|ref)|head_ref)"),
    "high",
    "workflow-injection",
    "puts a text that strangers choose into a workflow's script",
)  # fmt: skip


def applies(path: str) -> bool:
    """Whether this scan knows the kind of file."""
    return _kind(path) != ""


def scan(file: TextFile) -> Iterator[Finding]:
    """The hazards of one file; those in tests are one level lower."""
    kind = _kind(file.path)
    lines = file.text.split("\n")
    hazards = {"script": _SCRIPTS, "shell": _SHELL, "docker": _DOCKER, "workflow": (_PIPED,)}.get(kind, ())
    found: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_CHARS_MAX or line.lstrip().startswith(("#", "//", "*", "/*")):
            continue
        found += [
            finding(hazard.severity, hazard.rule, hazard.message, file.path, number)
            for hazard in hazards
            if hazard.pattern.search(line)
        ]
    if kind == "docker":
        found += _user(file, lines)
    if kind == "workflow":
        found += _workflow(file, lines)
    for each in found:
        yield (
            each
            if not is_test(file.path)
            else finding(
                lowered(each.severity), each.rule, f"{each.message} (in a test: one level lower)", each.path, each.line
            )
        )


def _kind(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    suffix = "." + name.rsplit(".", 1)[-1] if "." in name else ""
    if suffix in SCRIPT_SUFFIXES:
        return "script"
    if suffix in (".sh", ".bash", ".zsh"):
        return "shell"
    if name in ("dockerfile", "containerfile") or name.startswith("dockerfile.") or suffix == ".dockerfile":
        return "docker"
    return "workflow" if path.startswith(".github/workflows/") and suffix in (".yml", ".yaml") else ""


def _user(file: TextFile, lines: list[str]) -> Iterator[Finding]:
    users = [
        (number, line.split()[1]) for number, line in enumerate(lines, start=1) if re.match(r"(?i)\s*USER\s+\S", line)
    ]
    if not users:
        yield finding("low", "root-user", "the image runs as root: no USER is set", file.path)
    elif users[-1][1].split(":")[0] in ("root", "0"):
        yield finding("medium", "root-user", "the image runs as root by its last USER", file.path, users[-1][0])


def _workflow(file: TextFile, lines: list[str]) -> Iterator[Finding]:
    """Strangers' texts in `run:` scripts; elsewhere (env, with) they are data."""
    script_indent: int | None = None
    for number, line in enumerate(lines, start=1):
        indent = len(line) - len(line.lstrip())
        start = re.match(r"\s*(-\s+)?run\s*:", line)
        if start:
            script_indent = indent + len(start[1] or "")
        elif line.strip() and script_indent is not None and indent <= script_indent:
            script_indent = None
        if script_indent is not None and _WORKFLOW_INPUT.pattern.search(line):
            yield finding(_WORKFLOW_INPUT.severity, _WORKFLOW_INPUT.rule, _WORKFLOW_INPUT.message, file.path, number)
