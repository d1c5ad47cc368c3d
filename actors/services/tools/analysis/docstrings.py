"""Docstring coverage: which public modules, classes and functions of Python files say what they are for."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from actors.services.tools.analysis import python_code


@dataclass(frozen=True, slots=True)
class Documentable:
    """Something public that should have a docstring. `kind` is module, class, function or method; `line` from 1."""

    name: str
    kind: str
    line: int
    documented: bool


def documentables(tree: ast.Module, stem: str) -> Iterator[Documentable]:
    """The public things of a module called `stem`, in the order of the text.

    Public is what no part of the name hides with an underscore. Not counted: empty `__init__` modules, what is defined
    inside functions, overloads, setters, and special methods, whose meaning the language defines.
    """
    if stem.startswith("_") and stem not in ("__init__", "__main__"):
        return
    if not (stem == "__init__" and not tree.body):
        yield Documentable(stem, "module", 1, ast.get_docstring(tree, clean=False) is not None)
    yield from _members(tree, "")


def _members(owner: ast.Module | ast.ClassDef, prefix: str) -> Iterator[Documentable]:
    work: list[tuple[ast.Module | ast.ClassDef, str]] = [(owner, prefix)]
    while work:
        parent, path = work.pop(0)
        for node in parent.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            name = f"{path}{node.name}"
            documented = ast.get_docstring(node, clean=False) is not None
            if isinstance(node, ast.ClassDef):
                yield Documentable(name, "class", node.lineno, documented)
                work.append((node, f"{name}."))
            elif not _is_variant(node):
                kind = "method" if isinstance(parent, ast.ClassDef) else "function"
                yield Documentable(name, kind, node.lineno, documented)


def _is_variant(node: python_code.Function) -> bool:
    """Overloads and property setters: the thing itself carries the docstring."""
    decorators = [python_code.dotted(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list]
    return any(each.rpartition(".")[2] in ("overload", "setter", "deleter", "override") for each in decorators)
