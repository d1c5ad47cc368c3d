"""Loads and stores rows by key: one statement a table, however many rows.

The only SQL that is not in a file: it is made from the row's type, so that columns, parameters and values cannot drift
apart, and names nothing but what a view's module declares.
"""

import types
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from asyncpg import Record

from projections.table import Row, Table
from projections.tables import Connection

ROWS_MAX = 5_000  # Of one statement: its parameters are one message.

_TYPES = {
    str: "text", int: "bigint", float: "double precision", bool: "boolean",
    datetime: "timestamptz", date: "date", bytes: "bytea",
}  # fmt: skip
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Column:
    """How one field travels: the parameter's element type, what the statement makes of it, and both ways of values."""

    name: str
    type: str
    expression: str
    bind: Callable[[Any], Any] | None = None
    take: Callable[[Any], Any] | None = None


async def load(
    connection: Connection, schema: str, table: Table[Any], keys: Collection[tuple[Any, ...]]
) -> dict[tuple[Any, ...], Row]:
    """The rows with these keys that there are."""
    columns, statement = _columns(table.row), load_sql(schema, table)
    found: dict[tuple[Any, ...], Row] = {}
    listed = list(keys)
    for start in range(0, len(listed), ROWS_MAX):
        chunk = listed[start : start + ROWS_MAX]
        for record in await connection.fetch(statement, *(list(values) for values in zip(*chunk, strict=True))):
            row = made(table, columns, record)
            found[table.key_of(row)] = row
    return found


async def store(connection: Connection, schema: str, table: Table[Any], rows: Sequence[Row]) -> None:
    """These rows, new or in the place of those with their keys."""
    columns, statement = _columns(table.row), store_sql(schema, table)
    for start in range(0, len(rows), ROWS_MAX):
        chunk = rows[start : start + ROWS_MAX]
        await connection.execute(statement, *(_bound(column, chunk) for column in columns))


def made(table: Table[Any], columns: Sequence[Column], record: Record) -> Row:
    """A row of the database as a value."""
    return table.row(**{
        column.name: value if column.take is None or value is None else column.take(value)
        for column, value in zip(columns, record, strict=True)
    })  # fmt: skip


def columns_of(table: Table[Any]) -> tuple[Column, ...]:
    """The columns of a table that its rows know, in the order of `select`."""
    return _columns(table.row)


@cache
def load_sql(schema: str, table: Table[Any]) -> str:
    """Select by key: one array a key column."""
    types_by_name = {column.name: column.type for column in _columns(table.row)}
    arrays = ", ".join(f"${n}::{types_by_name[name]}[]" for n, name in enumerate(table.key, start=1))
    return (
        f"select {_names(table, 't.')} from unnest({arrays}) as k({', '.join(table.key)}) "
        f"join {schema}.{table.name} t on {' and '.join(f't.{name} = k.{name}' for name in table.key)}"
    )


@cache
def store_sql(schema: str, table: Table[Any]) -> str:
    """Insert or update: one array a column."""
    columns = _columns(table.row)
    arrays = ", ".join(f"${n}::{column.type}[]" for n, column in enumerate(columns, start=1))
    rest = [column.name for column in columns if column.name not in table.key]
    return (
        f"insert into {schema}.{table.name} ({_names(table)}) "
        f"select {', '.join(column.expression for column in columns)} from unnest({arrays}) as v({_names(table)}) "
        f"on conflict ({', '.join(table.key)}) do update set {', '.join(f'{name} = excluded.{name}' for name in rest)}"
    )


def select_sql(schema: str, table: Table[Any]) -> str:
    """Every row, in the order of the key."""
    return f"select {_names(table)} from {schema}.{table.name} order by {', '.join(table.key)}"


def _names(table: Table[Any], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{column.name}" for column in _columns(table.row))


def _bound(column: Column, rows: Sequence[Row]) -> list[Any]:
    name, bind = column.name, column.bind
    if bind is None:
        return [getattr(row, name) for row in rows]
    return [None if (value := getattr(row, name)) is None else bind(value) for row in rows]


@cache
def _columns(row: type[Row]) -> tuple[Column, ...]:
    hints = get_type_hints(row)
    return tuple(_column(row, name, hints[name]) for name in row.__struct_fields__)


def _column(row: type[Row], name: str, hint: Any) -> Column:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        hint = str
    origin: Any = get_origin(hint) or hint
    if origin is tuple:  # unnest() would take an array of arrays apart to the last element, so each travels as JSON.
        return Column(name, "text", f"array(select jsonb_array_elements_text(v.{name}::jsonb))", _as_json, tuple)
    if origin is dict:
        return Column(name, "text", f"v.{name}::jsonb", _as_json, msgspec.json.decode)
    if origin not in _TYPES:
        raise TypeError(f"{row.__name__}.{name}: {hint} is no type of a column (see projections/table.py)")
    return Column(name, _TYPES[origin], f"v.{name}", _without_nul if origin is str else None)


def _as_json(value: Any) -> str:
    return _json.encode(value).decode()


def _without_nul(text: str) -> str:
    """PostgreSQL's text has no NUL. An event's own are gone when it is decoded (page.py)."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
