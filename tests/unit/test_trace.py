"""Trace contexts: read by the specification's rules, never refused, and worked out where nobody gave one."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.envelope import Envelope, from_headers, to_headers
from protocol.trace import STATE_LENGTH_MAX, TraceContext, parse, read_stored, span_id, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

ids = [
    st.text("0123456789abcdef", min_size=n, max_size=n).filter(lambda id_: set(id_) != {"0"}) for n in (32, 16)
]  # fmt: skip
contexts = st.builds(
    TraceContext, ids[0], ids[1], st.booleans(), st.sampled_from(["", "a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"])
)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),  # Flags that level 1 does not know.
        (f"00-{TRACE}-{SPAN}-02", False),
        (f" {GOOD}\t", True),
        (f"01-{TRACE}-{SPAN}-01", True),  # A version that came later, and what it may have behind the flags.
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        (f"fe-{TRACE}-{SPAN}-01-", True),
    ],
)
def test_a_traceparent_is_read(header: str, sampled: bool) -> None:
    found = parse(header)
    assert found is not None
    assert found == TraceContext(TRACE, SPAN, sampled)
    assert found.traceparent == f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"FF-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",  # Version 00 ends with its flags.
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"cc-{TRACE}-{SPAN}-01x",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0X",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00_{TRACE}_{SPAN}_01",
        f"{GOOD},{GOOD}",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        pytest.param("x" * 10_000, id="far too long"),
    ],
)
def test_what_is_no_traceparent_is_ignored_and_no_refusal(header: str) -> None:
    assert parse(header, "a=1") is None
    assert from_headers({"traceparent": header, "tracestate": "a=1", "ce-id": "c1"}) == Envelope(id="c1")


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1", "a=1"),
        ("rojo=00f067, congo=t61 rc ,\t", "rojo=00f067,congo=t61 rc"),
        ("fw529a3039@dt=FfAx,a*b/c-d_e=!", "fw529a3039@dt=FfAx,a*b/c-d_e=!"),
        (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
        (",".join(f"k{n}=v" for n in range(33)), ""),
        ("a=" + "x" * (STATE_LENGTH_MAX - 2), ""),  # A value has at most 256 characters.
        ("a=" + "x" * 256 + ",b=" + "x" * 256, ""),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=1,=2", ""),
        ("a", ""),
        ("a=läuft", ""),
        ("a=1\n", ""),
        ("a=1=2", ""),
    ],
)
def test_a_tracestate_is_passed_on_whole_or_not_at_all(state: str, kept: str) -> None:
    found = parse(GOOD, state)
    assert found is not None
    assert found.state == kept


def test_what_came_in_headers_goes_out_in_headers() -> None:
    envelope = from_headers({"Traceparent": f"cc-{TRACE}-{SPAN}-03-x", "TraceState": "a=1, b=2"})
    assert envelope == Envelope(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="a=1,b=2")
    assert from_headers(to_headers(envelope)) == envelope
    assert from_headers({"tracestate": "a=1"}) == Envelope()


@given(contexts)
def test_a_context_is_read_back_as_it_was_written(context: TraceContext) -> None:
    assert parse(context.traceparent, context.state) == context
    assert read_stored(context.stored) == context
    named = context.headers
    assert parse(named["traceparent"], named.get("tracestate", "")) == context


@given(st.text(), st.text())
def test_whatever_comes_is_a_context_or_none(traceparent: str, tracestate: str) -> None:
    for found in (parse(traceparent, tracestate), parse(GOOD, tracestate)):
        if found is not None:
            assert parse(found.traceparent, found.state) == found
            assert found.stored.isascii()
            assert found.stored.isprintable()


def test_ids_are_worked_out_from_what_they_are_about() -> None:
    assert trace_id("demo", "t1") == hashlib.sha256(b"troupe-trace\0demo\0t1").hexdigest()[:32]
    assert span_id("process", "demo", "c1") == hashlib.sha256(b"troupe-span\0process\0demo\0c1").hexdigest()[:16]
    apart = {trace_id("demo", "t1"), trace_id("demo", "t2"), trace_id("other", "t1")}
    assert len(apart) == 3
    assert len({span_id("process", "demo", "x"), span_id("send", "demo", "x"), span_id("process", "d", "x")}) == 3


@given(st.text(), st.text())
def test_any_correlation_has_a_trace(project: str, correlation: str) -> None:
    assert parse(TraceContext(trace_id(project, correlation), span_id("send", project, correlation)).traceparent)


def test_nothing_was_given_where_nothing_is_stored() -> None:
    assert read_stored("") is None
    assert read_stored("nonsense a=1") is None
