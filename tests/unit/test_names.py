"""What counts as naming a blob."""

import hashlib
import random

import pytest

from eventstore.names import GLUE_DIGITS_MAX, NameScanner, names_in

ONE, TWO, THREE = (hashlib.sha256(b"%d" % n).digest() for n in range(3))
A, B, C = (each.hex().encode() for each in (ONE, TWO, THREE))


@pytest.mark.parametrize(
    "content",
    [A, A.upper(), b'{"blob":"%s"}' % A, b"sha256:" + A, b"\\b%s\\u00e9" % A, b"\\u00e9" + A, b"\xff%s\0" % A],
)
def test_a_name_is_found_wherever_it_stands(content: bytes) -> None:
    assert ONE in names_in(content)


def test_several_names_are_all_found() -> None:
    assert names_in(b" ".join((A, B, C, A))) == {ONE, TWO, THREE}
    assert names_in(A + B + C) >= {ONE, TWO, THREE}


@pytest.mark.parametrize("content", [b"", A[:63], A[:63] + b"g", A[:32] + b"-" + A[32:], b"0123456789abcdef " * 8])
def test_what_is_no_name_is_none(content: bytes) -> None:
    assert names_in(content) == set()


@pytest.mark.parametrize("before", [0, 1, GLUE_DIGITS_MAX])
def test_a_name_glued_to_other_digits_is_found(before: int) -> None:
    assert ONE in names_in(b"0" * before + A + b"f" * 200)
    assert ONE in names_in(b"f" * 200 + A + b"0" * before)


def test_data_does_not_name_much() -> None:
    """A dump in hex costs the collector a few names a line, not one a digit."""
    assert len(names_in(bytes(range(256)).hex().encode() * 200)) < 200 * 512 / 64 + 4 * GLUE_DIGITS_MAX


def test_a_stream_names_what_its_bytes_name_however_it_is_cut() -> None:
    chance = random.Random(7)
    for _ in range(300):
        parts = [chance.choice([A, B.upper(), C, b"ab", b"-" * chance.randrange(80), b"f" * chance.randrange(300)])]
        parts += chance.choices([A, B, C, b"", b"c" * chance.randrange(9), b'"', b"x" * 150], k=chance.randrange(8))
        content = b"".join(parts)
        scanner, found, at = NameScanner(), set[bytes](), 0
        while at < len(content):
            piece = content[at : at + chance.randrange(1, 150)]
            found |= scanner.feed(piece)
            at += len(piece)
        assert found >= names_in(content)
