"""security.scan: a static scan for dangerous constructs; nothing of the repository is imported or run.

Python is scanned by bandit, whose severities are put in proportion by the table below; JavaScript, TypeScript, shell,
Dockerfiles and GitHub workflows by a scan of their lines. Secrets are the matter of secrets.scan.
"""

from collections.abc import Mapping, Sequence

from actors.services.tools.analysis import bandit_scan, hazards, python_code, untrusted
from actors.services.tools.analysis.findings import (
    bounded,
    finding,
    lowered,
    noun,
    omission,
    section,
    severity_facts,
)
from actors.services.tools.analysis.sources import is_generated, is_test
from actors.services.tools.composing.citing import citation, plain, table
from actors.services.tools.programs.checkout import TextFile, text_files
from protocol.tools import SEVERITIES, Fact, Finding, ProducedFile, Severity, ToolInput, ToolResult

PYTHON_FILES_MAX = 5_000
BANDIT_SECONDS_MAX = 30.0  # half of the tool's time: the rest reads files and writes the report
REPORT_PATH = "security.md"

_BY_BANDIT: Mapping[str, Severity] = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low"}

_PROPORTION: Mapping[str, tuple[Severity, str]] = {
    # test → the severity it has here, and why it is not bandit's own
    "B101": ("info", "an assert is a hazard only where input is checked by it"),
    "B105": ("info", "secrets.scan judges literals by their form and entropy"),
    "B106": ("info", "secrets.scan judges literals by their form and entropy"),
    "B107": ("info", "secrets.scan judges literals by their form and entropy"),
    "B108": ("low", "a path below /tmp is a hazard only where its name can be guessed and taken first"),
    "B202": ("medium", "unpacking is dangerous only for archives from elsewhere"),
    "B311": ("info", "pseudo-random numbers are a hazard only where they guard something"),
    "B324": ("medium", "most uses of weak hashes are checksums"),
    "B603": ("info", "a process started without a shell, from a list of arguments"),
    "B606": ("info", "a process started without a shell, from a list of arguments"),
    "B607": ("info", "a program found on the PATH on purpose"),
    "B701": ("medium", "unescaped templates are a hazard only for HTML"),
}
_IMPORTS: tuple[Severity, str] = ("info", "an import is no use of it; the use is reported")
_DEFAULT_WHY = "as bandit rates it"
_GRAVE_TESTS = frozenset({"B102", "B301", "B302", "B307", "B506", "B602", "B604", "B605"})
"""Tests whose finding is critical where `untrusted` sees foreign data or a put-together command at the same call."""


def run(given: ToolInput) -> ToolResult:
    """Scan the checkout. Not applicable where no file is of a kind the scan knows."""
    python: list[TextFile] = []
    other: list[TextFile] = []
    for file in text_files(given.source):
        if is_generated(file.path):
            continue
        if file.suffix == ".py" or (file.text.startswith("#!") and "python" in file.text.partition("\n")[0]):
            python.append(file)
        elif hazards.applies(file.path):
            other.append(file)
    if not python and not other:
        said = "no files that the scan knows: Python, JavaScript, TypeScript, shell, Dockerfiles, workflows"
        return ToolResult("not_applicable", said)
    scan = bandit_scan.scan(python[:PYTHON_FILES_MAX], BANDIT_SECONDS_MAX)
    not_scanned = scan.not_reached + max(0, len(python) - PYTHON_FILES_MAX)
    found = _rated(scan.issues, {file.path: file.text for file in python})
    for file in other:
        found += hazards.scan(file)
    found += [
        finding("low", "not-scanned", f"does not parse as Python {python_code.VERSION}: not scanned", path)
        for path in scan.unparsable
    ]
    if not_scanned:
        said = f"{noun(not_scanned, 'Python file')} not scanned: the scan is bounded in time and number of files"
        found.append(finding("medium", "scan-incomplete", said))
    facts: dict[str, Fact] = severity_facts(found) | {
        "files_scanned": scan.scanned + len(other),
        "python_files_scanned": scan.scanned,
        "other_files_scanned": len(other),
        "files_not_scanned": not_scanned + len(scan.unparsable),
        "nosec": scan.nosec,
        "bandit_version": bandit_scan.VERSION,
        "complete": not not_scanned,
    }
    worst = ", ".join(f"{facts[severity]} {severity}" for severity in reversed(SEVERITIES) if facts[severity])
    summary = f"{noun(scan.scanned + len(other), 'file')} scanned: {worst or 'no findings'}"
    if not_scanned:
        summary += f"; {noun(not_scanned, 'file')} not scanned, the scan is bounded"
    page = _page(given, found, facts)
    return ToolResult(
        "ok",
        summary,
        facts=facts,
        findings=bounded(found),
        files=(ProducedFile(REPORT_PATH, "text/markdown", page.encode("utf-8", "replace")),),
    )


def _rated(issues: Sequence[bandit_scan.Issue], texts: Mapping[str, str]) -> list[Finding]:
    found: list[Finding] = []
    grave: dict[str, Sequence[untrusted.Grave]] = {}
    for issue in issues:
        test = is_test(issue.path)
        if test and issue.test == "B101":
            continue  # A test asserts.
        severity, message = _severity(issue), issue.text
        if issue.test in _GRAVE_TESTS:
            if issue.path not in grave:
                tree = python_code.parse(texts[issue.path])
                grave[issue.path] = [] if isinstance(tree, python_code.Unparsable) else untrusted.grave_calls(tree)
            why = next((each.why for each in grave[issue.path] if each.first <= issue.line <= each.last), "")
            if why:
                severity, message = "critical", why
        if test:
            severity, message = _in_test(severity), f"{message} (in a test: rated lower)"
        found.append(finding(severity, issue.test, message, issue.path, issue.line))
    return found


def _severity(issue: bandit_scan.Issue) -> Severity:
    severity = _BY_BANDIT.get(issue.severity, "info")
    if issue.test.startswith("B4"):
        # Imports of what is mostly unsafe (telnet, pycrypto) stay a remark of their own.
        return "medium" if severity == "high" else _IMPORTS[0]
    if issue.test in _PROPORTION:
        return _PROPORTION[issue.test][0]
    return lowered(severity) if issue.confidence == "LOW" else severity


def _in_test(severity: Severity) -> Severity:
    """Tests run on a developer's machine with the developer's data: nothing there is worse than medium."""
    return "medium" if severity in ("critical", "high") else lowered(severity)


def _page(given: ToolInput, found: Sequence[Finding], facts: Mapping[str, Fact]) -> str:
    cite = citation(given.call)
    counts = [(severity, f"{facts[severity]} {cite}") for severity in reversed(SEVERITIES)]
    listed = bounded(found)
    parts = [
        f"# Security scan\n\nTask: {plain(given.title)}\n",
        f"Scanned {facts['python_files_scanned']} Python files with bandit {facts['bandit_version']} {cite} and "
        f"{facts['other_files_scanned']} other files by patterns {cite}. "
        f"{facts['files_not_scanned']} files could not be scanned {cite}. "
        f"{facts['nosec']} findings are marked `# nosec` in the code and not reported {cite}.\n",
        table(("Severity", "Findings"), counts),
    ]
    for severity in reversed(SEVERITIES):
        some = [each for each in listed if each.severity == severity]
        if some:
            parts.append(section(severity.capitalize(), some, given.call, ""))
    parts.append(omission(found, given.call))
    parts.append(_reasons())
    return "\n".join(part for part in parts if part)


def _reasons() -> str:
    rows = [(f"`{test}`", severity, why) for test, (severity, why) in sorted(_PROPORTION.items())]
    rows.append(("`B4xx`", _IMPORTS[0], _IMPORTS[1]))
    rows.append(("all others", "bandit's", f"{_DEFAULT_WHY}; where it is not sure, lower by a level"))
    grave = "Critical is what runs or rebuilds foreign data, and shell commands put together from values."
    return f"## How findings are rated\n\n{grave} In tests nothing is rated above medium.\n\n" + table(
        ("Test", "Severity here", "Why"), rows
    )
