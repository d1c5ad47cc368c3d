"""Signed heads: who vouches that a log had this root at this position. Pure; whoever holds no key can still check them.

A root covers every event before it, so one signed head that is kept where the log's owner cannot change it is enough to
find any later change of anything up to its position, even when the whole chain was computed anew. The text that is
signed is `head_text` of verifier.py, which checks signatures without us; the key is Ed25519 (RFC 8032).
"""

import re
from datetime import datetime
from typing import Self

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from eventstore.errors import BadHead
from eventstore.verifier import head_text

_HEX = re.compile(r"[0-9a-f]+")
_KEY_DIGITS, _SIGNATURE_DIGITS = 64, 128


class SignedHead(msgspec.Struct, frozen=True):
    """A log's name for people, a position with its root, when that was signed (RFC 3339), by which public key, and the
    signature. Root, key and signature are in hex."""

    log: str
    position: int
    root: str
    at: str
    key: str
    signature: str

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """The head that `line` is; BadHead."""
        try:
            head = msgspec.json.decode(line, type=cls)
        except msgspec.DecodeError as error:
            raise BadHead(f"no signed head: {error}") from error
        if "\n" in head.log + head.root + head.at or not (
            len(head.key) == _KEY_DIGITS
            and len(head.signature) == _SIGNATURE_DIGITS
            and all(map(_HEX.fullmatch, (head.root, head.key, head.signature)))
        ):
            raise BadHead("no signed head: a field of it is malformed")
        return head

    def line(self) -> bytes:
        """The head as a line of JSON, without its end."""
        return msgspec.json.encode(self)

    def holds(self) -> bool:
        """Whether the owner of `key` signed it."""
        text = head_text(self.log, self.position, self.root, self.at)
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key)).verify(bytes.fromhex(self.signature), text)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """Signs heads with one private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    @classmethod
    def from_pem(cls, content: bytes) -> Self:
        """The signer whose unencrypted private key that is; BadHead."""
        try:
            private = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadHead(f"it holds no private key in PEM that can be read ({error})") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise BadHead("it holds another kind of key than Ed25519")
        return cls(private)

    def sign_text(self, text: bytes) -> str:
        """The signature of that text, in hex. What kind of text it is, its first line must say."""
        return self._private.sign(text).hex()

    def sign(self, log: str, position: int, root: str, at: datetime) -> SignedHead:
        """The head, signed at that time."""
        text = head_text(log, position, root, at.isoformat())
        return SignedHead(log, position, root, at.isoformat(), self.key, self.sign_text(text))


def new_key() -> bytes:
    """A new private key, in PEM."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
