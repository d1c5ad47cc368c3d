"""The architecture as found, written as a decision record in draft. Every number cites the tool call it came from."""

from collections.abc import Mapping, Sequence

from actors.services.tools.analysis import mermaid
from actors.services.tools.analysis.findings import noun
from actors.services.tools.analysis.overview import Groups, Overview, grouped
from actors.services.tools.composing.citing import citation, plain, table
from protocol.tools import Fact, ToolInput

ROWS_MAX = 10  # of each table; the rest is counted


def compose(given: ToolInput, overview: Overview, facts: Mapping[str, Fact]) -> tuple[str, str]:
    """The record as Markdown, and its Mermaid diagram by itself."""
    groups = grouped(overview)
    diagram, undrawn = mermaid.flowchart(sorted(groups.members), groups.edges, weights=groups.collapsed)
    cite = citation(given.call)
    parts = [
        f"# 1. Architecture as found\n\n- Status: Draft\n- Date: {given.at[:10]}\n- Task: {plain(given.title)}\n",
        _context(facts, cite),
        _structure(overview, groups, diagram, undrawn, cite),
        _decision(overview, cite),
        _consequences(overview, facts, cite),
    ]
    return "\n".join(parts), diagram


def _context(facts: Mapping[str, Fact], cite: str) -> str:
    broken = facts["syntax_errors"]
    return (
        "## Context\n\n"
        f"The repository holds {facts['files']} source files with {facts['lines']} lines {cite}, "
        f"in {facts['languages']} {cite}. Of these, {facts['modules']} are modules whose imports can be read {cite}, "
        f"{facts['test_modules']} of them tests {cite}.\n"
        + (f"\n{broken} of the modules do not parse and are counted without their imports {cite}.\n" if broken else "")
        + (
            f"\n{facts['modules_omitted']} further modules were not mapped: the map is bounded {cite}.\n"
            if facts["modules_omitted"]
            else ""
        )
    )


def _structure(overview: Overview, groups: Groups, diagram: str, undrawn: int, cite: str) -> str:
    languages = [
        (name, f"{overview.files[name]} {cite}", f"{overview.lines[name]} {cite}")
        for name in sorted(overview.files, key=lambda name: (-overview.lines[name], name))
    ]
    text = "## Observed structure\n\n" + table(("Language", "Files", "Lines"), languages)
    if overview.modules:
        text += f"\n```mermaid\n{diagram}```\n\n{_caption(groups, undrawn, cite)}\n"
        largest = sorted(overview.modules, key=lambda module: (-module.lines, module.path))[:ROWS_MAX]
        rows = [
            (
                _code(module.name),
                f"{module.lines} {cite}",
                f"{overview.degrees[module.path][0]} {cite}",
                f"{overview.degrees[module.path][1]} {cite}",
            )
            for module in largest
        ]
        text += "\n### Largest modules\n\n" + table(("Module", "Lines", "Imported by", "Imports"), rows)
        text += "\n### Most depended upon\n\n" + _most_imported(overview, cite)
    text += "\n### Entry points\n\n" + _listed([f"{_code(n)} ({kind})" for n, kind in overview.entry_points], cite)
    text += "\n### External packages\n\n" + _listed([_code(name) for name in sorted(overview.external)], cite)
    return text


def _caption(groups: Groups, undrawn: int, cite: str) -> str:
    nodes = "folders, with the number of imports on each arrow" if groups.collapsed else "modules"
    text = f"Nodes are {nodes}; tests are left out {cite}."
    return text + (f" {undrawn} lighter arrows are not drawn {cite}." if undrawn else "")


def _most_imported(overview: Overview, cite: str) -> str:
    ranked = sorted(overview.modules, key=lambda module: (-overview.degrees[module.path][0], module.path))[:ROWS_MAX]
    lines = [
        f"- {_code(module.name)}: imported by {overview.degrees[module.path][0]} {cite}"
        for module in ranked
        if overview.degrees[module.path][0]
    ]
    return "\n".join(lines or [f"No module imports another {cite}."]) + "\n"


def _listed(items: Sequence[str], cite: str) -> str:
    if not items:
        return f"None found {cite}.\n"
    shown = [f"- {item} {cite}" for item in items[:ROWS_MAX]]
    if len(items) > ROWS_MAX:
        shown.append(f"- and {len(items) - ROWS_MAX} more {cite}")
    return "\n".join(shown) + "\n"


def _decision(overview: Overview, cite: str) -> str:
    cycles = len(overview.cycles)
    if cycles:
        proposal = (
            f"Keep the structure, and remove {noun(cycles, 'import cycle')} {cite} before it grows: move what both "
            "sides need into a module that imports neither. Then hold the direction of imports by a check in CI."
        )
    elif overview.internal_imports:
        proposal = f"Keep the structure: imports have a direction, without a cycle {cite}. Hold it by a check in CI."
    else:
        proposal = f"Keep the structure: its modules do not depend on one another {cite}."
    return f"## Decision (proposed)\n\n{proposal}\n"


def _consequences(overview: Overview, facts: Mapping[str, Fact], cite: str) -> str:
    lines = ["- A change to a module reaches at most the modules that import it, directly or through others."]
    busiest = max(overview.modules, key=lambda module: (overview.degrees[module.path][0], module.path), default=None)
    if busiest is not None and overview.degrees[busiest.path][0] > 1:
        count = overview.degrees[busiest.path][0]
        lines.append(
            f"- {_code(busiest.name)} is imported by {count} modules {cite}: its interface is costly to change."
        )
    lines += [
        "- Cycle: " + " → ".join(_code(overview.module(path).name) for path in (*cycle, cycle[0])) + f" {cite}"
        for cycle in overview.cycles[:ROWS_MAX]
    ]
    if len(overview.cycles) > ROWS_MAX:
        lines.append(f"- and {len(overview.cycles) - ROWS_MAX} more cycles {cite}")
    if facts["external_packages"]:
        lines.append(
            f"- {facts['external_packages']} external packages are imported {cite}: each is somebody's to watch."
        )
    return "## Consequences\n\n" + "\n".join(lines) + "\n"


def _code(name: str) -> str:
    return "`" + plain(name).replace("`", "'") + "`"
