"""Subjects: where a message goes, and which partition owns its actor. Pure text, no connection.

Tokens are letters, digits, `_` and `-`, at most TOKEN_LENGTH_MAX long, so that no id can forge another subject.
"""

import re
from functools import lru_cache

import msgspec

ROOT = "troupe"
PARTITIONS = 64  # FNV-1a over (project, kind, id); changing it re-homes every actor, so it is fixed per installation.
TOKEN_LENGTH_MAX = 128
ADDRESSES_KEPT_MAX = 16_384  # Of those met last, with what was found out about them; some 10 MB at most.
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9_-]")
_REFERENCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9][A-Za-z0-9_-]*)@([0-9]{1,18})")


class BadSubject(ValueError):
    """A subject, project, kind or id that cannot be addressed; the message says which part and what is allowed."""


class Address(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """Where an actor lives: its project (the wall between tenants), its kind and its name (id). A Struct, since every
    step of a turn looks something up by it."""

    project: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.kind}/{self.name}"

    def reference(self, version: int) -> str:
        """The event of this actor's stream with that version: "tools/t1@3". The project is implied by where it is
        written."""
        return f"{self.kind}/{self.name}@{version}"


def check_token(what: str, token: str) -> str:
    """`token` itself, or BadSubject naming `what` it was meant to be."""
    if not _TOKEN.fullmatch(token):
        raise BadSubject(
            f"{what} {token!r} cannot be part of a subject: "
            f"use 1 to {TOKEN_LENGTH_MAX} letters, digits, '_' or '-', beginning with a letter or digit"
        )
    return token


def check_address(address: Address) -> Address:
    check_token("project", address.project)
    check_token("kind", address.kind)
    check_token("id", address.name)
    return address


def command_subject(address: Address, root: str = ROOT) -> str:
    check_address(address)
    return f"{root}.cmd.{address.project}.{address.kind}.{address.name}"


def dead_subject(address: Address, root: str = ROOT) -> str:
    check_address(address)
    return f"{root}.dead.{address.project}.{address.kind}.{address.name}"


def event_subject(address: Address, type_: str, root: str = ROOT) -> str:
    """Where the mirror publishes an event of that type: `troupe.evt.<project>.<kind>.<id>.<event>`, the type's tag
    without its kind, as one token ("task.submitted.v1" is "submitted-v1")."""
    check_address(address)
    event = _NO_TOKEN.sub("-", type_.removeprefix(f"{address.kind}."))[:TOKEN_LENGTH_MAX]
    return f"{root}.evt.{address.project}.{address.kind}.{address.name}.{event or '-'}"


def events_wildcard(root: str = ROOT) -> str:
    """Every subject of the mirror."""
    return f"{root}.evt.>"


def effect_subject(effect_kind: str, root: str = ROOT) -> str:
    return f"{root}.fx.{check_token('effect kind', effect_kind)}"


def tap_subject(address: Address, root: str = ROOT) -> str:
    """Where an actor's effects say what they do while they run."""
    check_address(address)
    return f"{root}.tap.{address.project}.{address.kind}.{address.name}"


def taps_wildcard(root: str = ROOT) -> str:
    """Every subject of the taps."""
    return f"{root}.tap.*.*.*"


def anchor_subject(log: str, root: str = ROOT) -> str:
    """Where signed heads of that log are kept (">": of all logs)."""
    return f"{root}.anchor.{log}"


def query_subject(view: str, root: str = ROOT) -> str:
    """Where that view is asked (">": where any is)."""
    return f"{root}.query.{view}"


def parse_command_subject(subject: str, root: str = ROOT) -> Address:
    """`troupe.cmd.<project>.<kind>.<id>` as an Address, or BadSubject."""
    parts = subject.split(".")
    if len(parts) != 5 or parts[0] != root or parts[1] != "cmd":
        raise BadSubject(f"{subject!r} is not a command subject: use {root}.cmd.<project>.<kind>.<id>")
    return check_address(Address(*parts[2:]))


def stored_wildcard(root: str = ROOT) -> str:
    """What the COMMANDS stream holds after its subject transform: `troupe.part.<partition>.<project>.<kind>.<id>`."""
    return f"{root}.part.*.*.*.*"


def transform(root: str = ROOT, partitions: int = PARTITIONS) -> tuple[str, str]:
    """Source and destination of the COMMANDS stream's subject transform."""
    destination = (
        f"{root}.part.{{{{partition({partitions},1,2,3)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"
    )
    return f"{root}.cmd.*.*.*", destination


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def parse_stored_subject(subject: str, root: str = ROOT) -> tuple[int, Address]:
    """Partition and address of a stored command, or BadSubject: anyone may publish, so its tokens may be no address."""
    parts = subject.split(".")
    if len(parts) != 6 or parts[0] != root or parts[1] != "part" or not parts[2].isdecimal():
        raise BadSubject(
            f"{subject!r} was not stored by the COMMANDS stream's subject transform; was the stream changed by hand?"
        )
    return int(parts[2]), check_address(Address(*parts[3:]))


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def stored_partition(subject: str, root: str = ROOT) -> int:
    """The partition of a stored command, whatever else its subject is; -1 if it has none."""
    parts = subject.split(".", 3)
    if len(parts) < 4 or parts[:2] != [root, "part"] or not parts[2].isdecimal():
        return -1
    return int(parts[2])


def stored_subjects(partition: int, root: str = ROOT) -> str:
    """What the COMMANDS stream holds of one partition."""
    return f"{root}.part.{partition}.>"


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def partition_of(address: Address, partitions: int = PARTITIONS) -> int:
    """The partition NATS' own `partition()` gives: FNV-1a-32 over the tokens' bytes, modulo the number of
    partitions."""
    digest = 0x811C9DC5
    for byte in f"{address.project}{address.kind}{address.name}".encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest % partitions


def parse_reference(reference: str) -> tuple[str, str, int]:
    """Kind, name and version of an event reference ("tools/t1@3"), or BadSubject."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise BadSubject(f"{reference!r} is not an event reference: use <kind>/<id>@<version>")
    return match[1], match[2], int(match[3])
