"""Subjects name actors, nothing can forge one, and the partition is NATS' own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.subjects import (
    PARTITIONS,
    TOKEN_LENGTH_MAX,
    Address,
    BadSubject,
    check_address,
    check_token,
    command_subject,
    dead_subject,
    effect_subject,
    parse_command_subject,
    parse_reference,
    parse_stored_subject,
    partition_of,
    transform,
)

TOKENS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True)
ADDRESSES = st.builds(Address, TOKENS, TOKENS, TOKENS)
BAD_TOKENS = ("", "a.b", "*", ">", "a b", "a\n", "-a", "_a", "ä", "a\0", "$JS", "a" * (TOKEN_LENGTH_MAX + 1))


@given(ADDRESSES)
def test_an_address_survives_its_subjects(address: Address) -> None:
    assert parse_command_subject(command_subject(address)) == address
    assert parse_command_subject(command_subject(address, "other"), "other") == address
    stored = f"troupe.part.7.{address.project}.{address.kind}.{address.name}"
    assert parse_stored_subject(stored) == (7, address)


@given(ADDRESSES)
def test_a_partition_is_one_of_them_and_always_the_same(address: Address) -> None:
    assert 0 <= partition_of(address) < PARTITIONS
    assert partition_of(address) == partition_of(Address(*str(address).split("/")))


def test_the_partition_is_fnv_1a_over_the_tokens_without_their_dots() -> None:
    # Reference values of FNV-1a-32: "" → 811c9dc5, "foobar" → bf9cf968.
    assert partition_of(Address("foo", "b", "ar"), 2**32) == 0xBF9CF968
    assert partition_of(Address("f", "oo", "bar"), 1000) == 0xBF9CF968 % 1000


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_no_token_can_forge_another_subject(token: str) -> None:
    with pytest.raises(BadSubject, match=r"kind .* cannot be part of a subject"):
        check_token("kind", token)
    for address in (Address(token, "task", "t1"), Address("demo", token, "t1"), Address("demo", "task", token)):
        for call in (check_address, command_subject, dead_subject):
            with pytest.raises(BadSubject):
                call(address)
    with pytest.raises(BadSubject):
        effect_subject(token)


@given(st.text(max_size=300))
def test_what_is_no_token_is_refused_and_what_is_one_is_itself(text: str) -> None:
    try:
        assert check_token("id", text) == text
    except BadSubject:
        return
    assert text.isascii()
    assert not set(text) & set(". *>\r\n\t\0")


@pytest.mark.parametrize(
    "subject",
    ["troupe.cmd.demo.task", "troupe.cmd.demo.task.t1.x", "other.cmd.demo.task.t1", "troupe.evt.demo.task.t1", "", "x"],
)
def test_a_subject_of_another_shape_is_no_command(subject: str) -> None:
    with pytest.raises(BadSubject, match=r"troupe\.cmd\.<project>\.<kind>\.<id>"):
        parse_command_subject(subject)


@pytest.mark.parametrize(
    "subject",
    ["troupe.part.x.demo.task.t1", "troupe.part.-1.demo.task.t1", "troupe.part.1.demo.task", "a.part.1.demo.task.t1"],
)
def test_a_subject_that_our_transform_did_not_write_is_said_to_be_foreign(subject: str) -> None:
    with pytest.raises(BadSubject, match="subject transform"):
        parse_stored_subject(subject)


@pytest.mark.parametrize("name", ["héllo", "a%b", "-x", "a" * 129])
def test_a_stored_name_that_no_actor_can_have_is_refused_on_the_way_in(name: str) -> None:
    with pytest.raises(BadSubject):
        parse_stored_subject(f"troupe.part.3.demo.task.{name}")


def test_the_transform_hashes_project_kind_and_id() -> None:
    source, destination = transform("root", 8)
    assert source == "root.cmd.*.*.*"
    assert destination == "root.part.{{partition(8,1,2,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"


@given(TOKENS, TOKENS, st.integers(min_value=0, max_value=10**18 - 1))
def test_a_reference_names_one_event(kind: str, name: str, version: int) -> None:
    assert parse_reference(Address("demo", kind, name).reference(version)) == (kind, name, version)


@pytest.mark.parametrize("text", ["tools/t1", "tools@3", "tools/t1@", "tools/t1@x", "demo/tools/t1@3", "tools/t1@3.0"])
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(BadSubject, match="<kind>/<id>@<version>"):
        parse_reference(text)
