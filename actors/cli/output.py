"""The only place that writes to the terminal: data on stdout, everything else on stderr.

Text from outside (titles, summaries, paths) is printed without control characters, so that no repository can drive the
terminal. NO_COLOR is honoured; tables are cut to the terminal's width only on a terminal.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 100_000  # Columns: a pipe has no width, nothing is to be cut or wrapped.


def to_stdout() -> Console:
    """stdout for people."""
    return _console(stderr=False)


def to_stderr() -> Console:
    """stderr for people; live progress asks it whether it is a terminal."""
    return _console(stderr=True)


def data(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()


def lines(encoded: Iterable[bytes]) -> None:
    """Ready NDJSON lines (without their newline) on stdout."""
    sys.stdout.buffer.writelines(line + b"\n" for line in encoded)
    sys.stdout.flush()


def say(line: str = "") -> None:
    """A line of the answer on stdout."""
    sys.stdout.write(plain(line) + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A remark on stderr: progress, warnings, errors."""
    sys.stderr.write(plain(line) + "\n")
    sys.stderr.flush()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout."""
    grid = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*(Text(plain(_shown(cell))) for cell in row))
    to_stdout().print(grid)


def plain(text: str) -> str:
    """`text` on one line; what is not printable becomes U+FFFD."""
    return "".join(sign if sign.isprintable() else " " if sign in "\n\t" else "\ufffd" for sign in text)


def _shown(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """The reader has seen enough: `running` ends the command for it. Rich would end the process from in here."""
        raise BrokenPipeError


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return _Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, markup=False)
