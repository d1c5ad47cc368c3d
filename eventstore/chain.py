"""The chain over the log: every commit's events are digested, every digest is linked to what came before.

One changed, missing or added byte breaks every root after it. The same bytes are digested here (before events are sent)
and in SQL (`digest_of`, from the log itself); a stand-alone verifier needs no more than this page:

- An event: version (8 bytes), time in microseconds since 1970 (8), then project, kind, name, type, correlation,
  causation and body, each as its length (4) and its bytes. Numbers are big-endian and signed, text is UTF-8.
- digest = SHA-256 of a commit's events in order; root = SHA-256 of previous root (empty for the first), first position
  (8), last position (8), digest.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from protocol.subjects import Address

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEAD = struct.Struct(">qq")
_LENGTH = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Link:
    """One commit's place in the chain."""

    first_position: int
    last_position: int
    digest: bytes
    root: bytes


def framed(*fields: bytes) -> bytes:
    """Each field with its length before it, so that no two different rows of fields share their bytes."""
    return b"".join([part for field in fields for part in (_LENGTH.pack(len(field)), field)])


def stream_prefix(address: Address) -> bytes:
    """The part of an event's bytes that is the same for its whole stream."""
    return framed(address.project.encode(), address.kind.encode(), address.name.encode())


def event_bytes(
    prefix: bytes, version: int, at: datetime, type_: str, correlation: str, causation: str, body: bytes
) -> bytes:
    """What is digested of one event; `prefix` is its stream's `stream_prefix`."""
    head = _HEAD.pack(version, (at - _EPOCH) // _MICROSECOND)
    return head + prefix + framed(type_.encode(), correlation.encode(), causation.encode(), body)


def digest(events: Iterable[bytes]) -> bytes:
    """SHA-256 over the `event_bytes` of one commit, in order."""
    return hashlib.sha256(b"".join(events)).digest()


def root(previous: bytes, first_position: int, last_position: int, digest_: bytes) -> bytes:
    """The root of the link that holds `digest_`; `previous` is the root before it (b"" for the first link)."""
    return hashlib.sha256(previous + _HEAD.pack(first_position, last_position) + digest_).digest()
