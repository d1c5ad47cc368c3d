"""Whatever bytes come in, they are a message or a Malformed; nothing else is ever raised."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import BODY_BYTES_MAX, Malformed, UnknownTag, Vocabulary, encode, read_tag
from protocol.message import Command, Event, tag_of
from protocol.task import COMMANDS, ConcludeTask, SubmitTask

WORDS: Vocabulary[Command] = Vocabulary(COMMANDS)


@given(st.builds(SubmitTask, title=st.text(st.characters(codec="utf-8")), repo=st.text(st.characters(codec="utf-8"))))
def test_a_message_is_read_back_as_it_was_written(command: SubmitTask) -> None:
    body = encode(command)
    assert read_tag(body) == "task.submit.v1"
    assert WORDS.decode(body) == command
    assert encode(WORDS.decode(body)) == body


def tagged(tag: bytes) -> bytes:
    return b'{"type":"%s"}' % tag


@given(st.binary(max_size=200) | st.text().map(str.encode) | st.binary().map(tagged))
def test_any_bytes_are_a_message_or_malformed(body: bytes) -> None:
    try:
        told = str(WORDS.decode(body))
    except Malformed as error:
        told = str(error)
    assert told


@pytest.mark.parametrize("nesting", [b"[", b'{"a":'])
def test_nesting_deeper_than_the_stack_is_malformed(nesting: bytes) -> None:
    deep = b'{"type":"task.submit.v1","title":"x","more":' + nesting * 100_000
    with pytest.raises(Malformed):
        read_tag(deep)
    with pytest.raises(Malformed):
        WORDS.decode(deep, "task.submit.v1")


def test_an_unknown_tag_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownTag, match=r"'task.fly.v1'; known here: task.conclude.v1, task.submit.v1") as told:
        WORDS.decode(b'{"type":"task.fly.v1","title":1}')
    assert told.value.tag == "task.fly.v1"


def test_a_known_tag_with_a_wrong_field_says_which() -> None:
    with pytest.raises(Malformed, match=r"task.submit.v1: .*title"):
        WORDS.decode(b'{"type":"task.submit.v1","title":7}')
    with pytest.raises(Malformed, match=r"task.conclude.v1: .*outcome"):
        WORDS.decode(b'{"type":"task.conclude.v1","outcome":"perhaps"}')


def test_a_newer_peer_may_add_fields() -> None:
    assert WORDS.decode(b'{"type":"task.submit.v1","title":"x","later":{"a":[1]}}') == SubmitTask("x")


def test_absent_fields_have_their_defaults_and_defaults_are_not_written() -> None:
    assert encode(ConcludeTask("failed")) == b'{"type":"task.conclude.v1","outcome":"failed"}'


def test_big_content_is_told_to_go_to_a_blob() -> None:
    with pytest.raises(Malformed, match=f"limit {BODY_BYTES_MAX}: store big content as a blob"):
        read_tag(b" " * (BODY_BYTES_MAX + 1))


def test_two_classes_cannot_claim_one_tag() -> None:
    class Other(Command, frozen=True, tag="task.submit.v1"):
        pass

    with pytest.raises(ValueError, match=r"'task.submit.v1' is claimed by SubmitTask and Other"):
        Vocabulary((SubmitTask, Other))


def test_a_message_without_a_tag_is_a_programming_error() -> None:
    class Untagged(msgspec.Struct):
        pass

    with pytest.raises(TypeError, match="has no wire tag"):
        tag_of(Untagged)
    assert tag_of(SubmitTask("x")) == tag_of(SubmitTask) == "task.submit.v1"
    assert issubclass(SubmitTask, Command)
    assert not issubclass(SubmitTask, Event)
