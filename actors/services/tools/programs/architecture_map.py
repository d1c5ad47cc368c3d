"""architecture.map: the modules of a checkout and what they import, measured and drafted as a decision record.

Python is read from its syntax tree, JavaScript and TypeScript by a scan of their import statements; other languages are
counted by file and line. Nothing is imported or run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.services.tools.analysis import architecture_record, entry_points, graph, python_code
from actors.services.tools.analysis.findings import bounded, finding, noun, severity_facts
from actors.services.tools.analysis.modules import Module, read
from actors.services.tools.analysis.overview import Overview, grouped
from actors.services.tools.analysis.sources import is_generated, is_template, is_test, language
from actors.services.tools.programs.checkout import TextFile, text_files
from protocol.tools import Finding, ProducedFile, ToolInput, ToolResult

MODULES_MAX = 5_000  # mapped; a larger repository is mapped in part, and the fact `modules_omitted` says so
LISTED_MAX = 300  # modules and edges in `data`, for the tools that build on this one
MODULE_LINES_MAX = 1_000  # a longer module is worth a remark
RECORD_PATH = "adr/0001-architecture-as-found.md"


@dataclass(frozen=True, slots=True)
class _Code:
    """What the checkout's source files are by count: files and lines of each language."""

    files: Mapping[str, int]
    lines: Mapping[str, int]


def run(given: ToolInput) -> ToolResult:
    """Map the checkout. Not applicable where there is no source file of a known language."""
    texts = [file for file in text_files(given.source) if not is_generated(file.path)]
    code = _count(texts)
    if not code.files:
        return ToolResult("not_applicable", "no source files in a known programming language")
    found = read(texts)
    modules, omitted = found[:MODULES_MAX], max(0, len(found) - MODULES_MAX)
    entries = entry_points.declared(texts) + [
        (module.name, module.entry_point) for module in modules if module.entry_point and not module.test
    ]
    overview = _overview(modules, code, entries)
    findings = _findings(modules, overview.cycles)
    languages = ", ".join(sorted(code.files, key=lambda name: (-code.lines[name], name)))
    facts = {
        "modules": len(modules),
        "test_modules": sum(module.test for module in modules),
        "packages": len(overview.packages),
        "internal_imports": overview.internal_imports,
        "external_packages": len(overview.external),
        "cycles": len(overview.cycles),
        "files": sum(code.files.values()),
        "lines": sum(code.lines.values()),
        "languages": languages,
        "entry_points": len(entries),
        "syntax_errors": sum(module.broken is not None for module in modules),
        "modules_omitted": omitted,
    }
    record, diagram = architecture_record.compose(given, overview, facts)
    summary = (
        f"{noun(len(modules), 'module')} in {noun(len(overview.packages), 'package')}, "
        f"{noun(overview.internal_imports, 'internal import')}, {noun(len(overview.cycles), 'import cycle')} "
        f"({languages})"
    )
    return ToolResult(
        "ok",
        summary,
        facts=facts | severity_facts(findings),
        findings=bounded(findings),
        files=(ProducedFile(RECORD_PATH, "text/markdown", record.encode("utf-8", "replace")),),
        data=_data(overview, diagram),
    )


def _count(texts: Sequence[TextFile]) -> _Code:
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for file in texts:
        name = language(file.path)
        if not name and file.executable and file.text.startswith("#!"):
            name = _by_shebang(file.text.partition("\n")[0])
        if name:
            files[name] += 1
            lines[name] += file.text.count("\n") + (not file.text.endswith("\n") and bool(file.text))
    return _Code(files, lines)


def _by_shebang(line: str) -> str:
    for word, name in (
        ("python", "Python"),
        ("node", "JavaScript"),
        ("sh", "Shell"),
        ("ruby", "Ruby"),
        ("perl", "Perl"),
    ):
        if word in line:
            return name
    return ""


def _overview(modules: Sequence[Module], code: _Code, entries: Sequence[tuple[str, str]]) -> Overview:
    by_path = {module.path: module for module in modules}
    edges = {module.path: frozenset(target for target in module.all_imports if target in by_path) for module in modules}
    loading = {module.path: frozenset(target for target in module.imports if target in by_path) for module in modules}
    return Overview(
        modules=tuple(modules),
        edges=edges,
        cycles=tuple(graph.cycles(loading)),
        degrees={path: (fan_in, fan_out) for path, fan_in, fan_out in graph.degrees(edges)},
        external=Counter(name for module in modules for name in module.external),
        entry_points=tuple(dict.fromkeys(entries)),
        files=dict(code.files),
        lines=dict(code.lines),
    )


def _findings(modules: Sequence[Module], cycles: Sequence[tuple[str, ...]]) -> list[Finding]:
    names = {module.path: module.name for module in modules}
    found: list[Finding] = []
    for cycle in cycles:
        chain = " → ".join(names[path] for path in (*cycle, cycle[0]))
        found.append(finding("medium", "import-cycle", f"modules import one another when loaded: {chain}", cycle[0]))
    for module in modules:
        if module.broken is not None:
            apart = is_test(module.path) or is_template(module.path)
            found.append(
                finding(
                    "low" if apart else "high",
                    "syntax-error",
                    f"does not parse as Python {python_code.VERSION}: {module.broken.reason}"
                    + (" (test data or a template: may be meant so)" if apart else ""),
                    module.path,
                    module.broken.line,
                )
            )
        if module.lines > MODULE_LINES_MAX and not module.test:
            message = f"{module.lines} lines, more than {MODULE_LINES_MAX}: hard to hold in the head"
            found.append(finding("low", "large-module", message, module.path))
    return found


def _data(overview: Overview, diagram: str) -> dict[str, object]:
    names = {module.path: module.name for module in overview.modules}
    groups = grouped(overview)
    return {
        "mermaid": diagram,
        "packages": [
            {"name": name, "modules": len(paths), "lines": sum(overview.module(path).lines for path in paths)}
            for name, paths in sorted(overview.packages.items())
        ][:LISTED_MAX],
        "groups": sorted(groups.members)[:LISTED_MAX],
        "modules": [
            {
                "name": module.name,
                "path": module.path,
                "lines": module.lines,
                "test": module.test,
                "fan_in": overview.degrees[module.path][0],
                "fan_out": overview.degrees[module.path][1],
            }
            for module in sorted(overview.modules, key=lambda module: (-module.lines, module.path))[:LISTED_MAX]
        ],
        "cycles": [[names[path] for path in cycle] for cycle in overview.cycles[:LISTED_MAX]],
        "external": sorted(overview.external)[:LISTED_MAX],
        "entry_points": [{"name": name, "kind": kind} for name, kind in overview.entry_points[:LISTED_MAX]],
        "languages": {name: {"files": overview.files[name], "lines": overview.lines[name]} for name in overview.files},
    }
