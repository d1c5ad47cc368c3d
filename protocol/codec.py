"""Bytes to messages and back. Unknown tags are met before decoding, so a newer peer can never crash an older one."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from protocol.message import tag_of

M = TypeVar("M", bound=msgspec.Struct)
# Half of NATS' default payload: headers and the subject share the rest. Big content goes to blobs.
BODY_BYTES_MAX = 512 * 1024

_encoder = msgspec.json.Encoder()
# What a decoder may raise on bytes from outside; nesting deeper than the interpreter's stack is a RecursionError.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Malformed(ValueError):
    """Bytes that are no message of the expected vocabulary; the text says what was found and what was expected."""


class UnknownTag(Malformed):
    """A well-formed message whose tag this vocabulary does not know (an older worker, a typing mistake)."""

    def __init__(self, tag: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown type {tag!r}; known here: {', '.join(sorted(known)) or 'none'}")
        self.tag = tag


class _Tagged(msgspec.Struct):
    type: str


_tagged = msgspec.json.Decoder(_Tagged)


def encode(value: Any) -> bytes:
    """The one JSON encoding of a message: compact, in field order, deterministic for equal values."""
    return _encoder.encode(value)


def read_tag(body: bytes) -> str:
    """The `type` of a JSON object, or Malformed."""
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(
            f"the body has {len(body)} bytes, limit {BODY_BYTES_MAX}: store big content as a blob and send its hash"
        )
    try:
        return _tagged.decode(body).type
    except _UNREADABLE as error:
        raise Malformed(f'the body is not a JSON object with a string "type": {error}') from error


class Vocabulary(Generic[M]):
    """The messages one side understands, by tag."""

    def __init__(self, classes: Iterable[type[M]]) -> None:
        self.classes: dict[str, type[M]] = {}
        for cls in classes:
            tag = tag_of(cls)
            if tag in self.classes:
                raise ValueError(f"the tag {tag!r} is claimed by {self.classes[tag].__name__} and {cls.__name__}")
            self.classes[tag] = cls
        self._decoders = {tag: msgspec.json.Decoder(cls) for tag, cls in self.classes.items()}

    def decode(self, body: bytes, tag: str | None = None) -> M:
        """The message in `body`; `tag` when the caller already knows it. Malformed or UnknownTag otherwise."""
        found = tag if tag is not None else read_tag(body)
        decoder = self._decoders.get(found)
        if decoder is None:
            raise UnknownTag(found, self.classes)
        try:
            return decoder.decode(body)
        except _UNREADABLE as error:
            raise Malformed(f"{found}: {error}") from error
