"""What is wrong with a text file in any language: conflict marks, line ends, byte order marks, data that break.

One finding a file and rule, at the first place; the message counts the others.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from actors.services.tools.analysis import data_files
from actors.services.tools.analysis.findings import finding, noun
from actors.services.tools.analysis.sources import PYTHON_SUFFIXES, is_generated, is_template, is_test
from actors.services.tools.programs.checkout import TextFile
from protocol.tools import Finding

CONFLICT, BROKEN_DATA = "conflict-marker", "broken-data"

_CONFLICT_OPENS = re.compile(r"^<{7} \S")
_CONFLICT_PARTS = re.compile(r"^={7}$")
_CONFLICT_ENDS = re.compile(r"^>{7} \S")
# Spaces at the end of a line mean something there, or the file is the copy of another.
_SPACES_MEAN = frozenset({".md", ".markdown", ".patch", ".diff", ".snap", ".tsv", ".csv", ".eml", ".rst.txt", ".out"})
_MARK_USUAL = frozenset({".csv", ".tsv", ".ps1", ".psm1", ".cs", ".csproj", ".sln", ".resx", ".xaml", ".vcxproj"})
_NEVER_RUN = frozenset(
    """
    .md .txt .rst .json .yml .yaml .toml .ini .cfg .css .scss .less .html .svg .xml .csv .lock .ts .tsx .jsx .java .kt
    .go .rs .c .h .cc .cpp .hpp .cs .swift .sql .graphql .proto
    """.split()  # noqa: SIM905 - easier to check as words
)


def look(file: TextFile) -> Iterator[Finding]:
    """Every fault of a file that people wrote."""
    if is_generated(file.path):
        return
    # Splitting at \\n alone: other separators do not end a line for an editor or for git.
    lines = file.text.split("\n")
    yield from _conflict(file, lines)
    yield from _data(file)
    yield from _encoding(file)
    if file.executable and file.suffix in _NEVER_RUN and not file.text.startswith("#!"):
        yield finding("info", "executable", "is marked as executable, but nothing could run it", file.path)
    if file.suffix not in PYTHON_SUFFIXES:  # There the formatter of lint.fix does it.
        yield from _layout(file, lines)


def _conflict(file: TextFile, lines: Sequence[str]) -> Iterator[Finding]:
    """All three marks of a conflict in their order: one alone may be an underlined heading, or prose about merging."""
    opened = parted = 0
    for number, line in enumerate(lines, start=1):
        bare = line.removesuffix("\r")
        if _CONFLICT_OPENS.match(bare):
            opened, parted = number, 0
        elif opened and _CONFLICT_PARTS.match(bare):
            parted = number
        elif parted and _CONFLICT_ENDS.match(bare):
            severity = "low" if is_test(file.path) else "high"
            yield finding(severity, CONFLICT, "the marks of a merge conflict were committed", file.path, opened)
            return


def _data(file: TextFile) -> Iterator[Finding]:
    if file.suffix not in data_files.SUFFIXES or is_template(file.path):
        return
    broken = data_files.check(file.path, file.text)
    if broken is None:
        return
    if broken.lenient:
        said = f"{broken.message}: a strict JSON parser refuses comments and trailing commas"
        yield finding("info", "lenient-json", said, file.path, broken.line)
    else:
        severity = "info" if is_test(file.path) else "medium"
        said = f"is no valid {broken.format}: {broken.message}"
        yield finding(severity, BROKEN_DATA, said, file.path, broken.line)


def _encoding(file: TextFile) -> Iterator[Finding]:
    if file.text.startswith("\ufeff") and file.suffix not in _MARK_USUAL:
        yield finding(
            "low", "byte-order-mark", "begins with a byte order mark, which many programs choke on", file.path, 1
        )


def _layout(file: TextFile, lines: Sequence[str]) -> Iterator[Finding]:
    ended = lines[:-1]  # What follows the last \\n is no ended line.
    returns = [number for number, line in enumerate(ended, start=1) if line.endswith("\r")]
    if returns and len(returns) < len(ended):
        rare = returns if len(returns) * 2 <= len(ended) else sorted(set(range(1, len(ended) + 1)) - set(returns))
        yield from _at(
            "low", "mixed-line-ends", "ends unlike most lines of the file (CRLF and LF are mixed)", file, rare
        )
    if PurePosixPath(file.path).suffix.lower() not in _SPACES_MEAN:
        spaced = [number for number, line in enumerate(lines, start=1) if _ends_in_space(line)]
        yield from _at("info", "trailing-space", "ends in spaces or tabs", file, spaced)
    if lines[-1]:
        yield finding("info", "no-final-newline", "the last line has no end", file.path, len(lines))


def _ends_in_space(line: str) -> bool:
    bare = line.removesuffix("\r")
    return bare.endswith((" ", "\t"))


def _at(severity: str, rule: str, said: str, file: TextFile, numbers: Sequence[int]) -> Iterator[Finding]:
    if numbers:
        more = f", and so {noun(len(numbers) - 1, 'more line')}" if len(numbers) > 1 else ""
        assert severity in ("info", "low")
        yield finding(severity, rule, said + more, file.path, numbers[0])
