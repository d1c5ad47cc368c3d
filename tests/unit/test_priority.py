"""Priorities: the better first, one sender's own never out of order, nobody overtaken without end."""

from datetime import UTC, datetime
from random import Random

import pytest

from actors.runtime.mailboxes import CANCEL, Mailboxes, from_message, from_row
from actors.runtime.priority import OVERTAKEN_MAX, Box, rank, sender_of
from actors.runtime.turn import Pending
from eventstore.store import PendingSend
from protocol.codec import encode
from protocol.envelope import PRIORITIES, Envelope
from protocol.runtime import CancelCommand
from protocol.subjects import Address
from tests.kit.counting import KINDS, Add

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
C1, C2 = Address("demo", "counter", "c1"), Address("demo", "counter", "c2")


def wanted(id_: str, priority: str = "", sender: str = "", to: Address = C1) -> Pending:
    return Pending(to, id_, "counter.add.v1", b"", NOON, "run", Envelope(priority=priority, sender=sender), Add())


def filled(*commands: Pending) -> Mailboxes:
    boxes = Mailboxes()
    for command in commands:
        boxes.put(command)
    return boxes


def taken(boxes: Mailboxes, limit: int = 99, to: Address = C1) -> list[str]:
    return [pending.id for pending in boxes.take(to, limit)]


def test_the_better_priority_goes_first_and_none_is_medium() -> None:
    boxes = filled(
        *(wanted(f"{n}{priority}", priority, priority) for n in range(2) for priority in ("low", "", "urgent", "high")),
        wanted("2medium", "medium", "another"),
    )
    assert taken(boxes) == ["0urgent", "1urgent", "0high", "1high", "0", "1", "2medium", "0low", "1low"]


def test_of_one_sender_nothing_overtakes_and_what_stands_before_an_urgent_one_goes_with_it() -> None:
    boxes = filled(
        wanted("1", "low", "a"), wanted("2", "", "b"), wanted("3", "urgent", "a"), wanted("4", "low", "a"),
        wanted("5", "high", "b"),
    )  # fmt: skip
    assert taken(boxes) == ["1", "3", "2", "5", "4"]


def test_whose_order_a_command_keeps() -> None:
    external = Pending(C1, "x", "t", b"", NOON, "run", Envelope(source="program", sender="someone"))
    row = Pending(C1, "x", "t", b"", NOON, "run", Envelope(), outbox_id=7, sender="task/t1")
    assert [sender_of(p) for p in (external, row, wanted("x"))] == ["someone", "task/t1", ""]
    assert sender_of(Pending(C1, "x", "t", b"", NOON, "run", Envelope(source="program"))) == "program"


def test_among_actors_those_with_the_best_that_waits_come_first() -> None:
    boxes = filled(*(wanted(f"m{n}", to=Address("demo", "counter", f"m{n}")) for n in range(5)))
    boxes.put(wanted("behind", "low", to=C2))
    boxes.put(wanted("now", "urgent", to=C2))
    assert boxes.ready(1) == [C2], "what is urgent pulls what its own sender has before it"
    assert taken(boxes, to=C2) == ["behind", "now"]
    assert [a.name for a in boxes.ready(2)] == ["m0", "m1"], "in the order they came"


@pytest.mark.parametrize("priority", PRIORITIES)
def test_nobody_waits_for_ever(priority: str) -> None:
    """However many urgent ones come, each is overtaken by a bounded number of later ones."""
    boxes = filled(wanted("patient", priority, "patient"))
    overtaken = 0
    while True:
        boxes.put(wanted(f"u{overtaken}", "urgent", "hasty"))
        if taken(boxes, 1) == ["patient"]:
            break
        overtaken += 1
    assert overtaken == PRIORITIES.index(priority) * OVERTAKEN_MAX


def test_what_is_given_back_goes_before_all_others_in_its_order() -> None:
    boxes = filled(wanted("1", "low", "a"), wanted("2", "low", "b"), wanted("3", "low", "a"))
    first, second, third = boxes.take(C1, 9)
    boxes.put(wanted("4", "urgent", "c"))
    boxes.give_back(C1, [second, third])
    boxes.give_back(C1, [first])
    assert [*taken(boxes), *taken(boxes)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_comes_once_and_in_its_senders_order(seed: int) -> None:
    chance = Random(seed)
    boxes, given, out = Mailboxes(), dict[str, list[str]](), dict[str, list[str]]()
    waiting = 0
    for n in range(400):
        match chance.randrange(4):
            case 0 | 1:
                sender = chance.choice("abc")
                boxes.put(wanted(f"{sender}{n}", chance.choice(("", *PRIORITIES)), sender))
                given.setdefault(sender, []).append(f"{sender}{n}")
                waiting += 1
            case 2:
                commands = boxes.take(C1, chance.randrange(1, 6))
                kept = commands[: chance.randrange(len(commands) + 1)]
                boxes.give_back(C1, commands[len(kept) :])  # They lost, and are decided again.
                boxes.done(C1, kept)
                for pending in kept:
                    out.setdefault(pending.id[0], []).append(pending.id)
                waiting -= len(kept)
            case _:
                assert boxes.waiting == boxes.count(C1) == waiting
    while commands := boxes.take(C1, 1_000):
        for pending in commands:
            out.setdefault(pending.id[0], []).append(pending.id)
    assert out == given


def test_what_lost_its_turn_is_taken_again_before_anything_joins_it() -> None:
    """Else a command that is repeated faster than it can be told to be known keeps its neighbours from ever winning."""
    boxes = filled(wanted("1", "", "a"), wanted("2", "", "b"), wanted("3", "", "c"))
    lost = boxes.take(C1, 9)
    boxes.put(wanted("2", "urgent", "d"))
    boxes.give_back(C1, [lost[0], lost[2]])
    boxes.done(C1, [lost[1]])
    assert [p.id for p in boxes.take(C1, 9)] == ["1", "3"]
    assert [p.id for p in boxes.take(C1, 9)] == ["2"]


def test_what_is_dropped_is_gone_and_the_rest_keeps_its_order() -> None:
    box = Box()
    for n, priority in enumerate(("low", "urgent", "low", "high", "low")):
        box.put(pending := wanted(str(n), priority, "ab"[n % 2]), rank(pending, n))
    assert sorted(p.id for p in box.drop(lambda p: p.id in "03")) == ["0", "3"]
    assert [box.pop().id for _ in range(box.size)] == ["1", "2", "4"]


def cancel(of: str, to: Address = C1, sender: str = "") -> Pending:
    headers = {"Troupe-Sender": sender} if sender else {}
    return from_message(KINDS, to, f"not-{of}", 9, 1, headers, encode(CancelCommand(of)), NOON, NOON)


def test_a_withdrawn_command_is_refused_in_its_turn_and_its_cancel_comes_after_it() -> None:
    boxes = filled(wanted("1", "", "a"), wanted("2", "low", "a"), wanted("3", "", "b"), cancel("2", sender="hasty"))
    commands = boxes.take(C1, 9)
    assert [p.id for p in commands] == ["1", "3", "2", "not-2"]
    refused = commands[2]
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.command) == ("cancelled", None)
    assert [p.refusal for p in commands if p.id != "2"] == [None] * 3


def test_every_kind_is_told_to_cancel_in_the_runtimes_own_word() -> None:
    assert CANCEL == "runtime.cancel.v1"
    assert cancel("2").command == CancelCommand("2")
    assert (lost := cancel("2", Address("demo", "nobody", "n")).refusal) is not None
    assert lost.code == "unknown-kind"
    kept = PendingSend(7, "c", C1, "", CANCEL, encode(CancelCommand("2")), NOON, "run", "runtime/1@4")
    assert from_row(KINDS, kept).command == CancelCommand("2"), "one that waited for a parked actor"
    bad = from_message(KINDS, C1, "x", 9, 1, {}, b'{"type":"runtime.cancel.v1"}', NOON, NOON).refusal
    assert bad is not None
    assert (bad.code, "id" in bad.message) == ("malformed", True)
