"""Mailboxes: order per actor, no row twice, no repetition in a turn. What comes from outside is made sense of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from actors.runtime.deadlines import CLOCKS_DIFFER_S_MAX
from actors.runtime.mailboxes import TYPE_LENGTH_MAX, Mailboxes, from_message, from_row
from actors.runtime.turn import Pending
from actors.services.task.effects import KIND
from eventstore.store import PendingSend
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.envelope import Envelope
from protocol.subjects import Address
from protocol.task import ConcludeTask, SubmitTask

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A, B = Address("demo", "task", "a"), Address("demo", "task", "b")
SUBMIT = encode(SubmitTask("review"))


def pending(id_: str, address: Address = A, row: int = 0, sequence: int = 0) -> Pending:
    return Pending(address, id_, "task.submit.v1", SUBMIT, NOON, "a", Envelope(), outbox_id=row, sequence=sequence)


def ids(commands: list[Pending]) -> list[str]:
    return [command.id for command in commands]


def filled(*commands: Pending) -> Mailboxes:
    boxes = Mailboxes()
    for command in commands:
        boxes.put(command)
    return boxes


def test_commands_of_an_actor_are_taken_in_the_order_they_came() -> None:
    boxes = filled(pending("1"), pending("x", B), pending("2"), pending("3"))
    assert boxes.ready(10) == [A, B]
    assert ids(boxes.take(A, 2)) == ["1", "2"]
    assert boxes.waiting == 2
    assert boxes.ready(10) == [B]
    boxes.done(A, ())
    assert boxes.ready(1) == [B], "a busy actor comes after those who waited"
    assert ids(boxes.take(A, 2)) == ["3"]
    boxes.done(A, ())
    assert boxes.ready(10) == [B]


def test_what_is_given_back_comes_first_again() -> None:
    boxes = filled(pending("1"), pending("2"), pending("3"))
    taken = boxes.take(A, 2)
    boxes.give_back(A, taken)
    boxes.done(A, ())
    assert boxes.waiting == 3
    assert [ids(boxes.take(A, 9)), ids(boxes.take(A, 9))] == [["1", "2"], ["3"]]


def test_a_row_is_queued_once_until_it_is_done() -> None:
    boxes = filled(pending("s", row=7), pending("s", row=7))
    taken = boxes.take(A, 9)
    assert ids(taken) == ["s"]
    boxes.put(pending("s", row=7))
    assert boxes.waiting == 0, "also while its turn runs"
    boxes.done(A, taken)
    boxes.put(pending("s", row=7))
    assert boxes.waiting == 1, "read again by a look into the store that was older than its commit: then it is known"


def test_a_repetition_waits_for_the_turn_after_its_first() -> None:
    boxes = filled(pending("1"), pending("2"), pending("1"), pending("3"))
    assert ids(boxes.take(A, 9)) == ["1", "2"]
    boxes.done(A, ())
    assert ids(boxes.take(A, 9)) == ["1", "3"]


def test_when_the_feed_begins_again_only_rows_stay() -> None:
    boxes = filled(pending("1", sequence=1), pending("s", row=7), pending("x", B, sequence=2))
    boxes.forget_external()
    assert boxes.waiting == 1
    assert boxes.ready(9) == [A]
    assert ids(boxes.take(A, 9)) == ["s"]


def test_a_parked_actor_leaves_its_rows_in_the_store_and_holds_up_nobody() -> None:
    boxes = filled(pending("s", row=7), pending("1", sequence=1), pending("x", B))
    boxes.park(A, "an event of another version")
    boxes.put(pending("s", row=7))
    boxes.put(pending("t", row=8))
    assert boxes.waiting == 2
    assert boxes.parked(A) == "an event of another version"
    assert boxes.parked(B) == ""
    assert ids(boxes.take(A, 9)) == ["1"], "what came from outside is to be refused"
    boxes.done(A, ())
    assert boxes.ready(9) == [B]


async def test_waiting_ends_with_the_first_command() -> None:
    boxes, heard = Mailboxes(), anyio.Event()

    async def listen() -> None:
        await boxes.wait()
        heard.set()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await checkpoint()
        assert not heard.is_set()
        boxes.put(pending("1"))
        with anyio.fail_after(5):
            await heard.wait()


def arrived(
    body: bytes = SUBMIT, address: Address = A, kinds: Any = None, now: datetime = NOON, **headers: str
) -> Pending:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_message({"task": KIND} if kinds is None else kinds, address, "c1", 5, 1, named, body, NOON, now)


def test_a_good_message_is_a_command() -> None:
    came = arrived(Troupe_Reply_To="_INBOX.me")
    assert came.command == SubmitTask("review")
    assert (came.refusal, came.id, came.type, came.sequence, came.generation) == (None, "c1", "task.submit.v1", 5, 1)
    assert came.envelope.reply_to == "_INBOX.me"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "malformed", "not a JSON object"),
        (b"{", "malformed", "not a JSON object"),
        (b"[]", "malformed", "not a JSON object"),
        (b'{"title":"x"}', "malformed", "type"),
        (b'{"type":"task.fly.v1"}', "malformed", "unknown type 'task.fly.v1'"),
        (b'{"type":"task.submit.v1","title":3}', "malformed", "title"),
        (b" " * (BODY_BYTES_MAX + 1), "malformed", "blob"),
        (b'{"type":"task.submit.v1","x":' + b"[" * 50_000, "malformed", "not a JSON object"),
        (encode(ConcludeTask("failed")), "internal", "task.conclude.v1 is a word between actors"),
    ],
)
def test_bad_input_becomes_its_own_refusal(body: bytes, code: str, words: str) -> None:
    came = arrived(body, Troupe_Reply_To="_INBOX.me")
    assert came.command is None
    assert came.refusal is not None
    assert came.refusal.code == code
    assert words in came.refusal.message
    assert came.body == body
    assert came.envelope.reply_to == "_INBOX.me"


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    came = arrived(address=Address("demo", "nobody", "a"))
    assert came.refusal is not None
    assert came.refusal.code == "unknown-kind"
    assert "the kinds here are task" in came.refusal.message


def test_a_bad_header_is_refused_to_whoever_can_be_told() -> None:
    came = arrived(Troupe_Deadline="soon", Troupe_Reply_To="_INBOX.me")
    assert came.refusal is not None
    assert came.refusal.code == "bad-header"
    assert came.envelope == Envelope(reply_to="_INBOX.me")
    assert arrived(Troupe_Reply_To="troupe.cmd.a.b.c").envelope == Envelope()


def test_what_is_long_past_need_not_be_decided() -> None:
    """Whether a deadline has just passed is for the store's clock to say."""
    deadline = "2026-01-31T12:00:00Z"
    slack = timedelta(seconds=CLOCKS_DIFFER_S_MAX)
    assert arrived(Troupe_Deadline=deadline, now=NOON + slack).refusal is None
    late = arrived(Troupe_Deadline=deadline, now=NOON + slack + timedelta(microseconds=1)).refusal
    assert late is not None
    assert late.code == "expired"
    assert "send it anew" in late.message


def test_a_deadline_nobody_would_live_to_see_is_refused() -> None:
    assert arrived(Troupe_Deadline="2026-03-02T12:00:00Z").refusal is None
    for deadline in ("2026-03-02T12:00:01Z", "9999-12-31T23:59:59.999999Z"):
        late = arrived(Troupe_Deadline=deadline).refusal
        assert late is not None
        assert late.code == "bad-header"
        assert "limit 30" in late.message


def test_a_type_is_kept_as_every_store_can_hold_it() -> None:
    assert arrived(b'{"type":"a\\u0000b"}').type == "a\\0b"
    assert len(arrived(b'{"type":"%s"}' % (b"x" * 1_000)).type) == TYPE_LENGTH_MAX


def test_a_task_correlates_what_it_causes_by_its_own_name() -> None:
    assert arrived(Troupe_Correlation="mine").correlation == "a"
    assert arrived().correlation == "a"


def test_a_row_is_a_command_even_if_its_word_is_internal() -> None:
    row = PendingSend(9, "orchestrator/a@4.0", A, "orchestrator/a", "task.conclude.v1",
                      encode(ConcludeTask("failed")), NOON, "a", "orchestrator/a@4", "x")  # fmt: skip
    came = from_row({"task": KIND}, row)
    assert came.command == ConcludeTask("failed")
    assert (came.outbox_id, came.outcome_of, came.sequence, came.correlation) == (9, "x", 0, "a")
    assert came.envelope.causation == "orchestrator/a@4"
