"""Where foreign data reaches what runs or rebuilds code, seen within one function of a Python syntax tree.

A conservative look, no data-flow analysis: data counts as foreign when it is read from a request, a socket, an HTTP
answer or a prompt in the very expression, or assigned from one to a name of the same function.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.services.tools.analysis import python_code

SINKS = frozenset(
    {
        "eval", "exec", "builtins.eval", "builtins.exec",
        "pickle.load", "pickle.loads", "cPickle.loads", "dill.loads", "marshal.loads", "shelve.open",
        "jsonpickle.decode", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen",
    }
)  # fmt: skip
_SHELLS = frozenset({"os.system", "os.popen"})
_READERS = frozenset(
    {
        "input", "urlopen", "urllib.request.urlopen",
        *(f"{library}.{verb}" for library in ("requests", "httpx") for verb in ("get", "post", "put", "request")),
    }
)  # fmt: skip
_READING_METHODS = frozenset({"recv", "recvfrom", "recv_bytes"})
_REQUEST_PARTS = frozenset(
    {"args", "form", "data", "json", "values", "files", "cookies", "headers", "query", "body", "GET", "POST",
     "query_params", "path_params", "get_json", "get_data", "match_info", "stream"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grave:
    """A span of lines (from 1, both included) in which a call is grave, and why."""

    first: int
    last: int
    why: str


def grave_calls(tree: ast.Module) -> list[Grave]:
    """Calls that run foreign data as code or rebuild objects from it, and shell commands put together from values."""
    found: list[Grave] = []
    for scope in (tree, *python_code.functions(tree)):
        foreign = _foreign_names(scope)
        for node in _own_nodes(scope):
            if isinstance(node, ast.Call):
                why = _why_grave(node, foreign)
                if why:
                    found.append(Grave(node.lineno, node.end_lineno or node.lineno, why))
    return found


def _why_grave(node: ast.Call, foreign: frozenset[str]) -> str:
    name = python_code.dotted(node.func)
    shell = name in _SHELLS or any(
        keyword.arg == "shell" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in node.keywords
    )
    if shell and node.args and _put_together(node.args[0]):
        return "a shell command put together from values: whoever chooses a value chooses the command"
    if (name in SINKS or shell) and any(_is_foreign(argument, foreign) for argument in node.args[:1]):
        return f"{name or 'the call'} is given data from outside: whoever sends it runs code here"
    return ""


def _put_together(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(each, ast.FormattedValue) for each in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        operands = (node.left, node.right)
        texts = any(isinstance(each, ast.JoinedStr) or _is_text(each) or _put_together(each) for each in operands)
        return texts and not all(isinstance(each, ast.Constant) for each in operands)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _is_text(node.func.value)
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _foreign_names(scope: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    for node in _own_nodes(scope):
        value, targets = _assignment(node)
        if value is not None and _is_foreign(value, frozenset(names)):
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


def _assignment(node: ast.AST) -> tuple[ast.expr | None, Sequence[ast.expr]]:
    if isinstance(node, ast.Assign):
        return node.value, node.targets
    if isinstance(node, ast.AnnAssign | ast.NamedExpr):
        return node.value, (node.target,)
    return None, ()


def _is_foreign(expression: ast.expr, foreign: frozenset[str]) -> bool:
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and node.id in foreign:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _REQUEST_PARTS:
            owner = python_code.dotted(node.value)
            if owner in ("request", "flask.request", "self.request", "req"):
                return True
        if isinstance(node, ast.Call):
            name = python_code.dotted(node.func)
            if name in _READERS or (isinstance(node.func, ast.Attribute) and node.func.attr in _READING_METHODS):
                return True
    return False


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in the order of the text, without those of the functions inside it."""
    work = list(reversed(list(ast.iter_child_nodes(scope))))
    while work:
        node = work.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        work.extend(reversed(list(ast.iter_child_nodes(node))))
