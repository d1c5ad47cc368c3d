"""What a view asks of the database: a keyed upsert, by the name of its SQL file. Views build these and run nothing."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True)
class Statement:
    """One change of rows: sql/<name>.sql with `args` as $1, $2, …

    It must find its rows by key and depend on nothing but `args` and the view's own rows: no clock, no random value, no
    table of anybody else. Then a fold from the beginning gives the same rows as the fold that went along.
    """

    name: str
    args: tuple[Any, ...]

    @property
    def bound(self) -> tuple[Any, ...]:
        """`args` as PostgreSQL can hold them. Its text has no NUL, JSON strings may: U+FFFD stands in for it."""
        return tuple(arg.replace("\0", "\ufffd") if isinstance(arg, str) else arg for arg in self.args)


@cache
def sql(name: str) -> str:
    """The text of sql/<name>.sql."""
    return (_FOLDER / f"{name}.sql").read_text("utf-8")
