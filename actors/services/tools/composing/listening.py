"""Where a program listens: the port and health path that its own files state, never guessed from a framework's name."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from actors.services.tools.composing.dockerfile import PORT_MAX, instructions
from actors.services.tools.programs.checkout import TextFile, read_text, text_files

FILES_MAX = 3_000  # looked at; a server's start is not hidden behind more than that
_PYTHON = (".py",)
_JAVASCRIPT = (".js", ".mjs", ".cjs", ".ts", ".mts")
_ASIDE = frozenset(
    ["test", "tests", "__tests__", "spec", "docs", "doc", "examples", "example", "benchmarks", "scripts", "fixtures"]
)

_SERVERS = frozenset(  # calls whose `port` is one the program itself opens, unlike a client's
    [
        "run",
        "serve",
        "run_app",
        "run_server",
        "create_server",
        "start_server",
        "TCPSite",
        "HTTPServer",
        "ThreadingHTTPServer",
        "make_server",
    ]
)
_HEALTH_PATHS = frozenset({"/healthz", "/health", "/livez", "/readyz", "/-/healthy", "/ping"})
_ROUTES = frozenset(
    ["get", "route", "add_get", "add_route", "api_route", "Route", "Get", "path", "url_rule", "add_url_rule"]
)
_LISTEN = re.compile(r"\.listen\(\s*(\d{2,5})\b|process\.env\.PORT\s*(?:\|\||\?\?)\s*['\"]?(\d{2,5})\b")
_JS_ROUTE = re.compile(r"\.(?:get|use|route|all)\(\s*['\"](/[\w/-]+)['\"]")


@dataclass(frozen=True, slots=True)
class Stated:
    """Something a file states: the value, and where."""

    value: str
    path: str
    line: int

    @property
    def place(self) -> str:
        """`path:line`."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Listening:
    """The ports and health paths that were found, each with its place, in the order of paths."""

    ports: tuple[Stated, ...]
    health_paths: tuple[Stated, ...]

    @property
    def port(self) -> int | None:
        """The first port; None when no file states one."""
        return int(self.ports[0].value) if self.ports else None


def listening(source: Path) -> Listening:
    """What the repository's Dockerfile and its Python and JavaScript sources (tests, docs and examples aside) state."""
    ports: list[Stated] = list(_exposed(source))
    health: list[Stated] = []
    for file in islice(text_files(source, suffixes=(*_PYTHON, *_JAVASCRIPT)), FILES_MAX):
        if _ASIDE.intersection(file.path.lower().split("/")[:-1]) or file.name.startswith("test_"):
            continue
        found_ports, found_health = _in_python(file) if file.suffix in _PYTHON else _in_javascript(file)
        ports += [stated for stated in found_ports if 0 < int(stated.value) <= PORT_MAX]
        health += found_health
    return Listening(tuple(ports), tuple(health))


def _exposed(source: Path) -> Iterator[Stated]:
    for line, word, rest in instructions(read_text(source, "Dockerfile") or ""):
        first = rest.split("/")[0].split(" ")[0]
        if word == "EXPOSE" and first.isdecimal() and 0 < int(first) <= PORT_MAX:
            yield Stated(str(int(first)), "Dockerfile", line)


def _in_python(file: TextFile) -> tuple[list[Stated], list[Stated]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in foreign code are not ours to report here
            tree = ast.parse(file.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [], []  # Whether the file is sound is for the linter to say; it states no port that could be read.
    ports: list[Stated] = []
    health: list[Stated] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        ports += [Stated(str(port), file.path, node.lineno) for port in _ports_of(node, name)]
        words = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if name in _ROUTES:
            health += [Stated(word, file.path, node.lineno) for word in words[:1] if word in _HEALTH_PATHS]
    return ports, health


def _ports_of(call: ast.Call, name: str) -> Iterator[int]:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in _SERVERS:
        yield from _number(named.get("port"))
        # The standard library's servers take an (address, port) pair first.
        if call.args and isinstance(call.args[0], ast.Tuple) and len(call.args[0].elts) == 2:
            yield from _number(call.args[0].elts[1])
    if name == "add_argument" and any(isinstance(a, ast.Constant) and a.value == "--port" for a in call.args):
        yield from _number(named.get("default"))


def _number(node: ast.expr | None) -> Iterator[int]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        yield node.value


def _in_javascript(file: TextFile) -> tuple[list[Stated], list[Stated]]:
    ports: list[Stated] = []
    health: list[Stated] = []
    for number, line in enumerate(file.text.splitlines(), start=1):
        ports += [Stated(str(int(m[1] or m[2])), file.path, number) for m in _LISTEN.finditer(line)]
        health += [Stated(m[1], file.path, number) for m in _JS_ROUTE.finditer(line) if m[1] in _HEALTH_PATHS]
    return ports, health
