"""Retired tags: chains of upcasts, what is refused of them, and a history written under three versions of a message."""

import re
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import assert_never

import msgspec
import pytest

from actors.runtime.kind import Kind, Reaction, Send
from actors.runtime.reenact import reenact
from eventstore.memory.store import MemoryStore
from eventstore.store import EventStore, NewEvent, Settled, Unit
from protocol import retired
from protocol.codec import Malformed, UnknownTag, Vocabulary, encode
from protocol.message import Command, Event, tag_of
from protocol.retired import RETIRED, vocabulary_of
from protocol.subjects import PARTITIONS, Address, partition_of
from protocol.upcast import Fields, Upcast, chains, leading_to
from tests.kit.clockwork import HandClock, HandCompany
from tests.kit.units import NOON, Owner


class Noted(Event, frozen=True, tag="note.noted.v3", omit_defaults=True):
    """v1 had a text, v2 a text and an author, v3 the words of the text, and who is told."""

    words: tuple[str, ...]
    author: str
    tell: str = ""


class Note(Command, frozen=True, tag="note.note.v2", omit_defaults=True):
    """v1 had a text."""

    words: tuple[str, ...]
    tell: str = ""


def with_author(fields: Fields) -> Fields:
    return fields | {"author": "nobody"}


def in_words(fields: Fields) -> Fields:
    return {"words": fields["text"].split(), "author": fields["author"]}


def command_in_words(fields: Fields) -> Fields:
    return {"words": fields.pop("text").split(), **fields}


FROM_1 = Upcast("note.noted.v1", "note.noted.v2", with_author)
FROM_2 = Upcast("note.noted.v2", "note.noted.v3", in_words)
ASKED_1 = Upcast("note.note.v1", "note.note.v2", command_in_words)


@dataclass(frozen=True)
class Notes:
    name: str
    words: tuple[str, ...] = ()


def _decide(_: Notes, command: Note) -> tuple[Event, ...]:
    return (Noted(command.words, "us", command.tell),) if command.words else ()


def _evolve(state: Notes, event: Noted) -> Notes:
    return Notes(state.name, (*state.words, *event.words))


def _react(state: Notes, event: Noted) -> tuple[Reaction, ...]:
    match event:
        case Noted(tell=tell):
            return (Send("note", tell, Note((state.name,))),) if tell else ()
        case _:
            assert_never(event)


def _notes(address: Address) -> Notes:
    return Notes(address.name)


KIND = Kind(
    "note", (Note,), (Noted,), _notes, _decide, _evolve, _react, external=(Note,), retired=(FROM_1, FROM_2, ASKED_1)
)


# --- Chains.


def test_stored_bytes_are_read_through_the_whole_chain() -> None:
    read = KIND.event_vocabulary.decode
    assert read(b'{"type":"note.noted.v1","text":"a b"}') == Noted(("a", "b"), "nobody")
    assert read(b'{"type":"note.noted.v2","text":"a b","author":"ada"}', "note.noted.v2") == Noted(("a", "b"), "ada")
    assert read(b'{"type":"note.noted.v3","words":["a"],"author":"ada"}') == Noted(("a",), "ada")
    assert KIND.command_vocabulary.decode(b'{"text":"a b","type":"note.note.v1","tell":"n2"}') == Note(("a", "b"), "n2")


def test_each_vocabulary_of_a_kind_reads_what_leads_to_its_own() -> None:
    assert KIND.event_vocabulary.tags == {"note.noted.v1", "note.noted.v2", "note.noted.v3"}
    assert KIND.command_vocabulary.tags == {"note.note.v1", "note.note.v2"}
    assert "note.noted.v1" in KIND.event_vocabulary
    assert "note.note.v1" not in KIND.event_vocabulary
    with pytest.raises(UnknownTag, match=r"'note.note.v1'; known here: note.noted.v1, note.noted.v2, note.noted.v3"):
        KIND.event_vocabulary.decode(b'{"type":"note.note.v1","text":"a"}')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"type":"note.noted.v1"}', "note.noted.v1: cannot be read as note.noted.v3: no field 'text'"),
        (b'{"type":"note.noted.v1","text":7}', "note.noted.v1: cannot be read as note.noted.v3: AttributeError"),
        (b'{"type":"note.noted.v2","text":"a"}', "note.noted.v2: cannot be read as note.noted.v3: no field 'author'"),
        (b'{"type":"note.noted.v2","text":"a","author":7}', "note.noted.v2: Expected `str`, got `int`"),
        (b'{"type":"note.noted.v1","text":"a"', "note.noted.v1: Input data was truncated"),
        (b"[]", "note.noted.v1: Expected `object`, got `array`"),
        (b'{"type":"note.noted.v2","text":"a"}\xff', "note.noted.v1: "),
        (b"{}", "note.noted.v1: the body says that it is None"),
        (b'{"type":"note.noted.v3","words":[]}', "note.noted.v1: the body says that it is 'note.noted.v3'"),
    ],
)
def test_bytes_that_the_retired_tag_never_had_are_malformed(body: bytes, said: str) -> None:
    tag = re.search(rb"v[12]", body)
    named = "note.noted.v2" if tag and tag[0] == b"v2" and "v2:" in said else "note.noted.v1"
    with pytest.raises(Malformed, match=re.escape(said)):
        KIND.event_vocabulary.decode(body, named)


def test_an_upcast_cannot_change_the_fields_of_another_reading() -> None:
    fields: Fields = {"text": "a"}
    assert command_in_words(dict(fields)) == {"words": ["a"]}
    body = b'{"type":"note.note.v1","text":"a"}'
    assert KIND.command_vocabulary.decode(body) == KIND.command_vocabulary.decode(body)


def same(fields: Fields) -> Fields:
    return fields


@pytest.mark.parametrize(
    ("upcasts", "words"),
    [
        (
            [("a.x.v1", "a.x.v2"), ("a.x.v2", "a.x.v1")],
            r"'a.x.v1' run in a circle: a.x.v1 → a.x.v2 → a.x.v1; end it at a tag with a class",
        ),
        ([("a.x.v1", "a.x.v1")], r"run in a circle: a.x.v1 → a.x.v1"),
        (
            [("a.x.v1", "a.x.v2")],
            r"'a.x.v1' end at a tag without a class: a.x.v1 → a.x.v2; add what is next",
        ),
        ([("a.x.v1", "note.noted.v3"), ("a.x.v1", "note.noted.v3")], r"'a.x.v1' is retired twice"),
        ([("note.noted.v3", "note.noted.v3")], r"'note.noted.v3' is retired and still has a class"),
    ],
)
def test_chains_that_lead_nowhere_are_refused(upcasts: list[tuple[str, str]], words: str) -> None:
    every = tuple(Upcast(old, new, same) for old, new in upcasts)
    with pytest.raises(ValueError, match=words):
        Vocabulary((Noted,), every)
    with pytest.raises(ValueError, match=words):
        Kind("note", (Note,), (Noted,), _notes, _decide, _evolve, _react, retired=every)


def test_a_long_chain_is_read_in_order() -> None:
    def step(n: int) -> Upcast:
        def change(fields: Fields) -> Fields:
            return {"words": [*fields.get("words", []), str(n)], "author": "ada"}

        return Upcast(f"note.noted.x{n}", f"note.noted.x{n + 1}" if n < 99 else "note.noted.v3", change)

    words = Vocabulary((Noted,), [step(n) for n in reversed(range(100))])
    assert words.decode(b'{"type":"note.noted.x97"}') == Noted(("97", "98", "99"), "ada")
    assert len(words.decode(b'{"type":"note.noted.x0"}').words) == 100


def test_a_reader_of_some_messages_takes_the_upcasts_that_lead_to_them() -> None:
    every = (FROM_1, ASKED_1, FROM_2)
    assert leading_to({"note.noted.v3"}, every) == (FROM_1, FROM_2)
    assert leading_to({"note.note.v2"}, every) == (ASKED_1,)
    assert leading_to({"note.other.v1"}, every) == ()
    assert set(chains({"note.noted.v3", "note.note.v2"}, every)) == {"note.noted.v1", "note.noted.v2", "note.note.v1"}


def test_every_module_s_retired_tags_are_listed_once() -> None:
    declared = [
        upcast
        for module in vars(retired).values()
        if hasattr(module, "EVENTS")
        for upcast in getattr(module, "RETIRED", ())
    ]
    assert sorted(upcast.retired for upcast in RETIRED) == sorted(upcast.retired for upcast in declared)
    assert vocabulary_of((Noted,)).tags == {tag_of(Noted)}


# --- A history written under three versions.


async def old_history(store: EventStore) -> list[bytes]:
    """The stream of an actor as two earlier versions and this one wrote it."""
    bodies = [
        b'{"type":"note.noted.v1","text":"once upon"}',
        b'{"type":"note.noted.v2","text":"a time","author":"ada"}',
        encode(Noted(("there",), "us", "n2")),
    ]
    owner = await Owner.of(store, *range(PARTITIONS))
    address = Address("demo", "note", "n1")
    for version, body in enumerate(bodies):
        tag = msgspec.json.decode(body)["type"]
        settled = Settled(f"c{version}", "note.note.v1", "accepted")
        unit = Unit(
            partition_of(address), address, version, (settled,),
            (NewEvent(tag, body, NOON + timedelta(seconds=version), "run", f"c{version}"),),
        )  # fmt: skip
        assert [verdict.status for verdict in await owner.commit(unit)] == ["committed"]
    return bodies


async def test_a_retired_history_is_folded_and_gone_on_with() -> None:
    store = MemoryStore()
    bodies = await old_history(store)
    company = await HandCompany(store, {"note": KIND}, HandClock(), Random(1)).open()
    address = Address("demo", "note", "n1")
    company.arrive(address, Note(("was",), tell="n3"))
    await company.commit()
    loaded = await company.loaded(KIND, address)
    assert loaded.state == Notes("n1", ("once", "upon", "a", "time", "there", "was"))
    stored = await store.read_stream(address)
    assert [row.body for row in stored][:3] == bodies  # What was stored stays as it is.
    assert [row.type for row in stored] == ["note.noted.v1", "note.noted.v2", "note.noted.v3", "note.noted.v3"]
    await company.commit()
    assert [row.type for row in await store.read_stream(Address("demo", "note", "n3"))] == ["note.noted.v3"]


async def test_a_retired_history_is_forked() -> None:
    store = MemoryStore()
    await old_history(store)
    async with store.forks.creating(3, "f1") as draft:
        await reenact(draft, {"note": KIND})
    async with store.forks.opened("f1") as fork:
        (send,) = await fork.pending_sends([Address("demo", "note", "n2")], 9)
        assert (send.id, send.body) == ("note/n1@3.0", encode(Note(("n1",))))
        assert await fork.read(0) == await store.read(0)
