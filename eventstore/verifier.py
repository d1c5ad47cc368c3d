"""Checks an archive of a Troupe log by itself: this one file and Python 3.9 or newer, no Troupe and no database.

    python verifier.py ARCHIVE [--key KEY]        KEY: 64 hex digits, or a PEM file with an Ed25519 public key
    python verifier.py certificate FILE [--key KEY]

Exit code 0: every event is what was committed, where it was committed. 5: it is not; the first bad position is named,
with what is wrong there. 2: this is no archive, or it cannot be read. Of a certificate 0: it is what the owner of its
key signed, and it says that all of the log's audit passed. 5: one of the two is not so.

An archive is a zip file without compression, as archive.py and chain.py describe it: `manifest.json`; the links in
`commits.copy` and the events in `events.copy`, both in PostgreSQL's binary COPY format; signed heads in `heads.jsonl`;
`blobs/PROJECT/SHA256`. Its last 64 bytes are the SHA-256 of all bytes before them, in hex.

What is proved: these are the events from which the root at the end was made. A range that does not begin at position 1
rests on the root it says came before. Who vouches for a root a signed head tells: it covers everything before it, too.
`Chain` is also what `troupe audit verify` runs, on what it reads from the database.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, USAGE, BROKEN = 0, 2, 5
FORMAT = "troupe-archive-1"
CERTIFICATE = "troupe-certificate-1"
CERTIFICATE_BYTES_MAX = 16 << 20
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
SINCE_2000 = 946_684_800_000_000  # Microseconds from 1970 to 2000, from where PostgreSQL counts.
SUM_BYTES = 64
PIECE_BYTES = 1 << 20
ROW_BYTES_MAX = 16 << 20  # No row of ours is nearly as long: what seems to be was changed.

_EVENT = struct.Struct(">hiqibiqiq")  # Fields of the row; position, fenced, version, at: each after its length.
_EVENT_SHAPE = (11, 8, 1, 8, 8)
_LINK = struct.Struct(">hihiqiqiq")  # Fields of the row; format, first position, last position, at.
_LINK_SHAPE = (7, 2, 8, 8, 8)
_LENGTH = struct.Struct(">I")  # A field that is null seems to have no end.
_NUMBER = struct.Struct(">Q")
_TWO = struct.Struct(">QQ")
_UNSIGNED = (1 << 64) - 1
_ED25519_INFO = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what a public key begins with.


class Broken(Exception):
    """The first position that is not what was committed (0: something beside the events), and what is wrong there."""

    def __init__(self, position: int, what: str) -> None:
        super().__init__(position, what)
        self.position = position
        self.what = what

    def __str__(self) -> str:
        return f"position {self.position}: {self.what}" if self.position else self.what


class Unreadable(Exception):
    """This is no archive, or it cannot be read."""


def _number(value: int) -> bytes:
    return _NUMBER.pack(value & _UNSIGNED)


@dataclass(frozen=True)
class Link:
    """A row of `commits`. `at` is in microseconds since 1970."""

    format: int
    first: int
    last: int
    at: int
    digest: bytes
    marks: bytes
    root: bytes

    def follows(self, root: bytes) -> bool:
        """Whether this is what was written after a link with that root (b"": as the first)."""
        place = _number(self.first) + _number(self.last)
        if self.format == 1:
            mark = hashlib.sha256(b"troupe.link.1" + self.root + _number(self.at)).digest()[:8]
            return self.marks == mark and self.root == hashlib.sha256(root + place + self.digest).digest()
        covered = b"troupe.link.2" + (root or bytes(32)) + place + _number(self.at) + self.digest + self.marks
        return self.format == 2 and self.root == hashlib.sha256(covered).digest()


class Rows:
    """Takes a stream in PostgreSQL's binary COPY format, in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises Broken."""
        data = self._rest + piece if self._rest else piece
        place = 0
        if not self._begun:
            if len(data) < len(COPY_HEADER):
                self._rest = data
                return
            if not data.startswith(COPY_HEADER):
                raise self._garbled()
            self._begun, place = True, len(COPY_HEADER)
        self._rest = data[self._take(data, place) :]
        if len(self._rest) > ROW_BYTES_MAX:
            raise self._garbled()

    def end(self) -> None:
        """There is no more. Raises Broken."""
        if self._rest != COPY_TRAILER:
            raise self._garbled()

    def _take(self, data: bytes, place: int) -> int:
        """Take all whole rows from `place` on; the place after them."""
        raise NotImplementedError

    def _garbled(self) -> Broken:
        raise NotImplementedError


class LinkRows(Rows):
    """The rows of `commits`: format, first_position, last_position, at, digest, marks, root."""

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Link] = []
        self._position = 0

    def read(self, pieces: Iterable[bytes]) -> Iterator[Link]:
        """The links in order."""
        garbled: Broken | None = None
        for piece in pieces:
            try:
                self.feed(piece)
            except Broken as broken:
                garbled = broken
            yield from self._found  # Also those before what cannot be read: one of them may be what was changed.
            self._found.clear()
            if garbled is not None:
                raise garbled
        self.end()

    def _take(self, data: bytes, place: int) -> int:
        while True:
            try:
                count, n1, format_, n2, first, n3, last, n4, at = _LINK.unpack_from(data, place)
                if (count, n1, n2, n3, n4) != _LINK_SHAPE:
                    if count == -1:
                        return place
                    raise self._garbled()
                end = place + _LINK.size
                fields: list[bytes] = []
                for _ in range(3):
                    (length,) = _LENGTH.unpack_from(data, end)
                    fields.append(data[end + 4 : end + 4 + length])
                    end += 4 + length
            except struct.error:
                return place
            if end > len(data):
                return place
            self._found.append(Link(format_, first, last, at + SINCE_2000, *fields))
            self._position, place = last, end

    def _garbled(self) -> Broken:
        return Broken(max(self._position, 0) + 1, "the row of the commit from here on cannot be read")


class Chain(Rows):
    """Checks a stretch of the log: its links against the root before it, and against the links its events.

    Events are rows of position, fenced, version, at, project, kind, name, type, correlation, causation, body.
    `position` and `root` are those of the last link that holds: at first, those before the stretch. `versions` counts
    the events of every stream too, which takes memory for each. `heads` are roots that are vouched for, by position.
    """

    def __init__(
        self, links: Iterable[Link], position: int = 0, root: bytes = b"", versions: bool = False,
        heads: dict[int, bytes] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.position, self.root, self.commits = position, root, 0
        self._links = iter(links)
        self._link = Link(0, 0, position, -(1 << 63), b"", b"", root)
        self._leaves: list[bytes] = []  # Of the commit that is being read; of format 1, its events.
        self._next: int = position + 1
        self._versions: dict[bytes, int] | None = {} if versions else None
        self._whole = position == 0
        self._heads = dict(heads or {})

    def end(self) -> None:
        super().end()
        if self._next <= self._link.last:
            raise self._changed() or Broken(self._next, "the event is missing")
        for _ in self._links:
            raise Broken(self._next, "the event is missing")
        for position in self._heads:
            raise Broken(position, "a signed head is for this position, but no commit ends here")

    def _take(self, data: bytes, place: int) -> int:
        row, width, length, two, sha256 = (
            _EVENT.unpack_from,
            _EVENT.size,
            _LENGTH.unpack_from,
            _TWO.pack,
            hashlib.sha256,
        )
        size, position, link, versions = len(data), self._next, self._link, self._versions
        try:
            while True:
                try:
                    count, n1, found, n2, _, n3, version, n4, at = row(data, place)
                    end = words = place + width
                    end += 4 + length(data, end)[0]
                    end += 4 + length(data, end)[0]
                    stream = end = end + 4 + length(data, end)[0]
                    end += 4 + length(data, end)[0]
                    end += 4 + length(data, end)[0]
                    end += 4 + length(data, end)[0]
                    end += 4 + length(data, end)[0]
                except struct.error:
                    return place
                if (count, n1, n2, n3, n4) != _EVENT_SHAPE:
                    if count == -1:
                        return place
                    self._next = position
                    raise self._garbled()
                if end > size:
                    return place
                if position > link.last:
                    link = self._begin(found)
                if found != position:
                    self._next = position
                    raise self._misplaced(found)
                event = two(version & _UNSIGNED, (at + SINCE_2000) & _UNSIGNED) + data[words:end]
                self._leaves.append(sha256(event).digest() if link.format == 2 else event)
                if versions is not None:
                    self._count(versions, data[words:stream], version, position)
                place = end
                if position == link.last:
                    self._close(link)
                position += 1
        finally:
            self._next = position

    def _garbled(self) -> Broken:
        what = "the row of the event cannot be read, or names a stream or a type that is not there"
        return self._changed() or Broken(self._next, what)

    def _begin(self, found: int) -> Link:
        """The next link, for the event at position `found`; what its row says of itself is checked first."""
        link, first = next(self._links, None), self.position + 1
        if link is None:
            raise Broken(found, "the event is in no commit: it was added, or the row of its commit is gone")
        if link.first != first or link.last < first or not link.follows(self.root):
            raise Broken(first, "the row of this commit was changed, or a row before it is gone")
        if link.at < self._link.at and link.format == 2:
            raise Broken(first, "the commit says it was taken before the one before it")
        self._link = link
        return link

    def _close(self, link: Link) -> None:
        leaves = self._leaves
        if hashlib.sha256(b"".join(leaves)).digest() != link.digest or (
            link.format == 2 and link.marks != b"".join([leaf[:8] for leaf in leaves])
        ):
            raise self._changed() or Broken(link.first, f"of the events up to {link.last} one or more were changed")
        if self._heads.pop(link.last, link.root) != link.root:
            raise Broken(link.last, "a signed head says that the log had another root here: it was written anew")
        leaves.clear()
        self.position, self.root = link.last, link.root
        self.commits += 1

    def _changed(self) -> Broken | None:
        """The first event of the commit that differs from its mark."""
        link = self._link
        for n, leaf in enumerate(self._leaves if link.format == 2 else ()):
            if leaf[:8] != link.marks[8 * n : 8 * n + 8]:
                return Broken(link.first + n, "the event is not what was committed")
        return None

    def _misplaced(self, found: int) -> Broken:
        what = "the event is missing" if found > self._next else f"the event of position {found} stands here"
        return self._changed() or Broken(self._next, what)

    def _count(self, versions: dict[bytes, int], stream: bytes, version: int, position: int) -> None:
        before = versions.get(stream, 0 if self._whole else version - 1)
        if version != before + 1:
            raise self._changed() or Broken(position, f"the stream goes from version {before} to {version} here")
        versions[stream] = version


# Ed25519 after RFC 8032, 5.1: points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Only public values are handled
# here, so nothing has to take the same time.

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _point(encoded: bytes) -> _Point | None:
    """The point of 32 bytes: y in little-endian order, the sign of x in the highest bit."""
    y = int.from_bytes(encoded, "little")
    negative, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _ROOT_OF_MINUS_1 % _P
    if x * x % _P != square or (x == 0 and negative):
        return None
    x = _P - x if x & 1 != negative else x
    return x, y, 1, x * y % _P


def _sum(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: _Point) -> _Point:
    result = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        factor >>= 1
    return result


_BASE = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def signature_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of the public `key` (32 bytes) signed `message` so (64 bytes)."""
    if len(key) != 32 or len(signature) != 64:
        return False
    owner, nonce, factor = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if owner is None or nonce is None or factor >= _ORDER or _BASE is None:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _ORDER
    ours, theirs = _times(factor, _BASE), _sum(nonce, _times(challenge, owner))
    return all((ours[n] * theirs[2] - theirs[n] * ours[2]) % _P == 0 for n in (0, 1))


def head_text(log: str, position: int, root: str, at: str) -> bytes:
    """What is signed of a head."""
    return f"troupe head 1\nlog {log}\nposition {position}\nroot {root}\nat {at}\n".encode()


def canonical(value: Any) -> bytes:
    """JSON in one way only: names in order, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def certificate_text(report: dict[str, Any]) -> bytes:
    """What is signed of a certificate's report."""
    return b"troupe certificate 1\n" + canonical(report)


def check_certificate(content: bytes, key: str = "") -> dict[str, Any]:
    """The certificate in a file: `certificate`, `key`, `signature`. `key`: it must be signed by it (hex). Raises Broken
    when it is not what was signed, Unreadable when it is no certificate."""
    try:
        signed = json.loads(content)
        report, owner, signature = signed["certificate"], signed["key"], bytes.fromhex(signed["signature"])
        of_ours = report["format"] == CERTIFICATE
        holds = signature_holds(bytes.fromhex(owner), certificate_text(report), signature)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        if content.startswith(b'{"certificate":{'):
            raise Broken(0, f"the certificate was damaged, or cut off ({type(error).__name__}: {error})") from error
        raise Unreadable(f"this is no certificate: {error}") from error
    if not holds:
        raise Broken(0, "the signature of the certificate is not of this text by this key: it was changed")
    if content != canonical(signed) + b"\n":
        raise Broken(0, "the certificate is not, byte for byte, the one that was signed")
    if not of_ours:
        raise Unreadable(f"it is of the format {report['format']!r}, not {CERTIFICATE}")
    if key and owner != key:
        raise Broken(0, f"the certificate is signed by {owner}, not by {key}")
    return signed


@dataclass(frozen=True)
class Report:
    """What holds. `signed`: the last position that a signature covers (0: none), and `key`, whose it is (hex)."""

    first: int
    last: int
    root_before: str
    root: str
    commits: int
    blobs: int
    signed: int
    key: str


class Archive:
    """An archive in a file. Raises Unreadable when it is none, or Broken when it was one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._size = path.stat().st_size
            with path.open("rb") as file:
                begin, summed = file.read(4), hashlib.sha256()
                for piece in _pieces(path, 0, self._size - SUM_BYTES):
                    summed.update(piece)
                file.seek(max(self._size - SUM_BYTES, 0))
                ending = file.read()
        except OSError as error:
            raise Unreadable(f"cannot read {path}: {error}") from error
        self.whole = ending == summed.hexdigest().encode()
        if not self.whole and begin != b"PK\x03\x04" and not re.fullmatch(rb"[0-9a-f]{64}", ending):
            raise Unreadable(f"{path} is no archive of a Troupe log")

    def check(self, key: str = "") -> Report:
        """Recompute everything. `key`: a head must be signed by it (hex)."""
        try:
            with zipfile.ZipFile(self._path) as opened:
                self._members = {info.filename: info for info in opened.infolist()}
            report = self._check(key)
        except (zipfile.BadZipFile, NotImplementedError, LookupError, ValueError, TypeError, struct.error) as error:
            if self.whole:
                raise Unreadable(f"{self._path} is no archive that this version can read: {error}") from error
            raise Broken(0, f"the archive was damaged, or cut off ({type(error).__name__}: {error})") from error
        except OSError as error:
            raise Unreadable(f"cannot read {self._path}: {error}") from error
        if not self.whole:
            raise Broken(0, "the events hold, but the archive is not, byte for byte, the one that was written")
        return report

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.read("manifest.json"))

    def read(self, name: str) -> bytes:
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """A member's bytes. Read where they lie: zipfile would stop at a wrong checksum and name no position."""
        info = self._members[name]
        with self._path.open("rb") as file:
            file.seek(info.header_offset)
            mark, name_bytes, extra_bytes = struct.unpack("<4s22xHH", file.read(30))
        if mark != b"PK\x03\x04" or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is not where the archive says, or is compressed")
        return _pieces(self._path, info.header_offset + 30 + name_bytes + extra_bytes, info.file_size)

    def blobs(self) -> Iterator[tuple[str, str]]:
        """Project and SHA-256 of every blob."""
        for name in self._members:
            if name.startswith("blobs/"):
                _, project, sha256 = name.split("/")
                yield project, sha256

    def _check(self, key: str) -> Report:
        manifest = self.manifest()
        if manifest["format"] != FORMAT:
            raise ValueError(f"it is of the format {manifest['format']!r}, not {FORMAT}")
        first, last = int(manifest["first"]), int(manifest["last"])
        signed = 0
        heads: dict[int, bytes] = {}
        for line in self.read("heads.jsonl").splitlines():
            head = json.loads(line)
            text = head_text(head["log"], head["position"], head["root"], head["at"])
            if not signature_holds(bytes.fromhex(head["key"]), text, bytes.fromhex(head["signature"])):
                raise Broken(head["position"], "the signature of the head is not of this text by this key")
            heads[head["position"]] = bytes.fromhex(head["root"])
            if not key or head["key"] == key:
                key, signed = head["key"], max(signed, head["position"])
        if key and not signed:
            raise Broken(0, f"no head in it is signed by {key}")
        links = LinkRows().read(self.pieces("commits.copy"))
        chain = Chain(links, first - 1, bytes.fromhex(manifest["root_before"]), versions=True, heads=heads)
        for piece in self.pieces("events.copy"):
            chain.feed(piece)
        chain.end()
        if (chain.position, chain.root.hex(), chain.commits) != (last, manifest["root"], manifest["commits"]):
            raise Broken(chain.position, f"the events end here; {last} was to be the last, its root {manifest['root']}")
        blobs = 0
        for project, sha256 in self.blobs():
            content = hashlib.sha256()
            for piece in self.pieces(f"blobs/{project}/{sha256}"):
                content.update(piece)
            if content.hexdigest() != sha256:
                raise Broken(0, f"the blob {sha256} of {project} is not what its name says")
            blobs += 1
        if blobs != manifest["blobs"]:
            raise Broken(0, f"there were {manifest['blobs']} blobs in the archive, and there are {blobs}")
        return Report(first, last, manifest["root_before"], chain.root.hex(), chain.commits, blobs, signed, key)


def _pieces(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size > 0:
            piece = file.read(min(size, PIECE_BYTES))
            if not piece:
                raise ValueError(f"{size} bytes are missing at the end")
            size -= len(piece)
            yield piece


def public_key(text: str) -> str:
    """The key in hex that `text` is, or that the PEM file of this name holds."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return text.lower()
    try:
        lines = Path(text).read_text("ascii").split("-----")
        encoded = base64.b64decode("".join(lines[2].split()), validate=True)
    except (OSError, ValueError, IndexError) as error:
        raise Unreadable(f"{text} is neither 64 hex digits nor a PEM file with a public key: {error}") from error
    if lines[1] != "BEGIN PUBLIC KEY" or len(encoded) != 44 or not encoded.startswith(_ED25519_INFO):
        raise Unreadable(f"{text} holds no Ed25519 public key")
    return encoded[-32:].hex()


def told(report: Report) -> str:
    """What holds, for people."""
    lines = [
        f"ok: positions {report.first} to {report.last} in {report.commits} commits, {report.blobs} blobs",
        f"root {report.root or '(empty)'}",
    ]
    if report.first > 1:
        lines.append(f"resting on the root before, {report.root_before}: it is the archive's own word")
    if report.signed:
        lines.append(f"signed up to position {report.signed} by {report.key}")
    else:
        lines.append("no signed head is in it: compare the root with one that you trust")
    return "\n".join(lines) + "\n"


def told_certificate(signed: dict[str, Any], key: str) -> str:
    """What a certificate says, for people."""
    report = signed["certificate"]
    chain, beside = report["chain"], report["beside"]
    lines = [
        f"{'passed' if report['passed'] else 'FAILED'}: the log {report['log']} on {report['at']}",
        *(f"  {f['part']}, position {f['position']}: {f['what']}" for f in report["faults"]),
        f"positions {chain['first']} to {chain['last']} in {chain['commits']} commits",
        f"root {chain['root'] or '(empty)'}",
        *(f"view {v['view']}: {v['rows']} rows at position {v['position']}" for v in report["views"]),
        f"beside the events: {beside['commands']} commands, {beside['waiting']} under way",
        *(f"covered: {each}" for each in report["covers"]),
        *(f"not covered: {each}" for each in report["leaves_out"]),
        f"signed by {signed['key']}" + ("" if key else ": compare the key with one that you trust"),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Check one archive or certificate; the exit code."""
    try:
        if len(arguments) in (2, 4) and arguments[0] == "certificate" and (arguments[2:3] or ["--key"]) == ["--key"]:
            key = public_key(arguments[3]) if len(arguments) == 4 else ""
            try:
                with Path(arguments[1]).open("rb") as file:
                    content = file.read(CERTIFICATE_BYTES_MAX)
            except OSError as error:
                raise Unreadable(f"cannot read {arguments[1]}: {error}") from error
            signed = check_certificate(content, key)
            sys.stdout.write(told_certificate(signed, key))
            return OK if signed["certificate"]["passed"] else BROKEN
        if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--key"):
            raise Unreadable("usage: verifier.py ARCHIVE [--key KEY], or verifier.py certificate FILE [--key KEY]")
        key = public_key(arguments[2]) if len(arguments) == 3 else ""
        sys.stdout.write(told(Archive(Path(arguments[0])).check(key)))
    except Unreadable as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    except Broken as broken:
        sys.stderr.write(f"broken: {broken}\n")
        return BROKEN
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
