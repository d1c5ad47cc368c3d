"""What became of sealed texts, and how their plain text is put in their place. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from eventstore.errors import KeyringError
from protocol.codec import encode
from protocol.personal import SEALED


@dataclass
class Opened:
    """What became of sealed texts. `plain` is by sealed text, without those of `faults`; `keys` are the ids of those
    that opened something."""

    plain: dict[str, str] = field(default_factory=dict[str, str])
    keys: set[str] = field(default_factory=set[str])
    faults: list[KeyringError] = field(default_factory=list[KeyringError])

    def within(self, text: str) -> str:
        """`text` with every sealed text in it opened, as far as that was possible."""
        return SEALED.sub(lambda found: self.within(self.plain[found[0]]) if found[0] in self.plain else found[0], text)

    def within_json(self, document: bytes) -> bytes:
        """The same for JSON, of which everything else stays byte for byte."""

        def quoted(token: str) -> str:
            return encode(self.within(token)).decode()[1:-1] if token in self.plain else token  # A string without ".

        return SEALED.sub(lambda found: quoted(found[0]), _decoded(document)).encode("utf-8", "surrogateescape")


def sealed_in(text: str | bytes) -> Iterator[str]:
    """Every sealed text in a text, or in a JSON document."""
    return (found[0] for found in SEALED.finditer(text if isinstance(text, str) else _decoded(text)))


def key_of(sealed: str) -> str:
    """The id of the key that a text is sealed under."""
    return sealed.split(":")[2]


def _decoded(document: bytes) -> str:
    return document.decode("utf-8", "surrogateescape")
