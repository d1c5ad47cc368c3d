"""The chain over the log: every commit's events are digested, every digest is linked to what came before.

One changed, missing or added byte breaks every root after it, and the marks say which event it was. The same bytes are
digested here (before events are sent), in SQL (`digest_and_marks`, from the log itself) and in verifier.py, which
stands alone on purpose: whoever doubts us needs no more than this page to write their own.

- An event: version (8 bytes), time in microseconds since 1970 (8), then project, kind, name, type, correlation,
  causation and body, each as its length (4) and its bytes. Numbers are big-endian and signed, text is UTF-8.
- Its leaf is the SHA-256 of that; its mark the first 8 bytes of the leaf.
- A link (a row of `commits`, format 2) holds first and last position, the time at which the log took the commit, the
  digest (SHA-256 of the commit's leaves in order), the marks in order, and the root. The root is the SHA-256 of
  "troupe.link.2", the root before (32 zeros for the first link), first position (8), last position (8), time (8, as
  above), digest and marks: every byte of the row is covered.
- The digest is what is sound; a mark only names an event, so 8 bytes do. Times of links never go backwards.

Format 1 was written before: its digest is the SHA-256 of a commit's events (not of their leaves), its root that of the
root before (nothing for the first link), first position, last position and digest. Its marks are the first 8 bytes of
SHA-256 of "troupe.link.1", its own root and its time: they were added later and vouch for the time, in no root.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from protocol.subjects import Address

FORMAT = 2
DIGEST_BYTES = 32
MARK_BYTES = 8
ROOT_TAG = b"troupe.link.2"

_sha256 = hashlib.sha256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ROOT = bytes(DIGEST_BYTES)
_TEXTS_CACHED = 4_096  # Projects, kinds and type tags: they repeat.
_PLACE = struct.Struct(">qqq").pack
_HEAD = struct.Struct(">qq").pack
_LENGTH = struct.Struct(">i").pack
_LENGTHS = tuple(_LENGTH(n) for n in range(4_096))  # Packing a number takes longer than looking one up.


@dataclass(frozen=True, slots=True)
class Link:
    """One commit's place in the chain."""

    first_position: int
    last_position: int
    at: datetime
    digest: bytes
    marks: bytes
    root: bytes
    format: int = FORMAT


def microseconds(at: datetime) -> int:
    """Since 1970."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def framed(field: bytes) -> bytes:
    """A field with its length before it, so that no two different rows of fields share their bytes."""
    length = len(field)
    return (_LENGTHS[length] if length < len(_LENGTHS) else _LENGTH(length)) + field


@lru_cache(_TEXTS_CACHED)
def framed_word(word: str) -> bytes:
    """`framed`, for one of the few texts that repeat."""
    return framed(word.encode())


def stream_prefix(address: Address) -> bytes:
    """The part of an event's bytes that is the same for its whole stream."""
    name = address.name.encode()
    return framed_word(address.project) + framed_word(address.kind) + _LENGTHS[len(name)] + name  # Checked: short.


def leaf(prefix: bytes, version: int, at: datetime, type_: str, correlation: str, causation: str, body: bytes) -> bytes:
    """SHA-256 of an event; `prefix` is its stream's `stream_prefix`. Made for speed: a commit waits for it."""
    since = at - _EPOCH
    head = _HEAD(version, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    first, second = correlation.encode(), causation.encode()
    try:
        event = b"".join(
            (
                head, prefix, framed_word(type_), _LENGTHS[len(first)], first, _LENGTHS[len(second)], second,
                _LENGTHS[len(body)], body,
            )
        )  # fmt: skip
    except IndexError:  # A long field.
        event = b"".join((head, prefix, framed_word(type_), framed(first), framed(second), framed(body)))
    return _sha256(event).digest()


def digest_and_marks(leaves: Sequence[bytes]) -> bytes:
    """The digest of a commit with these leaves, then its marks: DIGEST_BYTES, and MARK_BYTES an event."""
    return hashlib.sha256(b"".join(leaves)).digest() + b"".join([each[:MARK_BYTES] for each in leaves])


def root(previous: bytes, first_position: int, last_position: int, at: datetime, digest: bytes, marks: bytes) -> bytes:
    """The root of a link; `previous` is the root before it (b"" for the first link)."""
    place = _PLACE(first_position, last_position, microseconds(at))
    return hashlib.sha256(ROOT_TAG + (previous or _NO_ROOT) + place + digest + marks).digest()


def link(previous: Link | None, first_position: int, now: datetime, leaves: Sequence[bytes]) -> Link:
    """The link of a commit that begins at `first_position`, taken at `now`."""
    at = now if previous is None else max(previous.at, now)
    last_position = first_position + len(leaves) - 1
    sealed = digest_and_marks(leaves)
    digest, marks = sealed[:DIGEST_BYTES], sealed[DIGEST_BYTES:]
    before = b"" if previous is None else previous.root
    return Link(
        first_position, last_position, at, digest, marks, root(before, first_position, last_position, at, digest, marks)
    )
