"""A turn: commands in a row on one state, into one unit; nothing of a broken turn is used."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.runtime.kind import Cancel, Effect, Kind, Reaction, Send, Timer
from actors.runtime.turn import DETAIL_LENGTH_MAX, EVENTS_MAX, Loaded, Pending, Turn, TurnBroke, plain, run_turn
from actors.runtime.work import decide, known_answer, quarantine, refuse
from eventstore.records import Parking
from eventstore.store import InboxRow
from protocol.codec import Vocabulary, encode
from protocol.envelope import Envelope
from protocol.message import Command, Refusal
from protocol.reply import Reply
from protocol.runtime import BODY_QUOTED_BYTES_MAX, EVENTS, CommandQuarantined
from protocol.subjects import Address, partition_of
from tests.kit.counting import COUNTER, PLAYER, WORKER, Add, Added, Ball, Begin, Count, Forget, Hits, Idle, Serve

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=9)
C1 = Address("demo", "counter", "c1")


def command(wanted: Command | Refusal, id_: str = "x", address: Address = C1, inbox: str = "", **more: Any) -> Pending:
    refusal = wanted if isinstance(wanted, Refusal) else None
    meant = None if isinstance(wanted, Refusal) else wanted
    body = b"" if meant is None else encode(meant)
    envelope = Envelope(id=id_, reply_to=inbox)
    return Pending(address, id_, "t", body, NOON, "run", envelope, meant, refusal, **more)


def counted(*commands: Pending, before: Loaded | None = None) -> Turn:
    return run_turn(COUNTER, C1, before or Loaded(Count(), 0), commands, LATER)


def test_commands_see_what_those_before_them_decided() -> None:
    turn = counted(command(Add(2), "a"), command(Add(3), "b"), before=Loaded(Count(10, 4), 4))
    assert turn.state == Count(15, 6)
    assert turn.version == 6
    unit = turn.unit()
    assert (unit.expected, unit.address, unit.partition) == (4, C1, partition_of(C1))
    assert [(e.type, e.causation, e.correlation, e.at) for e in unit.events] == [
        ("counter.added.v1", "a", "run", NOON),
        ("counter.added.v1", "b", "run", NOON),
    ]
    assert [(s.id, s.outcome) for s in unit.settled] == [("a", "accepted"), ("b", "accepted")]


def test_silence_and_refusal_settle_without_events_and_expect_no_version() -> None:
    turn = counted(command(Add(0), "a"), command(Add(-1), "b"), command(Refusal("malformed", "no JSON"), "c"))
    unit = turn.unit()
    assert unit.expected is None
    assert unit.events == ()
    assert [(s.id, s.outcome, s.detail) for s in unit.settled] == [
        ("a", "silent", ""),
        ("b", "refused", "negative: cannot add -1; add what is there"),
        ("c", "refused", "malformed: no JSON"),
    ]
    assert turn.state == Count()


def test_replies_name_the_events_and_where_they_stand_in_the_unit() -> None:
    turn = counted(
        command(Add(1), "a", inbox="_INBOX.a"),
        command(Add(-1), "b", inbox="_INBOX.b"),
        command(Add(0), "c", inbox="_INBOX.c"),
        command(Add(1), "d"),
        command(Add(2), "e", inbox="_INBOX.e"),
        before=Loaded(Count(), 7),
    )
    ((work,), _) = decide(COUNTER, C1, Loaded(Count(), 7), [command(Add(1), "z", inbox="_INBOX.z")], NOON)
    assert work.answers(41) == [("_INBOX.z", Reply("accepted", "z", "demo/counter/c1", 41, ("counter/c1@8",)))]
    assert turn.replies == [
        ("_INBOX.a", Reply("accepted", "a", "demo/counter/c1", events=("counter/c1@8",)), 0),
        (
            "_INBOX.b",
            Reply("refused", "b", "demo/counter/c1", code="negative", message="cannot add -1; add what is there"),
            1,
        ),
        ("_INBOX.c", Reply("silent", "c", "demo/counter/c1"), 1),
        ("_INBOX.e", Reply("accepted", "e", "demo/counter/c1", events=("counter/c1@10",)), 2),
    ]


def test_answers_give_each_its_own_position() -> None:
    asked = [command(Add(n), str(n), inbox=f"_INBOX.{n}") for n in (1, 0, 2)]
    ((work,), later) = decide(COUNTER, C1, Loaded(Count(), 3), asked, NOON)
    assert later == []
    assert [(reply.id, reply.position) for _, reply in work.answers(100)] == [("1", 100), ("0", 0), ("2", 101)]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("decide", "decide: KeyError: 'no\\x00such thing'"),
        ("evolve", "RuntimeError: cannot become that"),
        ("react", "RuntimeError: cannot say that"),
        ("many", f"300 events for one command, limit {EVENTS_MAX}"),
        ("big", "big content belongs in a blob"),
        ("send", "'no such name' cannot be part of a subject"),
        ("undeclared", "unknown type 'counter.undeclared.v1'"),
    ],
)
def test_a_core_that_breaks_names_its_killer(trouble: str, words: str) -> None:
    with pytest.raises(TurnBroke) as broke:
        counted(command(Add(1), "a"), command(Add(1, trouble), "b"), command(Add(1), "c"))
    assert broke.value.index == 1
    assert words in broke.value.error


def test_the_killer_is_cut_out_once_those_before_it_are_decided() -> None:
    """What it broke on is committed by then, and none that came before it can be left behind by a lost unit."""
    killer = command(Add(1, "decide"), "b", inbox="_INBOX.b")
    (healthy,), left = decide(
        COUNTER, C1, Loaded(Count(), 0), [command(Add(1), "a"), killer, command(Add(1), "c")], NOON
    )
    assert [s.id for s in healthy.unit.settled] == ["a"]
    assert [p.id for p in left] == ["b", "c"]
    (broken,), later = decide(COUNTER, C1, Loaded(Count(1, 1), 1), left, NOON)
    assert [p.id for p in later] == ["c"]
    assert broken.unit.parks == (Parking(C1, broken.error),)
    assert [(w.address, w.id, w.body, w.reply_to) for w in broken.unit.waits] == [(C1, "b", killer.body, "_INBOX.b")]
    assert [(s.id, s.outcome, s.keep, s.body) for s in broken.unit.settled] == [("b", "quarantined", True, killer.body)]
    assert broken.unit.address == Address("demo", "runtime", str(partition_of(C1)))
    assert (broken.unit.partition, broken.unit.expected) == (partition_of(C1), None)
    (event,) = broken.unit.events
    assert Vocabulary(EVENTS).decode(event.body) == CommandQuarantined(
        "counter", "c1", "b", "t", broken.error, killer.body
    )
    assert broken.answers(5) == [
        ("_INBOX.b", Reply("quarantined", "b", "demo/counter/c1", code="broke", message=broken.error))
    ]


def test_a_killer_too_big_for_an_event_is_kept_by_the_inbox_alone() -> None:
    row = Pending(C1, "s", "t", b"x" * (BODY_QUOTED_BYTES_MAX + 1), NOON, "run", Envelope(), outbox_id=9)
    unit = quarantine(row, "broke\0" + "x" * 5_000).unit
    (event,) = unit.events
    read = Vocabulary(EVENTS).decode(event.body)
    assert isinstance(read, CommandQuarantined)
    assert read.body == b""
    assert len(read.error) == DETAIL_LENGTH_MAX + 1, "the NUL takes two characters"
    assert [(s.keep, s.body) for s in unit.settled] == [(True, row.body)]


def test_refusing_without_the_core_keeps_each_reason() -> None:
    work = refuse(
        [command(Refusal("malformed", "no JSON"), "a", inbox="_INBOX.a"), command(Add(), "b", inbox="_INBOX.b")],
        Refusal("parked", "not now"),
    )
    assert [s.detail for s in work.unit.settled] == ["malformed: no JSON", "parked: not now"]
    assert [(inbox, reply.code, reply.message) for inbox, reply in work.answers(0)] == [
        ("_INBOX.a", "malformed", "no JSON"),
        ("_INBOX.b", "parked", "not now"),
    ]


def test_what_was_settled_before_is_told_as_it_was() -> None:
    def row(outcome: str, detail: str) -> InboxRow:
        return InboxRow("x", C1, "t", outcome, detail, 12, 1)

    assert known_answer(row("accepted", "")) == Reply("accepted", "x", "demo/counter/c1", 12, (), True)
    assert known_answer(row("refused", "negative: no: never")) == Reply(
        "refused", "x", "demo/counter/c1", 12, (), True, "negative", "no: never"
    )
    assert known_answer(row("quarantined", "decide: ValueError: x")).message == "decide: ValueError: x"


def test_external_commands_outcomes_and_killers_leave_their_bytes_plain_sends_do_not() -> None:
    turn = counted(
        command(Add(1), "ext", sequence=5),
        command(Add(1), "send", outbox_id=7),
        command(Add(1), "outcome", outbox_id=8, outcome_of="counter/c1@1.0"),
    )
    assert [(s.id, s.keep, s.outbox_id, s.sequence) for s in turn.settled] == [
        ("ext", True, 0, 5),
        ("send", False, 7, 0),
        ("outcome", True, 8, 0),
    ]


def test_sends_are_named_by_the_event_that_caused_them() -> None:
    p1 = Address("demo", "player", "p1")
    turn = run_turn(PLAYER, p1, Loaded(Hits("p1"), 2), [command(Serve("p2", 2), address=p1)], LATER)
    assert [(s.id, s.sender, s.to, s.partition, s.at, s.causation, s.correlation) for s in turn.sends] == [
        (f"player/p1@{v}.0", "player/p1", to, partition_of(to), LATER, f"player/p1@{v}", "run")
        for v, to in ((3, Address("demo", "player", "p2")), (4, Address("demo", "player", "p2")))
    ]
    assert turn.sends[1].body == encode(Ball("p1", 2, 1))


W1 = Address("demo", "worker", "w1")


def worked(*commands: Command) -> Turn:
    pending = [command(c, str(n), W1) for n, c in enumerate(commands)]
    return run_turn(WORKER, W1, Loaded(Idle(), 0), pending, LATER)


def test_an_effect_has_a_key_of_its_own() -> None:
    turn = worked(Begin("a"), Begin("once"))
    assert [(e.key, e.effect_kind, e.safety, e.at, e.causation) for e in turn.effects] == [
        ("worker/w1@1.0", "job", "repeatable", LATER, "worker/w1@1"),
        ("worker/w1@2.0", "job", "once", LATER, "worker/w1@2"),
    ]


def test_a_timer_is_due_after_the_turn_and_the_later_one_counts() -> None:
    turn = worked(Begin("a", 5.0), Begin("b", 7.5))
    (timer,) = turn.unit().timers
    assert (timer.key, timer.due, timer.type) == ("late", LATER + timedelta(seconds=7.5), "worker.remind.v1")
    assert b'"b"' in timer.body


def test_a_cancelled_timer_is_not_set_and_one_set_after_the_cancel_is() -> None:
    assert (worked(Begin("a", 5.0), Forget()).unit().timers, worked(Forget()).unit().cancels) == ((), ("late",))
    unit = worked(Begin("a", 5.0), Forget(), Begin("b", 1.0)).unit()
    assert unit.cancels == ("late",)
    assert [t.due for t in unit.timers] == [LATER + timedelta(seconds=1)]


def test_several_reactions_of_one_event_are_told_apart() -> None:
    def react(_: Count, __: Added) -> tuple[Reaction, ...]:
        return (
            Send("counter", "c2", Add()),
            Timer("t", 1.0, Add()),
            Effect("job", Add(), "repeatable"),
            Cancel("u"),
            Send("counter", "c3", Add()),
        )

    kind = Kind("counter", (Add,), (Added,), COUNTER.initial, COUNTER.decide, COUNTER.evolve, react)
    unit = run_turn(kind, C1, Loaded(Count(), 0), [command(Add())], NOON).unit()
    assert [s.id for s in unit.sends] == ["counter/c1@1.0", "counter/c1@1.4"]
    assert [e.key for e in unit.effects] == ["counter/c1@1.2"]
    assert unit.cancels == ("u",)


def test_state_is_folded_from_what_will_be_read_back() -> None:
    """A number that JSON cannot hold breaks the turn that says it, not every later activation."""

    class Measured(Added, frozen=True, tag="counter.measured.v1"):
        value: float = 0.0

    def decide(_: Count, __: Add) -> tuple[Measured, ...]:
        return (Measured(1, "", float("nan")),)

    kind = Kind("counter", (Add,), (Measured,), COUNTER.initial, decide, COUNTER.evolve, COUNTER.react)
    with pytest.raises(TurnBroke, match=r"counter.measured.v1: .*value"):
        run_turn(kind, C1, Loaded(Count(), 0), [command(Add())], NOON)


def test_what_is_said_of_trouble_can_be_kept_anywhere() -> None:
    said = plain("a\0b\udc80" + "x" * 9_000)
    assert said.startswith("a\\0b\\udc80x")
    assert said.endswith("…")
    assert len(said.encode()) < 2 * DETAIL_LENGTH_MAX
    assert plain("as it is") == "as it is"
