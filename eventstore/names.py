"""What counts as naming a blob, for the collector of blobs. Conservative: a name too many keeps a blob, one too few
would lose it.

64 hex digits in upper or lower case name the blob with that SHA-256, wherever they stand in the bytes. In a longer run
of hex digits those name that begin or end at most GLUE_DIGITS_MAX digits from an end of the run (what stands before may
be the end of an escape: "\\b", "\\u00e9"), and those that follow one another from its beginning. Anything else in a
long run is data. The SQL function `names_in` of 0006_blobs.sql says the same.
"""

import re

DIGITS = 64
GLUE_DIGITS_MAX = 8

_HEX = b"0123456789abcdefABCDEF"
_RUN = re.compile(rb"[0-9a-fA-F]{64,}")
_CARRIED_MIN = DIGITS + GLUE_DIGITS_MAX


def names_in(content: bytes) -> set[bytes]:
    """The digests (32 bytes each) that these bytes name."""
    found: set[bytes] = set()
    for match in _RUN.finditer(content):
        begin, last = match.start(), match.end() - DIGITS
        starts = {*range(begin, min(begin + GLUE_DIGITS_MAX, last) + 1)}
        starts |= {*range(max(last - GLUE_DIGITS_MAX, begin), last + 1), *range(begin, last + 1, DIGITS)}
        found |= {bytes.fromhex(content[at : at + DIGITS].decode("ascii")) for at in starts}
    return found


class NameScanner:
    """Finds the names in bytes that come in pieces, wherever they are cut."""

    def __init__(self) -> None:
        self._carried = b""  # The end of a run that may go on; it begins a multiple of DIGITS after the run.

    def feed(self, piece: bytes) -> set[bytes]:
        """The names that this piece completes; some may have been told before."""
        content = self._carried + piece
        run = len(content) - len(content.rstrip(_HEX))
        carried = run if run < _CARRIED_MIN else _CARRIED_MIN + (run - _CARRIED_MIN) % DIGITS
        self._carried = content[len(content) - carried :]
        return names_in(content)
