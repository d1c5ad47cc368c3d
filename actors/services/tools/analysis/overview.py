"""What the architecture map found, as one value, and its collapse to as many groups as a diagram can show."""

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from actors.services.tools.analysis.modules import Module

NODES_MAX = 30  # of a diagram that a person can still read
REST = "everything else"


@dataclass(frozen=True)
class Overview:
    """Modules, who imports whom (by path), cycles of imports at load, (fan-in, fan-out), and counts by language."""

    modules: tuple[Module, ...]
    edges: Mapping[str, frozenset[str]]
    cycles: tuple[tuple[str, ...], ...]
    degrees: Mapping[str, tuple[int, int]]
    external: Mapping[str, int]  # package → number of modules that import it
    entry_points: tuple[tuple[str, str], ...]  # (name, what makes it one)
    files: Mapping[str, int]
    lines: Mapping[str, int]

    @cached_property
    def _by_path(self) -> Mapping[str, Module]:
        return {module.path: module for module in self.modules}

    @cached_property
    def packages(self) -> Mapping[str, Sequence[str]]:
        """The folders that hold modules, with the modules' paths; "." is the root."""
        found: dict[str, list[str]] = {}
        for module in self.modules:
            found.setdefault(posixpath.dirname(module.path) or ".", []).append(module.path)
        return found

    @property
    def internal_imports(self) -> int:
        """How many pairs (module, module it imports) there are."""
        return sum(len(targets) for targets in self.edges.values())

    def module(self, path: str) -> Module:
        """The module at a path. Raises KeyError for a path that is none."""
        return self._by_path[path]


@dataclass(frozen=True, slots=True)
class Groups:
    """Modules collapsed to at most NODES_MAX groups, and the number of imports from group to group."""

    members: Mapping[str, Sequence[str]]
    edges: Mapping[tuple[str, str], int]
    collapsed: bool  # False: every group is one module


def grouped(overview: Overview) -> Groups:
    """The modules without tests (all of them if there are only tests) in the finest grouping of NODES_MAX or fewer.

    Groups are modules, else folders cut at the greatest depth that fits; what does not fit even so is the group `REST`.
    """
    shown = [module for module in overview.modules if not module.test] or list(overview.modules)
    if len(shown) <= NODES_MAX:
        return _groups(overview, {module.path: module.name for module in shown}, collapsed=False)
    folders = {module.path: (posixpath.dirname(module.path) or ".").split("/") for module in shown}
    deepest = max(len(parts) for parts in folders.values())
    for depth in range(deepest, 0, -1):
        names = {path: "/".join(parts[:depth]) for path, parts in folders.items()}
        if len(set(names.values())) <= NODES_MAX:
            return _groups(overview, names, collapsed=True)
    names = {path: parts[0] for path, parts in folders.items()}
    kept = {name for name, _ in Counter(names.values()).most_common(NODES_MAX - 1)}
    return _groups(overview, {path: name if name in kept else REST for path, name in names.items()}, collapsed=True)


def _groups(overview: Overview, names: Mapping[str, str], *, collapsed: bool) -> Groups:
    members: dict[str, list[str]] = {}
    # Two modules of one name (say, in two projects) are told apart by their paths.
    taken = Counter(names.values())
    label = {path: name if collapsed or taken[name] == 1 else path for path, name in names.items()}
    for path, name in label.items():
        members.setdefault(name, []).append(path)
    edges: Counter[tuple[str, str]] = Counter()
    for path, name in label.items():
        for target in overview.edges.get(path, frozenset()):
            if target in label and label[target] != name:
                edges[name, label[target]] += 1
    return Groups(members, edges, collapsed)
