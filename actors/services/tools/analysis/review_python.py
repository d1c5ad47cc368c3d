"""What a reviewer would remark in Python, seen in the syntax tree and reported only where a line was added."""

import ast
import io
import tokenize
from collections.abc import Collection, Iterator, Mapping

from actors.services.tools.analysis import python_code
from actors.services.tools.analysis.findings import finding
from actors.services.tools.analysis.sources import is_template, is_test
from protocol.tools import Finding, Severity

FUNCTION_LINES_MAX = 60  # a longer one is worth a remark when it is new
COMMENTED_CODE_LINES_MIN = 3  # fewer commented lines are an example more often than dead code
_MUTABLE_CALLS = frozenset({"list", "dict", "set", "bytearray", "defaultdict", "collections.defaultdict"})
_DEBUGGERS = frozenset({"breakpoint", "pdb.set_trace", "ipdb.set_trace", "pudb.set_trace", "debugpy.breakpoint"})
_DEBUG_MODULES = frozenset({"pdb", "ipdb", "pudb"})
_PROGRAM_NAMES = frozenset({"__main__", "main", "cli", "manage", "setup", "conftest"})


def review(path: str, text: str, added: Collection[int], *, executable: bool = False) -> list[Finding]:
    """Remarks on the lines `added` (numbers from 1) of the new version of a file."""
    tree = python_code.parse(text)
    if isinstance(tree, python_code.Unparsable):
        apart = is_test(path) or is_template(path)
        message = f"the changed file does not parse as Python {python_code.VERSION}: {tree.reason}"
        return [finding("low" if apart else "high", "syntax-error", message, path, tree.line)]
    prints_allowed = executable or is_test(path) or _is_program(path, tree)
    found: list[Finding] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if line not in added:
            continue
        for severity, rule, message in _remarks(node, prints_allowed=prints_allowed):
            found.append(finding(severity, rule, message, path, line))
    found += _commented_code(path, text, added)
    return found


def _remarks(node: ast.AST, *, prints_allowed: bool) -> Iterator[tuple[Severity, str, str]]:
    if isinstance(node, ast.ExceptHandler):
        yield from _handler(node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _function(node)
    elif isinstance(node, ast.Call):
        yield from _call(node, prints_allowed=prints_allowed)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in _DEBUG_MODULES:
                yield "medium", "debugger", f"imports the debugger {alias.name}"
    elif isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
        yield "medium", "assert-on-tuple", "asserts a tuple, which is always true"
    elif isinstance(node, ast.Compare) and any(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
        sides = (node.left, *node.comparators)
        if any(isinstance(each, ast.Constant) and isinstance(each.value, str | int | float | bytes)
               and not isinstance(each.value, bool) for each in sides):  # fmt: skip
            yield "medium", "identity-of-literal", "compares a literal by identity: use == or !="


def _handler(node: ast.ExceptHandler) -> Iterator[tuple[Severity, str, str]]:
    if any(isinstance(each, ast.Raise) for each in ast.walk(node)):
        return  # It cleans up and lets the error go on.
    broad = node.type is None or python_code.dotted(node.type) in ("Exception", "BaseException")
    silent = all(isinstance(each, ast.Pass | ast.Continue) or _is_ellipsis(each) for each in node.body)
    caught = "every exception" if node.type is None else python_code.dotted(node.type)
    if node.type is None:
        yield "medium", "bare-except", "catches every exception, interrupts and exits included: name what is expected"
    if broad and silent:
        yield "medium", "swallowed-exception", f"catches {caught} and does nothing: failures become invisible"
    elif broad and node.type is not None:
        yield "low", "broad-except", f"catches {caught}: name what is expected"


def _function(node: python_code.Function) -> Iterator[tuple[Severity, str, str]]:
    for default in (*node.args.defaults, *node.args.kw_defaults):
        mutable = isinstance(default, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp) or (
            isinstance(default, ast.Call) and python_code.dotted(default.func) in _MUTABLE_CALLS
        )
        if mutable:
            yield "medium", "mutable-default", f"`{node.name}` shares one mutable default between all calls"
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if length > FUNCTION_LINES_MAX:
        yield "low", "long-function", f"`{node.name}` has {length} lines, more than {FUNCTION_LINES_MAX}"


def _call(node: ast.Call, *, prints_allowed: bool) -> Iterator[tuple[Severity, str, str]]:
    name = python_code.dotted(node.func)
    if name in ("eval", "exec"):
        if not (node.args and isinstance(node.args[0], ast.Constant)):
            yield "high", "dynamic-code", f"runs a computed text as code by {name}()"
    elif name in _DEBUGGERS:
        yield "medium", "debugger", f"stops in a debugger: {name}()"
    elif name == "os.system" and node.args and not isinstance(node.args[0], ast.Constant):
        yield "medium", "shell-command", "hands a computed command to the shell by os.system()"
    elif name == "print" and not prints_allowed and not any(each.arg == "file" for each in node.keywords):
        yield "info", "print", "prints from a module that is no program: left from debugging?"
    for keyword in node.keywords:
        if keyword.arg == "shell" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True:
            constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
            said = "a constant command" if constant else "a computed command"
            yield "low" if constant else "medium", "shell-command", f"hands {said} to the shell (shell=True)"


def _is_program(path: str, tree: ast.Module) -> bool:
    stem = path.rsplit("/", 1)[-1].removesuffix(".py")
    folders = path.split("/")[:-1]
    return (
        stem in _PROGRAM_NAMES
        or any(folder in ("bin", "scripts", "tools", "examples", "cli", "benchmarks") for folder in folders)
        or python_code.has_main_guard(tree)
    )


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _commented_code(path: str, text: str, added: Collection[int]) -> Iterator[Finding]:
    """Runs of added whole-line comments that parse as statements which do something."""
    block: list[tuple[int, str]] = []
    comments = comment_lines(text)
    for line in [*sorted(line for line in comments if line in added), -1]:
        if block and line != block[-1][0] + 1:
            if len(block) >= COMMENTED_CODE_LINES_MIN and _is_code("\n".join(body for _, body in block)):
                message = f"{len(block)} lines of commented-out code: the history keeps what is removed"
                yield finding("low", "commented-code", message, path, block[0][0])
            block = []
        if line > 0:
            block.append((line, comments[line]))


def comment_lines(text: str) -> Mapping[int, str]:
    """{line: comment without its mark} of the lines with nothing but a comment; what cannot be read ends the search."""
    found: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
                found[token.start[0]] = token.string.removeprefix("#").removeprefix(" ")
    except (tokenize.TokenError, SyntaxError):
        return found
    return found


def _is_code(text: str) -> bool:
    tree = python_code.parse(text)
    if isinstance(tree, python_code.Unparsable):
        return False
    # A sentence of one word a line parses as names; statements and calls are what people comment out.
    acting = [
        node for node in tree.body if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Await)
    ]
    return len(acting) * 2 > len(tree.body)
