"""The store's SQL, one statement a file, read once."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> str:
    """The text of sql/<name>.sql."""
    return (_FOLDER / f"{name}.sql").read_text("utf-8")
