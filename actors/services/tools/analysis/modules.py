"""The modules of a checkout and what they import, from Python's syntax tree and a scan of JavaScript and TypeScript.

Nodes are file paths, since two folders of one repository may hold modules of the same dotted name. Imports that run
only for type checkers or inside a function are kept apart: they cannot make a cycle when the program starts.
"""

import posixpath
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from actors.services.tools.analysis import python_code, python_imports, script_imports
from actors.services.tools.analysis.sources import PYTHON_SUFFIXES, SCRIPT_SUFFIXES, is_test
from actors.services.tools.programs.checkout import TextFile

SOURCE_FOLDERS = frozenset({"src", "lib", "python"})  # imports start in these
MANIFESTS = frozenset({"pyproject.toml", "setup.py", "setup.cfg"})  # and in the folders that hold one of these


@dataclass(slots=True)
class Module:
    """One source file: its dotted name (Python) or path without suffix (scripts), its imports, and what it is."""

    path: str
    name: str
    lines: int
    test: bool
    imports: set[str] = field(default_factory=set[str])  # paths imported when the module is loaded
    deferred: set[str] = field(default_factory=set[str])  # paths imported later, or only by type checkers
    external: set[str] = field(default_factory=set[str])  # distributions' top-level names, without the standard library
    entry_point: str = ""  # why the module is one; "" when it is none
    broken: python_code.Unparsable | None = None

    @property
    def all_imports(self) -> set[str]:
        """Every module of the repository it imports at any time."""
        return self.imports | self.deferred


def read(files: Iterable[TextFile]) -> list[Module]:
    """The modules among `files`, sorted by path, with their imports resolved to one another."""
    sources: list[TextFile] = []
    projects: set[str] = set()
    for file in files:
        if file.suffix in PYTHON_SUFFIXES | SCRIPT_SUFFIXES:
            sources.append(file)
        if file.name in MANIFESTS:
            projects.add(posixpath.dirname(file.path))
    python = [file for file in sources if file.suffix in PYTHON_SUFFIXES]
    scripts = [file for file in sources if file.suffix in SCRIPT_SUFFIXES]
    resolver = Resolver([file.path for file in python], projects)
    known_scripts = frozenset(file.path for file in scripts)
    found = [_python_module(file, resolver) for file in python]
    found += [_script_module(file, known_scripts) for file in scripts]
    return sorted(found, key=lambda module: module.path)


class Resolver:
    """Finds the file that a dotted Python name means, seen from another file of the same checkout.

    `projects` are the folders with a manifest of their own: imports start there or in a source folder below.
    """

    def __init__(self, paths: Sequence[str], projects: Set[str] = frozenset()) -> None:
        self._paths = frozenset(paths)
        self._projects = projects
        self._packages = {posixpath.dirname(path) for path in paths if posixpath.basename(path) == "__init__.py"}
        self._root = {path: self._root_of(path) for path in paths}
        self._by_name: dict[tuple[str, str], str] = {}
        self._anywhere: dict[str, str] = {}
        for path in sorted(paths):  # of two files with one name the first by path wins
            self._by_name.setdefault((self._root[path], self.name(path)), path)
            self._anywhere.setdefault(self.name(path), path)
        for path in sorted(paths):  # a package somewhere below, put on the path by its own tooling
            folder = posixpath.dirname(path)
            if folder in self._packages:
                self._anywhere.setdefault(_dotted(path, self._above_packages(folder)), path)

    def name(self, path: str) -> str:
        """The dotted name under which `path` is imported from its source root; "" for a package at the root itself."""
        return _dotted(path, self._root[path])

    def find(self, name: str, importer: str) -> str | None:
        """The file of the longest prefix of `name` that is a module; None when the name is not the repository's."""
        parts = name.split(".")
        folder = posixpath.dirname(importer)
        for length in range(len(parts), 0, -1):
            prefix = ".".join(parts[:length])
            for found in (self._by_name.get((self._root[importer], prefix)), self._anywhere.get(prefix)):
                if found is not None:
                    return found
            # A script's own folder is on its search path: `import helper` beside it.
            beside = posixpath.join(folder, *parts[:length])
            if folder not in self._packages:
                for candidate in (f"{beside}.py", f"{beside}/__init__.py"):
                    if candidate in self._paths:
                        return candidate
        return None

    def package(self, path: str, level: int) -> str | None:
        """The dotted package that a relative import of `level` dots starts from; None above the source root."""
        parts = self.name(path).split(".") if self.name(path) else []
        if posixpath.basename(path) not in ("__init__.py", "__init__.pyi"):
            parts = parts[:-1]
        keep = len(parts) - (level - 1)
        return ".".join(parts[:keep]) if keep > 0 else None

    def _root_of(self, path: str) -> str:
        """The folder that imports of `path` start from: the deepest source or project folder above its packages."""
        parts = self._above_packages(posixpath.dirname(path)).split("/")
        for length in range(len(parts), 0, -1):
            folder = "/".join(parts[:length])
            if parts[length - 1] in SOURCE_FOLDERS or folder in self._projects:
                return folder
        return ""

    def _above_packages(self, folder: str) -> str:
        while folder and folder in self._packages:
            folder = posixpath.dirname(folder)
        return folder


def _dotted(path: str, root: str) -> str:
    stem = posixpath.splitext(path[len(root) + 1 :] if root else path)[0]
    return stem.removesuffix("__init__").rstrip("/").replace("/", ".")


def _python_module(file: TextFile, resolver: Resolver) -> Module:
    module = Module(file.path, resolver.name(file.path) or file.path, _lines(file.text), is_test(file.path))
    tree = python_code.parse(file.text)
    if isinstance(tree, python_code.Unparsable):
        module.broken = tree
        return module
    for wanted in python_imports.wanted(tree):
        base = wanted.module
        if wanted.level:
            package = resolver.package(file.path, wanted.level)
            if package is None:
                continue
            base = f"{package}.{base}" if base else package
        target = resolver.find(f"{base}.{wanted.name}" if wanted.name else base, file.path)
        if target is None:
            if not wanted.level and python_imports.is_external(base):
                module.external.add(base.partition(".")[0])
        elif target != file.path:
            (module.deferred if wanted.deferred else module.imports).add(target)
    module.deferred -= module.imports
    if file.name == "__main__.py":
        module.entry_point = "__main__ of its package"
    elif python_code.has_main_guard(tree):
        module.entry_point = "main guard"
    elif file.executable and file.text.startswith("#!"):
        module.entry_point = "executable script"
    return module


def _script_module(file: TextFile, known: frozenset[str]) -> Module:
    module = Module(file.path, posixpath.splitext(file.path)[0], _lines(file.text), is_test(file.path))
    for wanted in script_imports.wanted(file.text):
        if wanted.specifier.startswith("."):
            target = script_imports.resolve(wanted.specifier, file.path, known)
            if target is not None and target != file.path:
                (module.deferred if wanted.deferred else module.imports).add(target)
        else:
            package = script_imports.package(wanted.specifier)
            if package:
                module.external.add(package)
    module.deferred -= module.imports
    if file.text.startswith("#!"):
        module.entry_point = "executable script"
    return module


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and bool(text))
