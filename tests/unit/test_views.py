"""What holds for every view of the company, whatever it is about."""

from dataclasses import replace

import asyncpg
import msgspec
import pytest

from eventstore.memory.store import MemoryStore
from eventstore.store import Recorded
from projections import task_board
from projections.fold import CannotFold, folded
from projections.projector import Projector
from projections.queries import VIEWS
from projections.statement import sql
from projections.view import View
from protocol.message import tag_of
from protocol.subjects import Address
from tests.kit.board_run import BEGIN, recorded, small_run, troubled_run

by_view = pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])


def strange(type_: str, body: bytes) -> Recorded:
    return Recorded(9, Address("demo", "tester", "t1"), 1, type_, BEGIN, "t1", "c", body)


@by_view
def test_a_declared_type_that_does_not_decode_is_an_error_at_its_place(view: View) -> None:
    for cls in view.types:
        event = strange(tag_of(cls), b"[]")
        with pytest.raises(CannotFold, match="tester/t1@1") as raised:
            folded(view, [event])
        assert raised.value.recorded is event


@by_view
def test_a_type_it_does_not_declare_is_nothing_to_it_unless_it_sees_every_event(view: View) -> None:
    log = recorded(small_run())
    before, after = folded(view, log), folded(view, [*log, strange("memory.dreamt.v7", b"[]")])
    assert (before == after) is not view.every


@by_view
def test_a_fold_of_the_same_events_gives_the_same_rows(view: View) -> None:
    log = recorded([*small_run(), *troubled_run("other")])
    assert folded(view, log) == folded(view, log)


@by_view
def test_projects_are_apart(view: View) -> None:
    one, other = recorded(small_run()), recorded([*troubled_run("other"), *small_run()])
    for table, rows in folded(view, other).items():
        assert table.key[0] == "project"
        apart = {key: row for key, row in rows.items() if key[0] == "demo"}
        assert len(apart) == len(folded(view, one)[table])


@by_view
def test_its_schema_makes_its_tables_and_their_indexes_only(view: View) -> None:
    code = "\n".join(line.partition("--")[0] for line in sql(view.schema).splitlines())
    statements = [text.split() for text in code.split(";") if text.strip()]
    made = [words[2] for words in statements if words[:2] == ["create", "table"]]
    assert sorted(made) == sorted(table.name for table in view.tables)
    assert all(words[:2] in (["create", "table"], ["create", "index"]) for words in statements)


def test_no_two_views_share_a_table() -> None:
    names = [table.name for view in VIEWS for table in view.tables]
    assert len(set(names)) == len(names)


def test_text_postgresql_cannot_hold_is_marked() -> None:
    (task,) = folded(task_board.VIEW, recorded(small_run()))[task_board.TASKS].values()
    assert msgspec.to_builtins(task)["title"] == "review\ufffd this"


@pytest.mark.parametrize(("name", "problem"), [("task_board", "share a name"), ("Task Board", "lower-case")])
async def test_names_that_would_break_the_tables_are_refused(name: str, problem: str) -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match=problem):
        Projector(store, asyncpg.create_pool(), [task_board.VIEW, replace(task_board.VIEW, name=name)])
