"""What a JavaScript or TypeScript file imports: a conservative scan of the text, not a parse.

Only specifiers written as plain string literals are seen. Comments are blanked first, so that a commented-out import
does not count; a string that contains an import statement at the start of a line would.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE_CHARS_MAX = 2_000  # a longer line is a bundle, not something people wrote

_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'`\\])//[^\n]*", re.DOTALL)
_FROM = re.compile(
    r"""^[ \t]*(?P<word>import|export)\b(?P<clause>[^"'`;()]{0,2000}?)\bfrom\s*["'](?P<specifier>[^"'\n]{1,300})["']""",
    re.MULTILINE,
)
_BARE = re.compile(r"""^[ \t]*import\s*["'](?P<specifier>[^"'\n]{1,300})["']""", re.MULTILINE)
_CALL = re.compile(r"""(?<![\w.$])(?P<word>require|import)\s*\(\s*["'](?P<specifier>[^"'\n]{1,300})["']\s*\)""")

_SUFFIXES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_BUILTIN = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events
    fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream
    string_decoder timers tls trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()  # noqa: SIM905 - forty names are easier to check as words than as forty lines
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One import by its specifier; deferred when it is dynamic or only for types."""

    specifier: str
    deferred: bool


def wanted(text: str) -> Iterator[Wanted]:
    """Every import the scan sees, in no particular order."""
    kept = "\n".join(line if len(line) <= LINE_CHARS_MAX else "" for line in text.split("\n"))
    code = _COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), kept)
    for match in _FROM.finditer(code):
        yield Wanted(match["specifier"], match["clause"].lstrip().startswith("type "))
    for match in _BARE.finditer(code):
        yield Wanted(match["specifier"], False)
    for match in _CALL.finditer(code):
        yield Wanted(match["specifier"], match["word"] == "import")


def resolve(specifier: str, importer: str, known: frozenset[str]) -> str | None:
    """The file a relative specifier means, tried as Node and TypeScript do; None when it is none of `known`."""
    base = posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier))
    stem, suffix = posixpath.splitext(base)
    candidates = [base, *(base + each for each in _SUFFIXES)]
    if suffix in (".js", ".jsx", ".mjs", ".cjs"):
        candidates += [stem + suffix.replace("js", "ts"), f"{stem}.tsx"]  # TypeScript imports by the name of its output
    candidates += [f"{base}/index{each}" for each in _SUFFIXES]
    return next((candidate for candidate in candidates if candidate in known), None)


def package(specifier: str) -> str:
    """The package a bare specifier names ("@scope/name"); "" for Node's own modules, paths and private imports."""
    if specifier.startswith(("node:", "/", "#", "~", "http:", "https:", "data:", "@/")):
        return ""
    parts = specifier.split("/")
    name = "/".join(parts[:2]) if specifier.startswith("@") else parts[0]
    return "" if name in _BUILTIN else name
