"""Certificates: what an audit of a log came to, as one report that is signed. Pure.

A file holds one line of JSON, in the one way that `canonical` of verifier.py writes it: the report, the public key and
the signature (Ed25519) of `certificate_text`. Whoever has the file and knows the key can check it without us, with
verifier.py alone; whoever has the log too can see that its root at that position is still the one that is certified.
"""

from typing import Any

import msgspec

from eventstore.errors import BadCertificate
from eventstore.heads import Signer
from eventstore.verifier import CERTIFICATE, Broken, Unreadable, canonical, certificate_text, check_certificate

DIFFERENCES_MAX = 10  # Rows of one view that are named; all are counted.


class Fault(msgspec.Struct, frozen=True):
    """Something that is wrong. `part`: "chain", "anchors", "views" or "beside"; `position` 0: beside the events."""

    part: str
    position: int
    what: str


class ChainPart(msgspec.Struct, frozen=True):
    """The chain over the events, recomputed: from `first` to `last`; `root` is in hex. `anchors`: how many signed heads
    on the bus were compared (None: they could not be reached), the last at `anchored_to`."""

    first: int
    last: int
    commits: int
    root: str
    anchors: int | None
    anchored_to: int
    milliseconds: int


class ViewPart(msgspec.Struct, frozen=True):
    """A view, folded again aside from the log up to `position`. It has `rows` rows by the fold; `differing` differ."""

    view: str
    version: int
    position: int
    rows: int
    differing: int
    milliseconds: int


class BesidePart(msgspec.Struct, frozen=True):
    """What stands beside the events (gaps.py): rows of the inbox, what is under way, cursors. Up to `restored_to` no
    row of the inbox was asked for."""

    last: int
    commands: int
    waiting: int
    partitions: int
    restored_to: int
    milliseconds: int


class Certificate(msgspec.Struct, frozen=True):
    """The report. `at`: when it was made (RFC 3339). `faults`: the first thing that is wrong in each part; `passed`:
    there is none. `troupe`, `python`, `migration`: the versions of the code and of the log's schema."""

    format: str
    log: str
    at: str
    passed: bool
    faults: tuple[Fault, ...]
    chain: ChainPart
    views: tuple[ViewPart, ...]
    beside: BesidePart
    covers: tuple[str, ...]
    leaves_out: tuple[str, ...]
    troupe: str
    python: str
    migration: str


class SignedCertificate(msgspec.Struct, frozen=True):
    """A report, the public key (hex) of who vouches for it, and the signature (hex)."""

    certificate: Certificate
    key: str
    signature: str

    @classmethod
    def of(cls, certificate: Certificate, signer: Signer) -> "SignedCertificate":
        """The certificate, signed."""
        return cls(certificate, signer.key, signer.sign_text(certificate_text(msgspec.to_builtins(certificate))))

    def encoded(self) -> bytes:
        """The file, without the end of its line."""
        return canonical(msgspec.to_builtins(self))

    @classmethod
    def parse(cls, content: bytes, key: str = "") -> "SignedCertificate":
        """The certificate that a file holds. BadCertificate unless it is, byte for byte, what the owner of its key
        signed, or when that is not `key` (hex; "": of whomever)."""
        try:
            signed: dict[str, Any] = check_certificate(content, key)
            return msgspec.convert(signed, cls)
        except (Broken, Unreadable) as error:
            raise BadCertificate(str(error)) from error
        except msgspec.ValidationError as error:
            raise BadCertificate(f"it is not of the format {CERTIFICATE}: {error}") from error
