"""Mermaid flowcharts of a graph, whatever its names are: ids are ours, labels are quoted and defused."""

from collections.abc import Mapping, Sequence

EDGES_MAX = 200  # Mermaid refuses beyond 500; long before that nobody can read it.
LABEL_CHARS_MAX = 60

_ESCAPES = {
    '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "#": "#35;", "`": "#96;", "[": "#91;", "]": "#93;",
    "\\": "#92;",
    "%": "#37;",  # %%{…}%% anywhere in a diagram is a directive to Mermaid itself
}  # fmt: skip


def flowchart(nodes: Sequence[str], edges: Mapping[tuple[str, str], int], *, weights: bool = False) -> tuple[str, int]:
    """A flowchart of the names and the EDGES_MAX heaviest edges between them, and how many edges it leaves out.

    With `weights` each edge carries its number. Edges to names that are no nodes and of a node to itself are not drawn.
    """
    ids = {name: f"n{number}" for number, name in enumerate(nodes)}
    drawable = [
        (weight, source, target)
        for (source, target), weight in edges.items()
        if source in ids and target in ids and source != target
    ]
    heaviest = sorted(drawable, key=lambda edge: (-edge[0], edge[1], edge[2]))[:EDGES_MAX]
    lines = ["flowchart LR"]
    lines += [f'    {ids[name]}["{label(name)}"]' for name in nodes]
    for weight, source, target in sorted(heaviest, key=lambda edge: (edge[1], edge[2])):
        arrow = f"-->|{weight}|" if weights else "-->"
        lines.append(f"    {ids[source]} {arrow} {ids[target]}")
    return "\n".join(lines) + "\n", len(drawable) - len(heaviest)


def label(name: str) -> str:
    """`name` as it may stand between double quotes in Mermaid: its own escapes for what would end or open something."""
    shown = " ".join(name.split())
    if len(shown) > LABEL_CHARS_MAX:
        shown = "…" + shown[-(LABEL_CHARS_MAX - 1) :]
    text = "".join(_ESCAPES.get(letter, letter) for letter in shown if letter.isprintable())
    return text or "(no name)"  # Mermaid takes an empty label for a mistake.
