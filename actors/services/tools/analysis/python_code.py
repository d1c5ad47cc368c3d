"""Python source as syntax trees, whatever the source: a file that does not parse is a fact, never an exception."""

import ast
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python whose grammar judges: a file may be valid for a newer one, so every message names it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documentable = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True, slots=True)
class Unparsable:
    """Why a source text has no syntax tree. `line` counts from 1, 0 when the parser named none."""

    line: int
    reason: str


def parse(text: str) -> ast.Module | Unparsable:
    """The syntax tree of `text`, or why there is none. Never raises and never warns."""
    with warnings.catch_warnings():
        # An invalid escape in foreign code warns; a program that turns warnings into errors would then see no tree.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text.removeprefix("\ufeff"))
        except SyntaxError as error:
            return Unparsable(error.lineno or 0, error.msg)
        except (ValueError, RecursionError, MemoryError) as error:
            # A NUL, or an expression nested deeper than the parser goes.
            return Unparsable(0, f"{type(error).__name__}: {error}")


def fingerprint(tree: ast.Module) -> str | None:
    """A text equal for trees of the same meaning, whatever their layout; None when the tree is too deep to print.

    Adjacent string literals are one constant in the tree already; docstrings count, with their indentation removed,
    because formatters re-indent them.
    """
    for node in ast.walk(tree):
        if isinstance(node, Documentable) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                first.value.value = "\n".join(line.strip() for line in first.value.value.strip().splitlines())
    try:
        return ast.dump(tree)
    except RecursionError:
        return None


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method of the tree, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def has_main_guard(tree: ast.Module) -> bool:
    """Whether the module has `if __name__ == "__main__":` at its top level."""
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
            operands = (node.test.left, *node.test.comparators)
            names = any(isinstance(each, ast.Name) and each.id == "__name__" for each in operands)
            values = any(isinstance(each, ast.Constant) and each.value == "__main__" for each in operands)
            if names and values:
                return True
    return False


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a name or a chain of attributes of one; "" for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
