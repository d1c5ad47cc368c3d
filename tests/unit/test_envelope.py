"""Headers: everything may be missing, nothing bad gets through, and who asked is told."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.envelope import (
    HEADER_LENGTH_MAX,
    BadHeader,
    Envelope,
    format_time,
    from_headers,
    parse_time,
    to_headers,
)

FULL = Envelope(
    id="c1",
    time="2026-01-31T12:00:00Z",
    source="cli",
    correlation="t1",
    causation="tools/t1@3",
    reply_to="_INBOX.abc.def",
    deadline="2026-01-31T13:00:00+01:00",
    priority="high",
    sender="ada",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    outbox="1",
)


def test_a_message_without_headers_is_valid() -> None:
    assert from_headers(None) == from_headers({}) == Envelope()
    assert to_headers(Envelope()) == {"ce-specversion": "1.0"}


def test_an_envelope_survives_its_headers() -> None:
    headers = to_headers(FULL, "task.submit.v1", "demo/task/t1")
    assert headers["ce-type"] == "task.submit.v1"
    assert headers["ce-subject"] == "demo/task/t1"
    assert from_headers(headers) == FULL


def test_names_are_matched_without_regard_to_case_and_others_are_ignored() -> None:
    assert from_headers({"CE-ID": " c1 ", "troupe-correlation": "t1", "X-Other": "\0"}) == Envelope(
        id="c1", correlation="t1"
    )


@given(st.dictionaries(st.sampled_from([*to_headers(FULL), "ce-ID", "x"]), st.text(max_size=600)))
def test_any_headers_are_an_envelope_or_a_bad_header(headers: dict[str, str]) -> None:
    told = ""
    try:
        envelope = from_headers(headers)
    except BadHeader as error:
        told, envelope = str(error), Envelope(reply_to=error.reply_to)
    assert told.isprintable()
    assert from_headers(to_headers(envelope)) == envelope
    assert "".join(to_headers(envelope).values()).isprintable()


@pytest.mark.parametrize(
    "inbox",
    ["troupe.cmd.demo.task.t1", "_inbox.a", "_INBOX", "_INBOX.", "_INBOX.*", "_INBOX.a.>", "_INBOX.a b", "_INBOX.ä"],
)
def test_a_reply_goes_to_one_inbox_and_nowhere_else(inbox: str) -> None:
    with pytest.raises(BadHeader, match="Troupe-Reply-To") as told:
        from_headers({"Troupe-Reply-To": inbox})
    assert told.value.reply_to == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Troupe-Correlation", "x" * (HEADER_LENGTH_MAX + 1), "limit"),
        ("Troupe-Correlation", "a\0b", "printable"),
        ("ce-source", "\udc80", "printable"),
        ("Troupe-Priority", "Urgent", "must be one of urgent, high, medium, low"),
        ("Troupe-Deadline", "soon", "ISO 8601"),
        ("Troupe-Deadline", "2026-01-31T12:00:00", "time zone"),
        ("ce-time", "0001-01-01T00:00:00+23:00", "ISO 8601"),
    ],
)
def test_a_bad_header_is_named_and_its_asker_can_be_told(name: str, value: str, words: str) -> None:
    with pytest.raises(BadHeader, match=name) as told:
        from_headers({name: value, "Troupe-Reply-To": "_INBOX.me"})
    assert words in str(told.value)
    assert told.value.reply_to == "_INBOX.me"


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_a_time_survives_its_text(at: datetime) -> None:
    try:
        text = format_time(at)
    except OverflowError:
        return  # The first and last day of the calendar have no UTC.
    assert parse_time(text) == at
    assert parse_time(text).tzinfo is UTC
