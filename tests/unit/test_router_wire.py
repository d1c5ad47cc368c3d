"""The pure parts of the providers: events of a stream, names of tools, complaints, prices."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.services.router.complaints import Complaint, Endpoint, error_of, read_complaint
from actors.services.router.exchange import Usage, labelled
from actors.services.router.http import proxy_of
from actors.services.router.prices import cost_usd
from actors.services.router.sse import EventReader, ServerEvent
from actors.services.router.tool_names import NAME_LENGTH_MAX, ToolNames

KEY = "sk-very-secret-key"
ENDPOINT = Endpoint("openai", "http://127.0.0.1:9/v1", "OPENAI_API_KEY", key=KEY)
STREAM = (
    '\ufeff: hello\r\nevent: a\r\ndata: {"x": 1}\r\n\r\ndata:two\ndata: lines é\n\nid: 7\r\rdata\r\rdata: cut'
).encode()
EVENTS = [ServerEvent("a", '{"x": 1}'), ServerEvent("message", "two\nlines é"), ServerEvent("message", "")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_do_not_depend_on_how_the_network_cuts_the_stream(cuts: list[int]) -> None:
    reader = EventReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS


def test_tool_names_come_back_as_they_went() -> None:
    ours = ["security.scan", "a.b", "a__b", "a b", "x" * 80, "x" * 81]
    names = ToolNames(ours)
    wire = [names.to_wire(name) for name in ours]
    assert wire[0] == "security__scan"
    assert len(set(wire)) == len(ours)
    assert all(len(name) <= NAME_LENGTH_MAX for name in wire)
    assert [names.from_wire(name) for name in wire] == ours
    assert names.from_wire("no__such") is None


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "c"}}', "c t", "m"),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "m"}}', "overloaded_error", "m"),
        (b'{"object": "error", "message": "m", "type": "NotFoundError", "code": 404}', "NotFoundError", "m"),
        (b'{"error": "model \\"x\\" not found"}', "", 'model "x" not found'),
        (b'{"detail": [{"loc": ["body"]}]}', "", '[{"loc":["body"]}]'),
        (b"<html>oops</html>", "", "<html>oops</html>"),
        (b"", "", ""),
        (b"[1]", "", "[1]"),
    ],
)
def test_complaints_are_read_in_every_shape(body: bytes, code: str, message: str) -> None:
    assert read_complaint(body) == Complaint(code, message)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}', "unknown_model"),
        (404, b'{"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}', "unknown_model"),
        (404, b'{"error": "model \\"x\\" not found, try pulling it first"}', "unknown_model"),
        (400, b'{"error": {"message": "invalid model ID", "type": "invalid_request_error"}}', "unknown_model"),
        (404, b'{"detail": "Not Found"}', "refused"),
        (400, b'{"error": {"message": "this model supports 8192 tokens at most"}}', "refused"),
        (413, b"", "refused"),
        (402, b'{"error": {"message": "no credit"}}', "refused"),
        (503, b"<html>busy</html>", "unavailable"),
    ],
)
def test_a_status_and_a_complaint_make_a_kind(status: int, body: bytes, kind: str) -> None:
    error = error_of(ENDPOINT, status, read_complaint(body), "x")
    assert error.kind == kind
    assert error.message.startswith("openai: ")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("9999", 60.0), ("nan", 0.0), ("soon", 0.0), ("", 0.0),
     ("Thu, 01 Jan 1970 00:01:50 GMT", 10.0)],
)  # fmt: skip
def test_retry_after_is_a_bounded_number_of_seconds(header: str, seconds: float) -> None:
    assert error_of(ENDPOINT, 429, Complaint("", ""), "x", header, now_s=100.0).retry_after_s == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_no_error_repeats_the_key(status: int) -> None:
    said = Complaint("", f"your key {KEY}\nor sk-ab****wxyz\nis wrong")
    message = error_of(ENDPOINT, status, said, "x").message
    assert KEY not in message
    assert "wxyz" not in message
    assert "\n" not in message
    assert KEY not in repr(ENDPOINT)


def test_a_report_without_a_title_is_labelled_too() -> None:
    assert labelled("all well", "written by x") == "_This report was written by x._\n\nall well\n"
    assert labelled("# T", "written by x") == "# T\n\n_This report was written by x._\n"


async def test_a_price_is_known_or_it_is_not() -> None:
    usage = Usage(1_000_000, 1_000_000, 500_000)
    dear = await cost_usd("https://api.openai.com/v1", "gpt-4o", usage)
    cheaper = await cost_usd("https://api.openai.com/v1", "gpt-4o-mini", usage)
    assert dear is not None
    assert cheaper is not None
    assert dear > cheaper > 0
    assert await cost_usd("https://api.openai.com/v1", "no-such-model", usage) is None
    assert await cost_usd("http://127.0.0.1:11434/v1", "gpt-4o", usage) is None, "what it costs there nobody said"


def test_this_machine_is_never_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of("http://127.0.0.1:11434/v1") is None
    assert proxy_of("http://inside.example/v1") is None
    assert proxy_of("http://models.example/v1") == "http://proxy.example:3128"
