"""What a file is, judged by its path: its language, whether it is a test, and whether people wrote it."""

import re
from pathlib import PurePosixPath

PYTHON_SUFFIXES = frozenset({".py", ".pyi"})
SCRIPT_SUFFIXES = frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"})

LANGUAGES = {
    ".py": "Python", ".pyi": "Python",
    ".js": "JavaScript", ".jsx": "JavaScript", ".mjs": "JavaScript", ".cjs": "JavaScript",
    ".ts": "TypeScript", ".tsx": "TypeScript", ".mts": "TypeScript", ".cts": "TypeScript",
    ".vue": "Vue", ".svelte": "Svelte",
    ".go": "Go", ".rs": "Rust", ".java": "Java", ".kt": "Kotlin", ".kts": "Kotlin", ".scala": "Scala",
    ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".cxx": "C++", ".hpp": "C++", ".hh": "C++",
    ".cs": "C#", ".fs": "F#", ".swift": "Swift", ".m": "Objective-C",
    ".rb": "Ruby", ".php": "PHP", ".pl": "Perl", ".lua": "Lua", ".r": "R", ".jl": "Julia",
    ".ex": "Elixir", ".exs": "Elixir", ".erl": "Erlang", ".hs": "Haskell", ".ml": "OCaml", ".clj": "Clojure",
    ".dart": "Dart", ".zig": "Zig", ".nim": "Nim",
    ".sh": "Shell", ".bash": "Shell", ".zsh": "Shell", ".ps1": "PowerShell", ".bas": "BASIC",
    ".sql": "SQL",
}  # fmt: skip
"""Programming languages by suffix. Data and markup formats are left out on purpose: their lines are not code."""

_TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "e2e", "testdata", "fixtures"})
_TEST_NAME = re.compile(r"^(test_.*|.*_test|conftest|.*\.(test|spec))\.[a-z]+$")
_GENERATED = re.compile(
    r"(^|/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|go\.sum)$"
    r"|\.(lock|min\.js|min\.css|map|svg)$|_pb2(_grpc)?\.pyi?$|\.(snap|golden)$|(^|/)(dist|build|vendor|third_party)/"
)


def language(path: str) -> str:
    """The programming language of a file by its suffix; "" for data, markup and what is unknown."""
    return LANGUAGES.get(PurePosixPath(path).suffix.lower(), "")


def is_test(path: str) -> bool:
    """Whether a path lies in a folder of tests or is named as a test of its language."""
    parts = PurePosixPath(path.lower()).parts
    return bool(parts) and (any(part in _TEST_FOLDERS for part in parts[:-1]) or bool(_TEST_NAME.match(parts[-1])))


def is_generated(path: str) -> bool:
    """Whether a path looks like something a program wrote or somebody else's code: locks, maps, minified, vendored."""
    return bool(_GENERATED.search(path))


def is_template(path: str) -> bool:
    """Whether the path holds a template's placeholder, so that the file need not be valid by itself."""
    return "{{" in path or "{%" in path
