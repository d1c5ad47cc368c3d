"""What is declared personal, how it is found in a message, and what only looks sealed."""

from typing import Annotated, Any

import msgspec
import pytest

from eventstore.sealing import new_key, seal
from protocol import personal as module
from protocol.personal import (
    ERASED,
    Personal,
    holds_personal,
    is_person,
    is_sealed,
    may_be_same,
    may_hold_seal,
    personal,
    personal_fields,
    transform,
)
from protocol.schemas import messages
from protocol.task import SubmitTask

ID, RAW = new_key()
TOKEN = seal("demo", ID, RAW, "anna@example.org")


class Note(msgspec.Struct, frozen=True):
    text: Annotated[str, personal("about", length_max=20)]
    about: str = ""


class Book(msgspec.Struct, frozen=True):
    title: str
    notes: tuple[Note, ...] = ()
    by_name: dict[str, Note | int] = {}
    parent: "Book | None" = None


def test_every_declaration_of_the_wire_can_be_kept() -> None:
    declared = {
        f"{cls.__name__}.{name}"
        for _, commands, events in messages()
        for cls in (*commands, *events)
        if holds_personal(cls)
        for name in personal_fields(cls)
    }
    assert declared == {"SubmitTask.contact", "TaskSubmitted.contact", "Remember.text"}


def test_commands_that_cannot_hold_personal_text_are_told_from_those_that_can() -> None:
    holding = {
        cls.__name__ for _, commands, events in messages() for cls in (*commands, *events) if holds_personal(cls)
    }
    assert holding == {"SubmitTask", "TaskSubmitted", "Remember", "Remembered", "Recalled"}


def test_personal_text_is_found_wherever_it_stands() -> None:
    inner = Book("inner", (Note("c", "p3"),))
    book = Book("outer", (Note("a", "p1"), Note("", "p1")), {"x": Note("b"), "n": 1}, inner)
    seen: list[tuple[str, str, int]] = []

    def visit(declared: Personal, person: str, text: str) -> str:
        seen.append((person, text, declared.length_max))
        return text.upper()

    changed = transform(book, visit)
    assert seen == [("p1", "a", 20), ("", "b", 20), ("p3", "c", 20)]
    upper = Book("inner", (Note("C", "p3"),))
    assert changed == Book("outer", (Note("A", "p1"), Note("", "p1")), {"x": Note("B"), "n": 1}, upper)
    assert holds_personal(Book)


def test_a_declaration_without_its_subject_is_refused() -> None:
    class Lost(msgspec.Struct):
        text: Annotated[str, personal("nobody", length_max=9)]

    class Number(msgspec.Struct):
        person: str
        age: Annotated[int, personal("person", length_max=9)]

    for wrong in (Lost, Number):
        with pytest.raises(TypeError, match="type str"):
            personal_fields(wrong)


def test_the_schema_shows_the_declaration() -> None:
    schema: Any = msgspec.json.schema(SubmitTask)
    shown = schema["$defs"]["SubmitTask"]["properties"]["contact"]
    assert shown[module.SCHEMA_KEY] == {"subject": "person", "lengthMax": 500, "always": True}


@pytest.mark.parametrize(("person", "good"), [("p-1", True), ("a" * 128, True), ("a" * 129, False), ("", False),
    ("anna@example.org", False), ("Anna Example", False), ("-a", False), ("ä", False), ("a\n", False)])  # fmt: skip
def test_a_person_is_named_by_an_id_and_not_by_an_address(person: str, good: bool) -> None:
    assert is_person(person) is good


@pytest.mark.parametrize(
    ("body", "may"),
    [
        (b'{"title":"x"}', False),
        (b'{"title":"sealed:v1:x"}', True),
        (b'{"title":"\\u0073ealed:v1:x"}', True),
        (b'{"title":"\\n"}', False),
        (b'{"title":"\\u0073ealed', False),
        (b'{"sealed\\u003av1\\u003a":1}', True),
    ],
)
def test_what_looks_sealed_is_seen_however_it_is_written(body: bytes, may: bool) -> None:
    assert may_hold_seal(body) is may


def test_repetitions_are_told_from_other_texts_as_far_as_anyone_can() -> None:
    other_key, other_raw = new_key()
    later = seal("demo", other_key, other_raw, "anna@example.org")
    changed = seal("demo", ID, RAW, "ben@example.org")
    assert is_sealed(TOKEN)
    assert may_be_same(TOKEN, TOKEN)
    assert may_be_same(TOKEN, later), "the subject was forgotten in between"
    assert may_be_same(TOKEN, ERASED)
    assert may_be_same("", "")
    assert not may_be_same(TOKEN, changed)
    assert not may_be_same(TOKEN, "")
