"""The statement of a query, made from its listing: only the conditions that were asked for stand in it.

Here SQL is put together, beside storing.py, because a file a listing and set of conditions would be hundreds, and one
for all with `$1 is null or …` could use no index. Names come from the listing, which names columns of its rows only;
the values of `failed` come from the listing too, as literals, so that partial indexes fit; everything that an asker
said is a parameter.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args, get_origin

import msgspec

from projections.errors import BadQuery
from projections.listing import Above, Among, Listing, is_text
from protocol.query import Fault, Query
from protocol.subjects import BadSubject, check_token

_WORD = re.compile(r"[a-z][a-z0-9_.-]*")  # What a column or a value of `failed` looks like.


def select(listing: Listing, query: Query) -> tuple[str, list[Any]]:
    """The statement and its arguments; it gives one row more than the limit, if there are more. BadQuery."""
    made = _Conditions()
    made.add("project = {}", _project(query.project))
    for name, text in query.where.items():
        _check_filter(listing, name, query.where)
        value = _value(listing, name, text)
        made.add(f"{{}} = any({name})" if isinstance(value, _Element) else f"{name} = {{}}", value)
    if query.since is not None:
        made.add(f"{listing.time} >= {{}}", _bound(listing, query.since))
    if query.until is not None:
        made.add(f"{listing.time} < {{}}", _bound(listing, query.until))
    if query.failed:
        made.conditions.append(_failed(listing))
    if query.after:
        made.add_row(listing.order, _read_cursor(listing, query.after))
    columns = ", ".join(listing.row.__struct_fields__)
    order = ", ".join(f"{name} desc" for name in listing.order)
    made.arguments.append(query.limit + 1)
    return (
        f"select {columns} from {listing.table.name} where {' and '.join(made.conditions)} "
        f"order by {order} limit ${len(made.arguments)}",
        made.arguments,
    )


def cursor(listing: Listing, row: Any) -> str:
    """Where `row` stands in the order."""
    place = [listing.name, *(getattr(row, name) for name in listing.order)]
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


class _Element(str):
    """Text that must be one of a column's."""


class _Conditions:
    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.arguments: list[Any] = []

    def add(self, condition: str, value: Any) -> None:
        self.arguments.append(value)
        self.conditions.append(condition.format(f"${len(self.arguments)}"))

    def add_row(self, names: Sequence[str], values: Sequence[Any]) -> None:
        first = len(self.arguments) + 1
        self.arguments += values
        places = ", ".join(f"${n}" for n in range(first, first + len(names)))
        self.conditions.append(f"({', '.join(names)}) < ({places})")


def _project(name: str) -> str:
    try:
        return check_token("project", name)
    except BadSubject as error:
        raise BadQuery(Fault("bad-project", str(error))) from error


def _check_filter(listing: Listing, name: str, where: Mapping[str, str]) -> None:
    if name not in listing.filters:
        said = f"{listing.name} cannot be filtered by {name!r}: use {', '.join(listing.filters)}"
        raise BadQuery(Fault("unknown-filter", said, listing.name, listing.filters))
    missing = [each for each in listing.needs(name) if each not in where]
    if missing:
        said = f"{listing.name} can be filtered by {name} only together with {', '.join(missing)}"
        raise BadQuery(Fault("unknown-filter", said, listing.name, listing.filters))


def _value(listing: Listing, name: str, text: str) -> Any:
    hint = listing.hints[name]
    try:
        text.encode()  # A lone surrogate can stand in an argument of the command line.
        if get_origin(hint) is tuple:
            return _Element(_without_nul(text))
        value = msgspec.convert(_without_nul(text) if is_text(hint) else text, hint, strict=False)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("a time without a zone: append Z for UTC")
    except (msgspec.ValidationError, ValueError) as error:
        allowed: tuple[str, ...] = get_args(hint) if is_text(hint) else ()
        raise BadQuery(
            Fault("bad-value", f"{name}={text!r} is no value of {listing.name}: {error}", listing.name, allowed)
        ) from error
    return value


def _without_nul(text: str) -> str:
    """As the views keep it: PostgreSQL's text has no NUL."""
    return text.replace("\0", "\ufffd")


def _bound(listing: Listing, at: datetime) -> datetime | date:
    """An end of the time range: for days the first that begins at that time or later."""
    try:
        moment = at.astimezone(UTC)
        begins = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if not listing.dated:
            return moment
        return begins.date() if begins == moment else begins.date() + timedelta(days=1)
    except OverflowError as error:
        raise BadQuery(Fault("bad-time", f"{at.isoformat()} is beyond the times there are", listing.name)) from error


def _failed(listing: Listing) -> str:
    if not listing.failed:
        raise BadQuery(
            Fault("never-fails", f"nothing in {listing.name} is ever failed: ask without `failed`", listing.name)
        )
    return f"({' or '.join(_condition(each) for each in listing.failed)})"


def _condition(failed: Among | Above) -> str:
    words = (failed.column, *(failed.values if isinstance(failed, Among) else ()))
    assert all(_WORD.fullmatch(word) for word in words), f"{words} cannot stand in a statement as they are"
    if isinstance(failed, Above):
        return f"{failed.column} > 0"
    if len(failed.values) == 1:
        return f"{failed.column} = '{failed.values[0]}'"
    return f"{failed.column} in ({', '.join(repr(value) for value in failed.values)})"


def _read_cursor(listing: Listing, text: str) -> list[Any]:
    try:
        place: Any = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        name, *values = msgspec.convert(place, list[Any])
        if name == listing.name and len(values) == len(listing.order):
            hints = (listing.hints[column] for column in listing.order)
            return [msgspec.convert(value, hint) for value, hint in zip(values, hints, strict=True)]
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise BadQuery(_bad_cursor(listing)) from error
    raise BadQuery(_bad_cursor(listing))


def _bad_cursor(listing: Listing) -> Fault:
    return Fault(
        "bad-cursor", f"`after` is no cursor of {listing.name}: use the `next` of its answer, as it is", listing.name
    )
