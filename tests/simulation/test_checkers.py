"""The checkers themselves: each sees what it is for, and is content with what is right."""

from dataclasses import replace
from datetime import UTC, datetime

from actors.runtime.simulated.checkers import (
    Acquired,
    Wrote,
    check_applied_once,
    check_asks,
    check_effects,
    check_epochs,
    check_order,
    check_positions,
    check_quarantine,
    check_sends,
    check_stored,
    wanted,
)
from actors.runtime.simulated.provider import Payment
from actors.runtime.simulated.publishers import Published
from actors.runtime.simulated.tracks import check_traces
from eventstore.store import InboxRow, Recorded
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.reply import Reply
from protocol.subjects import Address
from protocol.trace import TraceContext, span_id
from tests.simulation.kinds import KINDS, Added, Begun, Hit, Reported, at

AT = datetime(2026, 1, 1, tzinfo=UTC)
T = at("tally", "t1")


def log(*events: tuple[Address, Event, str]) -> list[Recorded]:
    """A log of these events: of whom, which, and the command behind it."""
    versions: dict[Address, int] = {}
    recorded: list[Recorded] = []
    for address, event, causation in events:
        versions[address] = versions.get(address, 0) + 1
        body, tag = encode(event), tag_of(event)
        recorded.append(Recorded(len(recorded) + 1, address, versions[address], tag, AT, "", causation, body))
    return recorded


def told(id_: str, outcome: str = "accepted", number: int = 1, position: int = 0, **fields: object) -> Published:
    reply = Reply(outcome, id_, str(T), position)  # type: ignore[arg-type]
    published = Published(id_, T, "p", number, b"", number * 1.0, True, answered_s=number + 0.5, replies=[reply])
    return replace(published, **fields)  # type: ignore[arg-type]


def row(id_: str, outcome: str = "accepted") -> InboxRow:
    return InboxRow(id_, T, "tally.add.v1", outcome, "", 1, 1)


def test_positions_and_versions() -> None:
    good = log((T, Added(1), "a"), (T, Added(1), "b"))
    assert not check_positions(good)
    assert "position 3" in check_positions([good[0], _moved(good[1], position=3)])[0]
    assert "version 1" in check_positions([good[0], _moved(good[1], version=1)])[0]


def _moved(event: Recorded, position: int = 0, version: int = 0) -> Recorded:
    return Recorded(
        position or event.position, event.address, version or event.version, event.type, event.at, "", event.causation,
        event.body,
    )  # fmt: skip


def test_one_writer_at_a_time() -> None:
    began = [
        Acquired(1, 1, "a"),
        Wrote(1, 1, "a", "s"),
        Acquired(1, 2, "b"),
        Wrote(1, 2, "b", "s"),
        Acquired(2, 1, "a"),
    ]
    assert not check_epochs(began)
    assert "while b had it in epoch 2" in check_epochs([*began, Wrote(1, 1, "a", "s")])[0]
    assert "while b had it" in check_epochs([*began, Wrote(1, 2, "a", "s")])[0]
    assert "began after" in check_epochs([*began, Acquired(1, 2, "c")])[0]
    assert check_epochs([Wrote(3, 1, "a", "s")])


def test_accepted_is_applied_exactly_once() -> None:
    events = log((T, Added(2), "a"), (T, Added(2), "a"), (T, Added(1), "b"))
    sent, rows = [told("a", position=1), told("b", position=3, number=2)], [row("a"), row("b")]
    assert not check_applied_once(sent, events, rows)
    twice = log((T, Added(1), "a"), (T, Added(1), "b"), (T, Added(1), "a"))
    assert "a was applied 2 times" in check_applied_once(sent, twice, rows)[0]
    elsewhere = log((T, Added(1), "a"), (at("tally", "t2"), Added(1), "a"), (T, Added(1), "b"))
    assert "a was applied 2 times" in check_applied_once(sent, elsewhere, rows)[0]
    missing = check_applied_once(sent, events[:2], rows)
    assert any("b was accepted, and the log has nothing of it" in each for each in missing)
    assert any("inbox does not know it" in each for each in check_applied_once(sent, events, rows[:1]))
    assert "nobody sent it" in check_applied_once(sent[:1], events, rows[:1])[0]


def test_what_was_told_agrees_with_what_is() -> None:
    events, rows = log((T, Added(1), "a")), [row("a")]
    assert "the inbox says accepted" in check_applied_once([told("a", "silent")], events, rows)[0]
    assert "position 7" in check_applied_once([told("a", position=7)], events, rows)[0]
    two = replace(told("a"), replies=[*told("a").replies, *told("a", "refused").replies])
    assert "accepted and refused" in check_applied_once([two], events, rows)[0]
    assert "never answered" in check_applied_once([replace(told("a"), replies=[])], events, rows)[0]
    assert "caused 1 events" in check_applied_once([told("a", "silent")], events, [row("a", "silent")])[0]


def test_busy_is_no_answer() -> None:
    busy = Reply("refused", "a", str(T), code="busy", retry_after_s=1.0)
    both = replace(told("a"), replies=[busy, *told("a").replies])
    assert not check_applied_once([both], log((T, Added(1), "a")), [row("a")])


def test_quarantine_is_told() -> None:
    assert "no event of its quarantine" in check_quarantine([], [row("a", "quarantined")])[0]
    assert not check_quarantine([], [row("a")])


def test_what_the_stream_holds_is_settled() -> None:
    assert not check_stored([told("a")], [row("a")], [(4, "a"), (5, "nobody's")])
    assert "at 4, and nobody has settled it" in check_stored([told("a")], [], [(4, "a")])[0]


def test_order_of_one_sender() -> None:
    later = log((T, Added(1), "b"), (T, Added(1), "a"))
    first, second = told("a", number=1, copies=[(0, 1)]), told("b", number=2, copies=[(0, 2)])
    assert "a before b" in check_order([first, second], later)[0]
    assert not check_order([first, second], log((T, Added(1), "a"), (T, Added(1), "b")))
    # Both under way at once, and the first one's only copy came after the second's: the road lost the one before.
    resent = replace(first, answered_s=9.0, copies=[(0, 3)])
    assert not check_order([resent, second], later)
    # The same, and the stream was made anew in between.
    assert not check_order([replace(resent, copies=[(0, 1), (1, 2)]), replace(second, copies=[(1, 1)])], later)
    assert check_order([replace(resent, copies=[(0, 1), (1, 1)]), replace(second, copies=[(1, 2)])], later)


def test_order_and_number_of_sends() -> None:
    a, b = at("rally", "a"), at("rally", "b")
    served = [(a, Hit("b", 1, 1), "x"), (a, Hit("b", 2, 1), "x")]
    good = log(*served, (b, Hit("a", 1, 0), "rally/a@1.0"), (b, Hit("a", 2, 0), "rally/a@2.0"))
    heard = frozenset(("rally.ball.v1",))
    assert not check_order([], good)
    assert not check_sends(good, wanted(good, KINDS), heard)
    inverted = log(*served, (b, Hit("a", 2, 0), "rally/a@2.0"), (b, Hit("a", 1, 0), "rally/a@1.0"))
    assert "which was sent later" in check_order([], inverted)[0]
    assert (
        "rally/a@2.0 (rally.ball.v1) to demo/rally/b was applied 0 times"
        in check_sends(good[:3], wanted(good[:3], KINDS), heard)[0]
    )
    invented = log(*served[:1], (b, Hit("a", 1, 0), "rally/a@1.0"), (b, Hit("a", 1, 0), "rally/a@9.0"))
    assert "which nobody sent" in check_sends(invented, wanted(invented, KINDS), heard)[0]


def test_effects_are_paid_once_where_the_provider_can_tell() -> None:
    desk = at("desk", "d")
    begun = (desk, Begun("j", "once", -1.0), "x")
    good = log(begun, (desk, Reported("j", "r"), "desk/d@1.0:j:outcome"))
    wants, paid = wanted(good, KINDS), Payment("demo", "desk/d@1.0:j", "once", 1, "w", 1.0)
    assert not check_effects(good, wants, [paid])
    assert "done once, and was paid for 2 times" in check_effects(good, wants, [paid, replace(paid, attempt=2)])[0]
    assert "paid 2 times in its attempt 1" in check_effects(good, wants, [paid, paid])[1]
    assert "came to 0 outcomes" in check_effects(good[:1], wants, [paid])[0]
    assert not check_effects(good[:1], wants, [paid], frozenset(("desk/d@1.0:j",)))
    assert "nobody wanted it" in check_effects(good, wants, [paid, replace(paid, key="desk/d@7.0")])[0]


def test_every_ask_ends() -> None:
    ask = told("a", deadline_s=3.0, copies=[(0, 1)])
    assert not check_asks([ask], [], 0.0)
    silent = replace(ask, replies=[], answered_s=None)
    assert "had no answer" in check_asks([silent], [], 0.0)[0]
    assert "an answer at 60.000 s" in check_asks([replace(ask, answered_s=60.0)], [], 0.0)[0]
    assert not check_asks([replace(ask, answered_s=60.0)], [], 50.0)
    assert not check_asks([replace(silent, reply_lost=True)], [], 0.0)
    assert not check_asks([silent], [], 0.0, incarnation=1)
    assert check_asks([silent], [row("a")], 0.0, incarnation=1)


def test_a_trace_goes_on_in_all_that_follows() -> None:
    a, b = at("rally", "a"), at("rally", "b")
    events = log((a, Hit("b", 1, 1), "x"), (b, Hit("a", 1, 0), "rally/a@1.0"), (a, Hit("b", 1, 1), "y"))
    trace = TraceContext("1" * 32, "2" * 16, state="s=1")

    def given(id_: str) -> TraceContext | None:
        return trace if id_ == "x" else None

    good = {
        ("demo", "rally/a@1"): trace.at(span_id("process", "demo", "x")).stored,
        ("demo", "rally/b@1"): trace.at(span_id("process", "demo", "rally/a@1.0")).stored,
    }
    assert not check_traces(events, good, given)
    assert "rally/b@1 follows from x" in check_traces(events, dict(list(good.items())[:1]), given)[0]
    assert "rally/a@2 follows from y" in check_traces(events, good | {("demo", "rally/a@2"): trace.stored}, given)[0]
    assert check_traces(events, good | {("demo", "rally/b@1"): trace.stored}, given), "of another span"
