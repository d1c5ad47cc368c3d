"""Long columns in one piece each: the driver looks at every element of an array three times, a string it just sends.

The other half is `texts` in migrations/0009_commit.sql, and `commit_optimistic` in 0011_carried.sql.
"""

from collections.abc import Sequence
from itertools import accumulate

SEPARATOR = "\x1f"


class Unpackable(ValueError):
    """A text that holds the separator: send the column as an array."""


def texts(values: Sequence[str]) -> str:
    """The values joined by the separator. Unpackable."""
    joined = SEPARATOR.join(values)
    if joined.count(SEPARATOR) != max(0, len(values) - 1):
        raise Unpackable
    return joined


def numbers(values: Sequence[int]) -> str:
    """The literal of an integer array."""
    return "{" + ",".join(map(str, values)) + "}"


def alike(values: Sequence[str]) -> str:
    """As `texts`; one value where all are the same, which most are. Unpackable."""
    return texts(values[:1] if values and values.count(values[0]) == len(values) else values)


def alike_numbers(values: Sequence[int]) -> str:
    """As `numbers`; one value where all are the same."""
    return numbers(values[:1] if values and values.count(values[0]) == len(values) else values)


def pieces(values: Sequence[bytes]) -> tuple[bytes, str, list[int]]:
    """All bytes end to end, where each value begins (from 1, the literal of an array), and how long each is."""
    lengths = list(map(len, values))
    starts = accumulate(lengths[:-1], initial=1) if lengths else ()
    return b"".join(values), numbers(list(starts)), lengths
