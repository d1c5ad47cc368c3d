"""Personal columns feed no aggregate: no view keeps personal text but in the columns it declares, none counts by it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import projections
from eventstore.store import Recorded
from projections.answers import TaskRow
from projections.fold import folded
from projections.personal import PERSONAL_COLUMNS
from projections.queries import VIEWS
from projections.view import View
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.personal import holds_personal, personal_fields
from protocol.schemas import messages
from protocol.subjects import Address
from tests.kit.units import NOON

MARK = "about-anna"
SQL = {path.stem: path.read_text("utf-8") for path in (Path(projections.__path__[0]) / "sql").glob("*.sql")}
COLUMNS = sorted({column for columns in PERSONAL_COLUMNS.values() for column in columns})


def telling() -> Iterator[tuple[str, type[Event]]]:
    """Every event that can hold personal text, with the kind of its stream."""
    for kind, _, events in messages():
        yield from ((kind, event) for event in events if holds_personal(event))


def filled(cls: type[Any]) -> Any:
    """A message of that class with the mark in every personal field, and something in every other."""
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    declared = personal_fields(cls)
    return cls(**{f.name: MARK if f.name in declared else some(f.type) for f in described.fields})


def some(described: inspect.Type) -> Any:
    match described:
        case inspect.Metadata(type=inner):
            return some(inner)
        case inspect.StructType(cls=cls):
            return filled(cls)
        case inspect.UnionType(types=types):
            return some(types[0])
        case inspect.VarTupleType(item_type=item):
            return (some(item),)
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.BoolType():
            return True
        case inspect.DictType():
            return {}
        case inspect.BytesType():
            return b"other"
        case _:
            return "other"


def recorded(kind: str, event: Event, position: int) -> Recorded:
    body = encode(event)
    return Recorded(position, Address("demo", kind, "t1"), 1, tag_of(event), NOON, "t1", "c1", body)


def test_there_are_events_to_look_at_and_all_carry_the_mark() -> None:
    found = {event.__name__: encode(filled(event)) for _, event in telling()}
    assert found.keys() == {"TaskSubmitted", "Remembered", "Recalled"}
    assert all(MARK.encode() in body for body in found.values())


def marked(view: View) -> set[tuple[str, str]]:
    """Table and column of whatever holds the mark after all these events."""
    events = [recorded(kind, filled(event), position) for position, (kind, event) in enumerate(telling(), start=1)]
    return {
        (table.name, column)
        for table, rows in folded(view, events).items()
        for row in rows.values()
        for column in table.row.__struct_fields__
        if MARK in repr(getattr(row, column))
    }


@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
def test_a_view_keeps_it_in_its_declared_columns_and_nowhere_else(view: View) -> None:
    names = {table.name for table in view.tables}
    declared = {(table, column) for table, columns in PERSONAL_COLUMNS.items() for column in columns}
    assert marked(view) == {(table, column) for table, column in declared if table in names}


@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
def test_no_row_is_found_by_it(view: View) -> None:
    for table in view.tables:
        assert not set(table.key) & PERSONAL_COLUMNS.get(table.name, frozenset())


def test_no_statement_counts_groups_or_looks_up_by_a_personal_column() -> None:
    named = {name: text for name, text in SQL.items() if re.search(rf"\b({'|'.join(COLUMNS)})\b", _code(text))}
    assert {"task_board_schema", "show_task", "list_tasks"} <= named.keys()
    for name, text in named.items():
        code = _code(text)
        for column in COLUMNS:
            used = rf"\b{column}\b"
            assert not re.search(rf"\b(where|having|group by|order by|on)\b[^;]*{used}", code), name
            assert not re.search(rf"(count|sum|min|max|avg|array_agg|string_agg|distinct)\s*\(?[^),]*{used}", code), (
                name
            )
            assert not re.search(rf"create (unique )?index[^;]*{used}", code), name


def test_the_declared_columns_are_those_of_the_schemas_and_rows() -> None:
    for table, columns in PERSONAL_COLUMNS.items():
        schema = next(text for text in SQL.values() if f"create table {table} (" in text)
        for column in columns:
            assert re.search(rf"^\s+{column} text\b.*personal", schema, re.MULTILINE), f"{table}.{column}"
    assert personal_fields(TaskRow).keys() == PERSONAL_COLUMNS["tasks"], "so that readers open it"


def _code(text: str) -> str:
    """Without comments, and without what only copies a column."""
    return re.sub(r"(\w+)\s*=\s*excluded\.\1\b", "", re.sub(r"--[^\n]*", "", text).lower())


def test_the_builder_fills_every_message() -> None:
    for _, _, events in messages():
        for event in events:
            assert msgspec.json.decode(encode(filled(event)), type=event) == filled(event)
