"""The cryptography of erasure, and nothing else: keys, sealed text, sealed bytes. Pure but for random bits.

- A master key is 32 random bytes in a file outside the database. It wraps subject keys: AES-256-GCM with a random
  nonce, bound to the project and the key's id.
- A subject key is 32 random bytes. Text is sealed under it with AES-256-GCM, bound to the project and the key's id. The
  nonce is an HMAC of the text under a key of its own, so the same text of the same subject is sealed alike: a repeated
  command stays recognisable to cores that never see the text. Two texts share a nonce with probability 2^-96 only, and
  who holds sealed text learns nothing but its length and which texts of one subject are equal.
- Text that concerns several subjects is sealed under one after the other: all keys are needed to read it.
- Bytes are encrypted under a key of their own, which stands before them as sealed text.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eventstore.errors import BadMasterKey, TamperedSeal
from protocol.personal import SEALED_PREFIX

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID_BYTES = 16
BYTES_MAGIC = b"troupe-sealed-bytes/1 "
_SEAL_LENGTH_MAX = 4_096  # Of the sealed key before sealed bytes, under as many subjects as may be.


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key. `id` names it in the database without telling anything of it."""

    id: str
    _wrapping: bytes = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Self:
        """The key in a master key file: 32 bytes in base64 (either alphabet), white space around it allowed."""
        try:
            compact = "".join(text.split()).rstrip("=").replace("+", "-").replace("/", "_")
            raw = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raw = b""
        if len(raw) != KEY_BYTES:
            raise BadMasterKey(f"this is no master key: a file with {KEY_BYTES} random bytes in base64 is wanted")
        return cls(_derived(raw, b"troupe master id").hex()[: 2 * KEY_ID_BYTES], _derived(raw, b"troupe master wrap"))

    def wrap(self, project: str, key: str, raw: bytes) -> bytes:
        """The subject key `raw` as the database keeps it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._wrapping).encrypt(nonce, raw, _bound(b"key", project, key))

    def unwrap(self, project: str, key: str, wrapped: bytes) -> bytes:
        """The subject key in `wrapped`, which this master key wrapped. TamperedSeal when it was changed since."""
        try:
            bound = _bound(b"key", project, key)
            return AESGCM(self._wrapping).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise TamperedSeal(
                f"the subject key {key} of the project {project} does not open under the master key {self.id}: its row "
                "was changed; restore it from a backup"
            ) from error


def new_key() -> tuple[str, bytes]:
    """The id and the bytes of a new subject key."""
    return secrets.token_hex(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES)


def subject_hash(index: bytes, person: str) -> bytes:
    """What stands for a subject in the database; `index` is the project's own key, so nobody else can try ids."""
    return hmac.digest(index, b"troupe subject\0" + person.encode(), "sha256")


def fingerprint(index: bytes, content: bytes) -> str:
    """Tells bytes that were not kept from others, to whoever has both them and the project's own key."""
    return hmac.digest(index, b"troupe fingerprint\0" + content, "sha256").hex()


def seal(project: str, key: str, raw: bytes, text: str) -> str:
    """`text` sealed under the subject key `raw`, whose id is `key`."""
    plain = text.encode("utf-8", "surrogatepass")
    nonce = hmac.digest(_derived(raw, b"troupe nonce"), plain, "sha256")[:NONCE_BYTES]
    sealed = nonce + AESGCM(_derived(raw, b"troupe seal")).encrypt(nonce, plain, _bound(b"text", project, key))
    return f"{SEALED_PREFIX}{key}:{_encoded(sealed)}"


def unseal(project: str, key: str, raw: bytes, data: str) -> str:
    """The text of a sealed text's last part. TamperedSeal when it is not what was sealed."""
    try:
        sealed = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
        if _encoded(sealed) != data:
            raise ValueError("bits that no byte has")
        bound = _bound(b"text", project, key)
        plain = AESGCM(_derived(raw, b"troupe seal")).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        return plain.decode("utf-8", "surrogatepass")
    except (InvalidTag, ValueError) as error:
        raise TamperedSeal(
            f"a text sealed under the key {key} of the project {project} was changed or cut; compare with a backup"
        ) from error


def seal_content(project: str, sealed_key: str, raw: bytes, content: bytes) -> bytes:
    """`content` encrypted under `raw`, with `sealed_key` (that key, in base64, sealed) before it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    head = BYTES_MAGIC + sealed_key.encode() + b"\n"
    return head + nonce + AESGCM(raw).encrypt(nonce, content, _bound(b"bytes", project, sealed_key))


def split_content(content: bytes) -> tuple[str, bytes] | None:
    """The sealed key and the rest of sealed bytes; None when these are not sealed."""
    if not content.startswith(BYTES_MAGIC):
        return None
    end = content.find(b"\n", 0, len(BYTES_MAGIC) + _SEAL_LENGTH_MAX)
    return None if end < 0 else (content[len(BYTES_MAGIC) : end].decode("ascii", "replace"), content[end + 1 :])


def open_content(project: str, sealed_key: str, raw: bytes, rest: bytes) -> bytes:
    """The bytes that `seal_content` was given. TamperedSeal when they are others."""
    try:
        bound = _bound(b"bytes", project, sealed_key)
        return AESGCM(raw).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise TamperedSeal(
            f"sealed bytes of the project {project} were changed or cut; compare with a backup"
        ) from error


def _encoded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _derived(raw: bytes, purpose: bytes) -> bytes:
    """A key for one purpose only."""
    return hmac.digest(raw, purpose, hashlib.sha256)


def _bound(what: bytes, project: str, key: str) -> bytes:
    """What a ciphertext is tied to: moved to another project or under another key it does not open."""
    return b"troupe/1\0" + what + b"\0" + project.encode() + b"\0" + key.encode()
