"""What a Python module imports, and when: at load, or later and only for type checkers."""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """One imported name: `from <level dots><module> import <name>`, or `import <module>` (level 0, name "")."""

    module: str
    name: str
    level: int
    deferred: bool


def wanted(tree: ast.Module) -> Iterator[Wanted]:
    """Every import of the module in the order of the text."""
    # An explicit stack: foreign code may nest deeper than Python's own.
    work: list[tuple[Sequence[ast.AST], bool]] = [(tree.body, False)]
    while work:
        nodes, deferred = work.pop()
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (Wanted(alias.name, "", 0, deferred) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield Wanted(node.module or "", "" if alias.name == "*" else alias.name, node.level, deferred)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                work.append((list(ast.iter_child_nodes(node)), True))
            elif isinstance(node, ast.If) and _type_checking(node.test):
                work.append((node.body, True))
                work.append((node.orelse, deferred))
            elif not isinstance(node, ast.expr):
                work.append((list(ast.iter_child_nodes(node)), deferred))


def is_external(module: str) -> bool:
    """Whether a name that is not the repository's comes from a distribution rather than the standard library."""
    top = module.partition(".")[0]
    return bool(top) and top not in sys.stdlib_module_names and top != "__future__"


def _type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
