"""The chain on paper: whatever is in an event, writer and verifier agree on its bytes; no two events share them."""

import hashlib
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import chain, verifier
from eventstore.archive import event_row, link_row
from eventstore.store import Recorded
from protocol.subjects import Address
from tests.kit.units import NOON

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
times = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC))
names = st.sampled_from(["a", "b" * 80])
events = st.builds(
    Recorded,
    st.just(0),
    st.builds(Address, st.sampled_from(["p1", "p2"]), st.sampled_from(["task", "tools"]), names),
    st.integers(1, 2**62),
    words,
    times,
    words,
    words,
    st.binary(max_size=6_000),
)  # fmt: skip


def leaf_of(e: Recorded) -> bytes:
    return chain.leaf(chain.stream_prefix(e.address), e.version, e.at, e.type, e.correlation, e.causation, e.body)


def linked(commits: list[list[Recorded]]) -> tuple[list[chain.Link], list[Recorded]]:
    links: list[chain.Link] = []
    placed: list[Recorded] = []
    for n, commit in enumerate(commits):
        first = len(placed) + 1
        now = NOON - timedelta(seconds=n)  # A clock that runs backwards.
        links.append(chain.link(links[-1] if links else None, first, now, [leaf_of(e) for e in commit]))
        for e in commit:
            fields = (e.address, e.version, e.type, e.at, e.correlation, e.causation, e.body)
            placed.append(Recorded(len(placed) + 1, *fields))
    return links, placed


def checked(links: list[bytes], rows: list[bytes], pieces: list[int]) -> verifier.Chain:
    """What the verifier makes of the rows, which come in pieces of these sizes."""
    read = verifier.LinkRows().read([verifier.COPY_HEADER, *links, verifier.COPY_TRAILER])
    found = verifier.Chain(read)
    content = verifier.COPY_HEADER + b"".join(rows) + verifier.COPY_TRAILER
    place = 0
    for size in pieces:
        found.feed(content[place : place + size])
        place += size
    found.feed(content[place:])
    found.end()
    return found


@given(commits=st.lists(st.lists(events, min_size=1, max_size=4), max_size=5), pieces=st.lists(st.integers(0, 900)))
def test_writer_and_verifier_agree_however_the_bytes_come(commits: list[list[Recorded]], pieces: list[int]) -> None:
    links, placed = linked(commits)
    found = checked([link_row(link) for link in links], [event_row(e, fenced=True) for e in placed], pieces)
    assert found.position == len(placed)
    assert found.root == (links[-1].root if links else b"")
    assert found.commits == len(commits)


@given(commits=st.lists(st.lists(events, min_size=1, max_size=3), min_size=1, max_size=4), data=st.data())
def test_any_other_event_in_its_place_is_found(commits: list[list[Recorded]], data: st.DataObject) -> None:
    links, placed = linked(commits)
    n = data.draw(st.integers(0, len(placed) - 1))
    other = data.draw(events)
    if leaf_of(other) == leaf_of(placed[n]):
        return
    fields = (other.address, other.version, other.type, other.at, other.correlation, other.causation, other.body)
    rows = [event_row(e, fenced=True) for e in placed]
    rows[n] = event_row(Recorded(n + 1, *fields), fenced=True)
    with pytest.raises(verifier.Broken) as caught:
        checked([link_row(link) for link in links], rows, [])
    assert caught.value.position == n + 1


@given(one=events, other=events)
def test_different_events_have_different_leaves(one: Recorded, other: Recorded) -> None:
    same = (one.address, one.version, one.type, one.at, one.correlation, one.causation, one.body) == (
        other.address, other.version, other.type, other.at, other.correlation, other.causation, other.body,
    )  # fmt: skip
    assert (leaf_of(one) == leaf_of(other)) == same


def test_a_leaf_is_what_the_page_says() -> None:
    at = datetime(2026, 1, 31, 13, 0, 0, 123456, timezone(timedelta(hours=1)))
    spelt = bytes.fromhex("0000000000000007") + (1_769_860_800_123_456).to_bytes(8, "big")
    for field in (b"demo", b"task", b"t1", b"task.noted.v1", "läuft".encode(), b"c1", b'{"n":1}'):
        spelt += len(field).to_bytes(4, "big") + field
    prefix = chain.stream_prefix(Address("demo", "task", "t1"))
    assert chain.leaf(prefix, 7, at, "task.noted.v1", "läuft", "c1", b'{"n":1}') == hashlib.sha256(spelt).digest()


def test_a_root_is_what_the_page_says() -> None:
    leaves = [bytes([n]) * 32 for n in (1, 2)]
    first = chain.link(None, 1, NOON, leaves)
    digest, marks = hashlib.sha256(b"\1" * 32 + b"\2" * 32).digest(), b"\1" * 8 + b"\2" * 8
    at = chain.microseconds(NOON).to_bytes(8, "big")
    covered = b"troupe.link.2" + bytes(32) + bytes(7) + b"\1" + bytes(7) + b"\2" + at + digest + marks
    assert (first.digest, first.marks, first.root) == (digest, marks, hashlib.sha256(covered).digest())
    second = chain.link(first, 3, NOON - timedelta(days=1), leaves[:1])
    assert second.at == NOON, "the time of the log never goes backwards"
    assert second.root == chain.root(first.root, 3, 3, NOON, second.digest, second.marks)


def test_long_and_short_fields_are_framed_alike() -> None:
    draw = random.Random(1)
    for length in (0, 1, 4_095, 4_096, 70_000):
        field = draw.randbytes(length)
        assert chain.framed(field) == length.to_bytes(4, "big") + field
