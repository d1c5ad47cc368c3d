"""Reads without a server: what is a query, what a cursor says, what a listing may be, how the service is described."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from actors.edge.queries import schemas
from actors.edge.queries.micro import SCHEMAS_LEFT_OUT, Endpoint, Micro, error_headers, is_inbox
from actors.edge.queries.service import endpoint_name, fitted
from projections.asking import read_query
from projections.errors import BadQuery
from projections.listing import Above, Among, Listing
from projections.listings import LISTINGS
from projections.personal import PERSONAL_COLUMNS
from projections.selecting import cursor, select
from projections.table import Row, Table
from protocol.personal import SCHEMA_KEY
from protocol.query import Answer, Query
from protocol.task import Contact
from tests.kit.notes_view import BEGIN, DAYS, LISTING, NOTES, VIEW, note

MIB = 1024**2
BY_NAME = [LISTINGS[name] for name in sorted(LISTINGS)]


def code(**fields: Any) -> str:
    with pytest.raises(BadQuery) as refused:
        select(LISTING, read_query({"project": "demo"} | fields))
    return refused.value.fault.code


def test_a_query_is_read_with_its_defaults() -> None:
    assert read_query(b'{"project": "demo"}') == Query("demo") == read_query({"project": "demo"})
    query = read_query(b'{"project": "p", "since": "2026-01-31T13:00:00+01:00", "where": {"a": "b"}, "at_least": 3}')
    assert (query.since, query.where, query.at_least) == (BEGIN, {"a": "b"}, 3)
    assert (query.limit, query.failed, query.after, query.until) == (50, False, "", None)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"since": "2026-01-31"}, "bad-time"),
        ({"until": "2026-01-31T12:00:00"}, "bad-time"),
        ({"until": 7}, "bad-time"),
        ({"until": "9999-12-31T23:59:59-12:00"}, "bad-time"),
        ({"limit": 0}, "bad-limit"),
        ({"limit": 501}, "bad-limit"),
        ({"limit": "5"}, "bad-limit"),
        ({"after": 1}, "bad-cursor"),
        ({"after": "x" * 9_000}, "bad-cursor"),
        ({"project": None}, "bad-project"),
        ({"at_least": -1}, "malformed"),
        ({"at_least": 2**63}, "malformed"),
        ({"timeout_s": 0}, "malformed"),
        ({"where": {"status": 1}}, "malformed"),
        ({"wher": {}}, "malformed"),
        ({"where": {"at": "2026-01-31T12:00:00Z"}}, "unknown-filter"),
        ({"where": {"place": "1"}}, "unknown-filter"),
    ],
    ids=lambda value: json.dumps(value)[:30] if isinstance(value, dict) else value,
)
def test_what_is_no_query_is_told_apart(fields: dict[str, Any], wanted: str) -> None:
    assert code(**fields) == wanted


def test_a_column_of_the_key_needs_those_before_it() -> None:
    with pytest.raises(BadQuery, match="by place only together with task") as refused:
        select(LISTING, read_query({"project": "demo", "where": {"place": "1"}}))
    assert refused.value.fault.allowed == LISTING.filters
    select(LISTING, read_query({"project": "demo", "where": {"place": "1", "task": "t1"}}))
    few = Listing(VIEW, NOTES, few=True)
    select(few, read_query({"project": "demo", "where": {"place": "1"}}))


def test_what_an_asker_says_is_never_in_the_statement() -> None:
    evil = "x'; drop table notes --"
    statement, arguments = select(
        LISTING, Query("demo", {"task": evil, "status": evil, "words": evil}, since=BEGIN, failed=True, limit=7)
    )
    assert evil not in statement
    assert arguments == ["demo", evil, evil, evil, BEGIN, 8]
    assert statement.count("$") == len(arguments)
    assert "(status in ('failed', 'lost') or errors > 0)" in statement


@pytest.mark.parametrize("listing", [LISTING, DAYS], ids=lambda listing: listing.name)
def test_a_cursor_says_where_a_row_stands_and_only_in_its_listing(listing: Listing) -> None:
    row = note(7, task="t/…\"'", second=3)
    place = cursor(listing, row)
    assert place.isascii()
    assert "=" not in place
    _, arguments = select(listing, Query("demo", after=place))
    assert arguments[1:-1] == [getattr(row, name) for name in listing.order]
    other = DAYS if listing is LISTING else LISTING
    with pytest.raises(BadQuery, match="no cursor of"):
        select(other, Query("demo", after=place))


def test_a_cursor_that_was_changed_is_none() -> None:
    whole = cursor(LISTING, note(7))
    name, *values = json.loads(urlsafe_b64decode(whole + "=="))
    wrong: list[list[Any]] = [
        [], [name], [name, *values[:-1]], [name, *values, 1], [name, *values[::-1]], ["other", *values],
    ]  # fmt: skip
    for place in wrong:
        assert code(after=urlsafe_b64encode(msgspec.json.encode(place)).decode()) == "bad-cursor", place
    for text in ("x", "xx", "é", "{}", whole[:-3]):
        assert code(after=text) == "bad-cursor", text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"filters": ("nope",)}, "nope is no column"),
        ({"filters": ("project_",)}, "project_ is no column"),
        ({"time": "seconds"}, "may be null"),
        ({"time": "errors"}, "errors is no time"),
        ({"failed": (Among("nope", ("x",)),)}, "nope is no column"),
        ({"failed": (Above("nope"),)}, "nope is no column"),
    ],
    ids=str,
)
def test_a_listing_that_cannot_be_is_refused_when_it_is_made(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Listing(VIEW, NOTES, **fields)


class _Person(Row, kw_only=True):
    project: str
    person: str
    contact: Contact = ""


def test_no_personal_text_is_a_filter_or_in_an_order() -> None:
    table = Table("people", _Person, ("project", "person"))
    Listing(VIEW, table)
    with pytest.raises(ValueError, match="contact is no column, or one with personal text"):
        Listing(VIEW, table, filters=("contact",))
    for listing in BY_NAME:
        personal = PERSONAL_COLUMNS.get(listing.table.name, frozenset())
        assert personal.isdisjoint({*listing.filters, *listing.order})
        described = json.dumps(schemas.answer_schema(listing))
        assert (SCHEMA_KEY in described) is bool(personal), "a reader must see which text is personal, and open it"


def test_the_golden_schemas_agree_with_the_types() -> None:
    golden = {path.name: path.read_text("utf-8") for path in schemas.FOLDER.glob("*.json")}
    assert golden == schemas.render(), "run: python -P -m actors.edge.queries.schemas --write"


def test_drift_is_named_and_written_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    (tmp_path / "retired.json").write_text("{}")
    assert schemas.main([]) == 1
    assert "retired.json differs" in capsys.readouterr().err
    assert (schemas.main(["--write"]), schemas.main([])) == (0, 0)
    assert schemas.main(["--nope"]) == 2


@pytest.mark.parametrize("listing", BY_NAME, ids=lambda listing: listing.name)
def test_a_listings_schemas_hold_what_it_says(listing: Listing) -> None:
    said = {name: json.loads(text) for name, text in schemas.metadata(listing).items()}
    for schema in said.values():
        Draft202012Validator.check_schema(schema)
    request = Draft202012Validator(said["request_schema"])
    assert request.is_valid({"project": "demo", "where": dict.fromkeys(listing.filters, "x")})
    assert not request.is_valid({"project": "demo", "where": {"project": "x"}})
    assert request.is_valid({"project": "demo", "failed": True}) is bool(listing.failed)
    answer = Draft202012Validator(said["response_schema"])
    assert answer.is_valid({"view": listing.name, "position": 1, "rows": [], "next": ""})
    assert not answer.is_valid({"view": listing.name, "position": 1, "rows": [{}], "next": ""})


def described(*metadata: str) -> Micro:
    endpoints = [
        Endpoint(endpoint_name(name), f"troupe.query.{name}", schemas.metadata(listing) if not metadata else {})
        for name, listing in LISTINGS.items()
    ]
    return Micro("troupe-query", "1.0.0", "Reads.", endpoints, datetime(2026, 1, 31, tzinfo=UTC))


def test_the_description_fits_into_a_message() -> None:
    micro = described()
    whole = micro.info(MIB)
    assert len(whole) < MIB / 2
    assert SCHEMAS_LEFT_OUT not in whole.decode()
    less = micro.info(len(whole) - 1)
    assert len(less) < len(whole)
    found = json.loads(less)["endpoints"]
    assert {each["subject"] for each in found} == {f"troupe.query.{name}" for name in LISTINGS}
    assert found[0]["metadata"]["request_schema"] == SCHEMAS_LEFT_OUT


def test_an_error_is_one_line_of_a_header() -> None:
    assert error_headers(400, "no\r\nstory:  x\t\n") == {
        "Nats-Service-Error": "no story:  x", "Nats-Service-Error-Code": "400",
    }  # fmt: skip
    assert len(error_headers(400, "x" * 9_000)["Nats-Service-Error"]) == 512
    assert [is_inbox(reply) for reply in ("_INBOX.a.b", "_R_.x", "", "troupe.cmd.demo.task.t1", "_INBOX")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_an_answer_is_cut_to_what_a_message_takes() -> None:
    rows = tuple(note(n, text="x" * 1_000) for n in range(10, 0, -1))
    answer = Answer("notes", 9, rows, "")
    whole = fitted(LISTING, answer, MIB)
    assert whole == msgspec.json.encode(answer)
    for bytes_max in range(1_600, len(whole), 977):
        cut = msgspec.json.decode(fitted(LISTING, answer, bytes_max), type=Answer)
        assert len(fitted(LISTING, answer, bytes_max)) <= bytes_max
        assert cut.next == cursor(LISTING, rows[len(cut.rows) - 1])
        assert [row["place"] for row in cut.rows] == [row.place for row in rows[: len(cut.rows)]]
    with pytest.raises(BadQuery) as refused:
        fitted(LISTING, answer, 500)
    assert (refused.value.fault.code, refused.value.fault.next) == ("too-big", cursor(LISTING, rows[0]))


def test_days_begin_in_utc() -> None:
    def bound(text: str) -> Any:
        return select(DAYS, read_query({"project": "demo", "since": text}))[1][1]

    assert bound("2026-01-31T00:00:00Z") == date(2026, 1, 31)
    assert bound("2026-01-31T00:00:00+01:00") == date(2026, 1, 31)
    assert bound("2026-01-31T00:00:01Z") == date(2026, 2, 1)
    assert bound("2026-01-31T23:00:00-01:00") == date(2026, 2, 1)
