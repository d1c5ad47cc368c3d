"""What becomes of commands to a parked actor: they wait, or are told why they do not."""

from datetime import timedelta

import msgspec

from actors.runtime.parking import kept, waiting
from actors.runtime.turn import RESENT, Pending, settled
from actors.runtime.work import Work, known_answer
from eventstore.store import InboxRow
from protocol.envelope import Envelope, format_time
from protocol.message import Command, Refusal
from protocol.runtime import CancelCommand
from protocol.subjects import Address
from tests.kit.counting import Add
from tests.kit.units import NOON

C1 = Address("demo", "counter", "c1")


def came(id_: str, what: Command | Refusal | None = None, **headers: str) -> Pending:
    command, refusal = (None, what) if isinstance(what, Refusal) else (what or Add(), None)
    envelope = Envelope(id=id_, **headers)
    return Pending(C1, id_, "counter.add.v1", b"{}", NOON, "run", envelope, command, refusal, sequence=7)


def test_what_waits_keeps_everything_that_it_came_with() -> None:
    until = NOON + timedelta(seconds=30)
    row = waiting(came("a", reply_to="_INBOX.a", deadline=format_time(until), sender="us"))
    assert (row.address, row.id, row.type, row.body, row.at, row.correlation) == (
        C1, "a", "counter.add.v1", b"{}", NOON, "run",
    )  # fmt: skip
    assert (row.deadline, row.reply_to) == (until, "_INBOX.a")
    assert msgspec.json.decode(row.headers)["Troupe-Sender"] == "us"


def test_of_a_send_the_headers_say_who_sent_it() -> None:
    send = msgspec.structs.replace(came("player/p1@1.0"), sequence=0, outbox_id=9, sender="player/p1")
    assert msgspec.json.decode(waiting(send).headers)["Troupe-Sender"] == "player/p1"


def test_only_what_could_be_decided_waits_and_only_so_many() -> None:
    commands = [
        came("bad", Refusal("malformed", "no JSON"), reply_to="_INBOX.bad"),
        came("a", reply_to="_INBOX.a"),
        came("b"),
        came("cancel", CancelCommand("a"), reply_to="_INBOX.cancel"),
        came("c", reply_to="_INBOX.c"),
    ]
    work = Work(kept(commands, "it broke", 2), commands)
    assert [(row.id, row.outcome) for row in work.unit.settled] == [
        ("bad", "refused"), ("a", "parked"), ("b", "parked"), ("cancel", "refused"), ("c", "refused"),
    ]  # fmt: skip
    assert [row.id for row in work.unit.waits] == ["a", "b"]
    told = {reply.id: (inbox, reply.outcome, reply.code) for inbox, reply in work.answers(0)}
    assert told == {
        "bad": ("_INBOX.bad", "refused", "malformed"),
        "a": ("_INBOX.a", "parked", "parked"),
        "cancel": ("_INBOX.cancel", "refused", "parked"),
        "c": ("_INBOX.c", "refused", "parked"),
    }


def test_who_asks_again_hears_that_it_still_waits() -> None:
    work = Work(kept([came("a")], "it broke", 1), [came("a")])
    row = work.unit.settled[0]
    known = known_answer(InboxRow("a", C1, row.type, row.outcome, row.detail, 0, 0))
    assert (known.outcome, known.known, known.code) == ("parked", True, "parked")
    assert "since an earlier command broke it (it broke)" in known.message


def test_what_was_sent_again_leaves_its_fate_in_the_inbox() -> None:
    send = msgspec.structs.replace(came("a"), sequence=0, outbox_id=9)
    again = msgspec.structs.replace(send, envelope=Envelope(id="a", causation=f"{RESENT}3@7"))
    assert (settled(send, "accepted").keep, settled(again, "accepted").keep) == (False, True)
