"""What changed between two JSON values, as the operations of a JSON Patch that lead from the one to the other.

Source: RFC 6902 (JSON Patch) and RFC 6901 (JSON Pointer). Applied in order to the first value they give the second.
Beside what the RFC names, `replace` and `remove` say what was there `before`, which its readers ignore.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, cast

import msgspec

LOOKED_FOR_MAX = 2_000  # Items of a list that are looked for at other places; in longer ones each is compared in place.


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation. `value`: what is there now, of add and replace; `before`: what was, of replace and remove."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any = msgspec.UNSET
    before: Any = msgspec.UNSET


def changes(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """What changed, in the order of the fields and items. Both values are what JSON decodes to."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _fields(cast("dict[str, Any]", before), cast("dict[str, Any]", after), path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(cast("list[Any]", before), cast("list[Any]", after), path)
    elif not _same(before, after):
        yield Change("replace", path, after, before)


def _fields(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Change]:
    for name, value in before.items():
        at = f"{path}/{_escaped(name)}"
        if name in after:
            yield from changes(value, after[name], at)
        else:
            yield Change("remove", at, before=value)
    for name, value in after.items():
        if name not in before:
            yield Change("add", f"{path}/{_escaped(name)}", value)


def _items(before: list[Any], after: list[Any], path: str) -> Iterator[Change]:
    """At every step all items up to the place have become those of `after`, so places count in `after`."""
    for _, first, last, at, end in _stretches(before, after):
        common = min(last - first, end - at)
        for n in range(common):
            yield from changes(before[first + n], after[at + n], f"{path}/{at + n}")
        for old in before[first + common : last]:
            yield Change("remove", f"{path}/{at + common}", before=old)
        for n in range(at + common, end):
            yield Change("add", f"{path}/{n}", after[n])


def _stretches(before: list[Any], after: list[Any]) -> Sequence[tuple[str, int, int, int, int]]:
    """Which items of the one became which of the other, but for what stayed."""
    old, new = ([msgspec.json.encode(item, order="sorted") for item in items] for items in (before, after))
    if max(len(old), len(new)) > LOOKED_FOR_MAX:
        return (("replace", 0, len(old), 0, len(new)),)
    return [each for each in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if each[0] != "equal"]


def _same(before: Any, after: Any) -> bool:
    """In JSON 1 and true are not the same, as they are in Python."""
    return type(before) is type(after) and before == after


def _escaped(name: str) -> str:
    """A name as a part of a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")
