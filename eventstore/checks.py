"""What no store takes, told before anything is sent: both adapters refuse the same things in the same words."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from eventstore.errors import InvalidUnit, StoreError
from eventstore.records import EVENT_BYTES_MAX, ID_LENGTH_MAX, Batch, NewEvent, Unit
from protocol.subjects import Address, BadSubject, check_address

_ADDRESSES_CACHED = 4_096


def check_batch(batch: Batch) -> None:
    """InvalidUnit for the first unit that cannot be stored, StoreError for a partition with two fences."""
    if len({fence.partition for fence in batch.fences}) < len(batch.fences):
        raise StoreError("a batch has two fences for one partition; give each partition one")
    for index, unit in enumerate(batch.units):
        try:
            _check_unit(unit)
        except StoreError as error:
            raise InvalidUnit(f"the unit of {unit.address} cannot be stored: {error}", index) from error


def check_append(address: Address, events: Sequence[NewEvent]) -> None:
    """StoreError for an append that cannot be stored."""
    try:
        _check_address(address)
        _check_events(events)
    except StoreError as error:
        raise StoreError(f"append to {address}: {error}") from error


def check_after(after: int) -> None:
    if after < 0:
        raise StoreError(f"cannot read after {after}: positions and versions count from 1, use 0 for the beginning")


def check_sha256(sha256: str) -> bytes:
    """The digest's bytes, or StoreError for anything but 64 hex digits."""
    try:
        raw = bytes.fromhex(sha256)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise StoreError(f"{sha256!r} is not a SHA-256 in hex: use the 64 digits that put_blob returned")
    return raw


def _check_unit(unit: Unit) -> None:
    _check_address(unit.address)
    if not unit.settled and unit.expected is None:
        raise StoreError("it settles no command and expects no version, so a repetition could not be told")
    commands = [(c.outbox_id or c.id) for c in unit.settled]
    if len(set(commands)) < len(commands):
        twice = next(c.id for c in unit.settled if commands.count(c.outbox_id or c.id) > 1)
        raise StoreError(f"it settles the command {twice!r} twice; decide a command once and drop its repetition")
    if unit.settled:
        _check_keys("command id", [c.id for c in unit.settled])
        _check_text([field for c in unit.settled for field in (c.id, c.type, c.detail)])
    if unit.events:
        _check_events(unit.events)
    for send in unit.sends:
        _check_address(send.to)
        if send.to.project != unit.address.project:
            raise StoreError(f"the send {send.id!r} goes to {send.to}; a send stays in its project")
        _check_keys("send id", [send.id])
        _check_text([send.id, send.sender, send.type, send.correlation, send.causation])
        _check_times([send.at])
    if unit.timers or unit.cancels:
        keys = [timer.key for timer in unit.timers]
        if len(set(keys)) < len(keys):
            raise StoreError("it sets one timer twice; keep the later one")
        _check_keys("timer key", [*keys, *unit.cancels])
        _check_text([*unit.cancels, *(f for t in unit.timers for f in (t.key, t.type, t.correlation, t.causation))])
        _check_times([timer.due for timer in unit.timers])
    for effect in unit.effects:
        _check_keys("effect key", [effect.key])
        _check_text([effect.key, effect.effect_kind, effect.correlation, effect.causation])
        _check_times([effect.at])


def _check_events(events: Sequence[NewEvent]) -> None:
    _check_keys("event type", [event.type for event in events])
    _check_text([field for e in events for field in (e.type, e.correlation, e.causation)])
    _check_times([event.at for event in events])
    for event in events:
        if len(event.body) > EVENT_BYTES_MAX:
            raise StoreError(
                f"the event {event.type} has {len(event.body)} bytes, limit {EVENT_BYTES_MAX}: "
                "store the content as a blob and keep its hash in the event"
            )


@lru_cache(_ADDRESSES_CACHED)
def _check_address(address: Address) -> None:
    try:
        check_address(address)
    except BadSubject as error:
        raise StoreError(str(error)) from error


def _check_keys(what: str, keys: Iterable[str]) -> None:
    for key in keys:
        if not 0 < len(key) <= ID_LENGTH_MAX:
            raise StoreError(f"the {what} {key[:40]!r} has {len(key)} characters; use 1 to {ID_LENGTH_MAX}")


def _check_text(fields: Sequence[str]) -> None:
    """PostgreSQL's text holds every character but NUL, and no half of a surrogate pair."""
    text = "".join(fields)
    if "\0" in text or not (text.isascii() or _encodes(text)):
        bad = next(field for field in fields if "\0" in field or not _encodes(field))
        raise StoreError(f"{bad[:80]!r} holds a NUL or half a surrogate pair; take it out")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_times(times: Iterable[datetime]) -> None:
    for at in times:
        if at.tzinfo is None:
            raise StoreError(f"the time {at.isoformat()} has no zone; give it one (UTC)")
