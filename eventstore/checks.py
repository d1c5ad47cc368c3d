"""What no store takes, told before anything is sent: both adapters refuse the same things in the same words."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from eventstore.appending import named
from eventstore.errors import BadInput, InvalidUnit, StoreError, UnknownStream
from eventstore.records import (
    APPEND_BYTES_MAX,
    APPEND_EVENTS_MAX,
    EVENT_BYTES_MAX,
    ID_LENGTH_MAX,
    Append,
    Batch,
    NewEvent,
    Unit,
)
from eventstore.selection import Selection
from protocol.subjects import Address, BadSubject, check_address

POSITION_MAX = 2**63 - 1  # A bigint.
_ADDRESSES_CACHED = 4_096


def check_batch(batch: Batch) -> None:
    """InvalidUnit for the first unit that cannot be stored, StoreError for a partition with two fences."""
    if len({fence.partition for fence in batch.fences}) < len(batch.fences):
        raise StoreError("a batch has two fences for one partition; give each partition one")
    if _plainly_storable(batch.units):
        return
    for index, unit in enumerate(batch.units):
        try:
            _check_unit(unit)
        except StoreError as error:
            raise InvalidUnit(f"the unit of {unit.address} cannot be stored: {error}", index) from error


def check_append(append: Append) -> None:
    """BadInput for an append that cannot be stored."""
    try:
        _check_append(append)
    except StoreError as error:
        raise BadInput(f"{named(append)}: {error}") from error


def check_appends(appends: Sequence[Append]) -> None:
    """InvalidUnit for the first append that cannot be stored, BadInput for too much in one call."""
    events = size = 0
    for index, append in enumerate(appends):
        try:
            counted = _check_append(append)
        except StoreError as error:
            raise InvalidUnit(f"{named(append)}: {error}", index) from error
        events, size = events + counted[0], size + counted[1]
    if events > APPEND_EVENTS_MAX or size > APPEND_BYTES_MAX:
        raise BadInput(
            f"{events} events with {size} bytes in one call, limit {APPEND_EVENTS_MAX} and {APPEND_BYTES_MAX}: "
            "make several calls"
        )


def check_event(address: Address, event: NewEvent) -> None:
    """StoreError for an event that cannot be stored."""
    try:
        _check_address(address)
        _check_events([event])
    except StoreError as error:
        raise StoreError(f"the event for {address} cannot be stored: {error}") from error


def check_range(after: int, limit: int, upto: int | None) -> None:
    """BadInput for bounds of a page that mean nothing. A range that ends before it begins is empty, no error: a reader
    may be ahead of what it was told the end is."""
    check_after(after)
    if limit < 0:
        raise BadInput(f"cannot read {limit} events: a limit counts from 0")
    if upto is not None and not 0 <= upto <= POSITION_MAX:
        raise BadInput(f"cannot read up to {upto}: positions and versions count from 1 to {POSITION_MAX}")


def check_after(after: int) -> None:
    if not 0 <= after <= POSITION_MAX:
        raise BadInput(f"cannot read after {after}: positions and versions count from 1, use 0 for the beginning")


def check_selection(selection: Selection) -> None:
    """BadInput for a selection that no event could be asked by."""
    fields = (selection.project, selection.kind, selection.name, selection.correlation, *(selection.types or ()))
    try:
        _check_text([field for field in fields if field is not None])
        _check_times([at for at in (selection.since, selection.until) if at is not None])
    except StoreError as error:
        raise BadInput(f"cannot select events: {error}") from error


def check_time(at: datetime) -> None:
    try:
        _check_times([at])
    except StoreError as error:
        raise BadInput(f"cannot look for a time: {error}") from error


def check_address_known(address: Address) -> None:
    """BadInput for an address that no stream can have."""
    try:
        _check_address(address)
    except StoreError as error:
        raise BadInput(f"there can be no stream {address}: {error}") from error


def unknown_stream(address: Address) -> UnknownStream:
    return UnknownStream(
        f"there is no stream {address}: nobody has written to it; look at its spelling (project/kind/id), and whether "
        "this is the right log"
    )


def check_sha256(sha256: str) -> bytes:
    """The digest's bytes, or StoreError for anything but 64 hex digits."""
    try:
        raw = bytes.fromhex(sha256)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise StoreError(f"{sha256!r} is not a SHA-256 in hex: use the 64 digits that storing it gave")
    return raw


def _check_append(append: Append) -> tuple[int, int]:
    """How many events it has, and how many bytes their bodies."""
    writes = append.writes
    if not writes:
        raise BadInput("it writes to no stream; name at least one")
    for write in writes:
        _check_address(write.address)
        if write.events:
            _check_events(write.events)
        if write.expected is not None and not 0 <= write.expected <= POSITION_MAX:
            raise BadInput(f"it expects version {write.expected}; versions count from 1, and 0 means no stream yet")
    if len(writes) > 1:
        if len({write.address for write in writes}) < len(writes):
            raise BadInput("it writes to one stream twice; give each stream one write with all its events")
        if len({write.address.project for write in writes}) > 1:
            raise BadInput("it writes to streams of several projects; make one append for each project")
    if append.id:
        _check_keys("append id", [append.id])
        _check_text([append.id])
    events = sum(len(write.events) for write in writes)
    size = sum(len(event.body) for write in writes for event in write.events)
    if events > APPEND_EVENTS_MAX or size > APPEND_BYTES_MAX:
        raise BadInput(
            f"it has {events} events with {size} bytes, limit {APPEND_EVENTS_MAX} and {APPEND_BYTES_MAX}: split it"
        )
    return events, size


def _plainly_storable(units: Sequence[Unit]) -> bool:
    """One look at all of them: whether each is a command with its events and sends, and none of it is wrong. Half the
    time of looking at each; False says nothing."""
    if any(len(u.settled) != 1 or u.timers or u.cancels or u.effects or u.carries for u in units):
        return False
    settled = [u.settled[0] for u in units]
    events = [event for u in units for event in u.events]
    sends = [send for u in units for send in u.sends]
    try:
        for u in units:
            _check_address(u.address)
        for send in sends:
            _check_address(send.to)
    except StoreError:
        return False
    keys = [c.id for c in settled], [event.type for event in events], [send.id for send in sends]
    texts = [[c.type for c in settled], [c.detail for c in settled]]
    texts += [[event.correlation for event in events], [event.causation for event in events]]
    texts += [[f for send in sends for f in (send.sender, send.type, send.correlation, send.causation)]]
    times = {event.at.tzinfo for event in events} | {send.at.tzinfo for send in sends}
    return (
        all(map(_are_keys, keys))
        and all(map(_is_text, (*keys, *texts)))
        and None not in times
        and not any(c.deadline is not None and c.deadline.tzinfo is None for c in settled)
        and not any(send.to.project != u.address.project for u in units for send in u.sends)
        and max([len(event.body) for event in events], default=0) <= EVENT_BYTES_MAX
    )


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
        _check_times([c.deadline for c in unit.settled if c.deadline is not None])
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
    if unit.carries:
        _check_carried(unit)


def _check_carried(unit: Unit) -> None:
    _check_keys("ask id", [ask.id for ask in unit.asks])
    _check_text([field for ask in unit.asks for field in (ask.id, ask.reply_to, ask.correlation)])
    _check_times([ask.deadline for ask in unit.asks])
    _check_keys("ask id", [answer.ask for answer in unit.answers])
    _check_text([answer.ask for answer in unit.answers])
    for answer in unit.answers:
        if not answer.body:
            raise StoreError(
                f"the answer to {answer.ask!r} is empty, which is said of a passed deadline; give it bytes"
            )
    for address in (*(p.address for p in unit.parks), *(w.address for w in unit.waits)):
        _check_address(address)
        if address.project != unit.address.project:
            raise StoreError(f"it parks {address}, or keeps a command for it; a unit does that in its own project")
    _check_keys("command id", [w.id for w in unit.waits])
    _check_text([*(p.reason for p in unit.parks), *(f for t in unit.traces for f in (t.key, t.trace))])
    _check_keys("trace key", [t.key for t in unit.traces])
    _check_text([field for w in unit.waits for field in (w.id, w.type, w.correlation, w.reply_to)])
    _check_times([at for w in unit.waits for at in (w.at, w.deadline) if at is not None])


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


def _are_keys(keys: Sequence[str]) -> bool:
    lengths = [len(key) for key in keys]
    return not lengths or (min(lengths) > 0 and max(lengths) <= ID_LENGTH_MAX)


def _check_keys(what: str, keys: Iterable[str]) -> None:
    for key in keys:
        if not 0 < len(key) <= ID_LENGTH_MAX:
            raise StoreError(f"the {what} {key[:40]!r} has {len(key)} characters; use 1 to {ID_LENGTH_MAX}")


def _is_text(fields: Sequence[str]) -> bool:
    """PostgreSQL's text holds every character but NUL, and no half of a surrogate pair."""
    text = "".join(fields)
    return "\0" not in text and (text.isascii() or _encodes(text))


def _check_text(fields: Sequence[str]) -> None:
    if not _is_text(fields):
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
