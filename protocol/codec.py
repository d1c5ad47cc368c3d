"""Bytes to messages and back. Unknown tags are met before decoding, so a newer peer can never crash an older one."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from protocol.message import tag_of
from protocol.upcast import Upcast, chains, upcast

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
_fields = msgspec.json.Decoder(dict[str, Any])


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
    """The messages one side understands, by tag; those with a retired tag are read as what took its place."""

    def __init__(self, classes: Iterable[type[M]], retired: Iterable[Upcast] = ()) -> None:
        self.classes: dict[str, type[M]] = {}
        for cls in classes:
            tag = tag_of(cls)
            if tag in self.classes:
                raise ValueError(f"the tag {tag!r} is claimed by {self.classes[tag].__name__} and {cls.__name__}")
            self.classes[tag] = cls
        self._decoders = {tag: msgspec.json.Decoder(cls) for tag, cls in self.classes.items()}
        self._retired = chains(self.classes, retired)

    @property
    def tags(self) -> frozenset[str]:
        """Every tag that can be read, retired ones too."""
        return frozenset((*self.classes, *self._retired))

    def __contains__(self, tag: str) -> bool:
        return tag in self.classes or tag in self._retired

    def decode(self, body: bytes, tag: str | None = None) -> M:
        """The message in `body`; `tag` when the caller already knows it. Malformed or UnknownTag otherwise."""
        found = tag if tag is not None else read_tag(body)
        decoder = self._decoders.get(found)
        try:
            return self._decode_retired(body, found) if decoder is None else decoder.decode(body)
        except _UNREADABLE as error:
            raise Malformed(f"{found}: {error}") from error

    def _decode_retired(self, body: bytes, tag: str) -> M:
        chain = self._retired.get(tag)
        if chain is None:
            raise UnknownTag(tag, self.tags)
        fields = _fields.decode(body)
        if fields.get("type") != tag:
            raise Malformed(f"{tag}: the body says that it is {fields.get('type')!r}")
        try:
            changed = encode(upcast(chain, fields))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Only a missing field is named: what else an error says may quote content.
            why = f"no field {error}" if isinstance(error, KeyError) else type(error).__name__
            raise Malformed(f"{tag}: cannot be read as {chain[-1].to}: {why}") from error
        # Through bytes again: what is read is then exactly what the new tag's own bytes would have been.
        return self._decoders[chain[-1].to].decode(changed)
