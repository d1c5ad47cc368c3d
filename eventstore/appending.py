"""Plain appends: what tells a repetition from something new, and one append made comfortable on top of many.

Survives a lost connection: an append whose repetition can be told (`tellable`) is sent again for APPEND_RETRY_S_MAX and
finds itself. Any other one ends in StoreUnavailable, which says that its outcome is unknown.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

import anyio

from eventstore import chain
from eventstore.errors import (
    FencedStream,
    IdTaken,
    LogLocked,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnreachable,
    VersionConflict,
)
from eventstore.records import Append, Appended, NewEvent, StreamWrite
from protocol.subjects import Address

APPEND_RETRY_S_MAX = 10.0  # How long one append is sent again before its caller is told that the outcome is unknown.
RETRY_FIRST_S = 0.02  # Pause before the second attempt; doubled each time.
RETRY_PAUSE_S_MAX = 1.0
APPEND_ID_PREFIX = "append:"  # Of an append's id in the inbox: ids of commands are another space.
_WEIGHED_BYTES = 8 * 1024  # So many bytes of bodies weigh as much in a group commit as one more event.
_NOTHING_WRITTEN = (LogLocked, StoreFull, StoreUnreachable, StoreClosed)

Submit = Callable[[Append], Awaitable[Appended]]


async def append_one(submit: Submit, append: Append) -> int:
    """The last position of an append, once its fate is known; a StoreError says why it did not happen."""
    pause_s, uncertain = RETRY_FIRST_S, False
    deadline = anyio.current_time() + APPEND_RETRY_S_MAX
    while True:
        try:
            return last_position(append, await submit(append))
        except (StoreUnavailable, StoreClosed) as error:
            # It speaks of the last attempt only: what an earlier one came to, the next must find out.
            if isinstance(error, _NOTHING_WRITTEN) and not uncertain:
                raise
            if not tellable(append):
                raise StoreUnavailable(
                    f"{named(append)}: {error}; whether it happened is unknown: read the stream before sending it "
                    "again, and give it an id or an expected version the next time, by which it finds itself"
                ) from error
            uncertain = True
            if isinstance(error, StoreClosed) or anyio.current_time() + pause_s > deadline:
                raise StoreUnavailable(
                    f"{named(append)}: {error}; whether it happened is unknown after up to {APPEND_RETRY_S_MAX:g} s of "
                    "trying: send the identical append again, it finds itself"
                ) from error
        await anyio.sleep(pause_s)
        pause_s = min(2 * pause_s, RETRY_PAUSE_S_MAX)


def one_write(address: Address, events: Sequence[NewEvent], expected: int | None, id_: str) -> Append:
    """The append to one stream."""
    return Append((StreamWrite(address, tuple(events), expected),), id_)


def last_position(append: Append, appended: Appended) -> int:
    """Where an append ended (0: it has no events), or the error that says why it did not happen."""
    if appended.status in ("committed", "known"):
        return appended.last_position
    kinds: dict[str, type[StoreError]] = {"conflict": VersionConflict, "fenced": FencedStream, "taken": IdTaken}
    raise kinds[appended.status](f"{named(append)}: {appended.detail}")


def refusal(status: str, append: Append, write: StreamWrite | None, found: int) -> str:
    """The detail of a verdict other than committed and known: `write` lost, its stream being at version `found`."""
    if status == "taken" or write is None:
        return f"the id {append.id!r} stands for another append of the project; give this one its own"
    which = f"{write.address}: " if len(append.writes) > 1 else ""
    if status == "fenced":
        return f"{which}the stream belongs to an actor; send the actor a command instead"
    return f"{which}expected version {write.expected}, found {found}; read the stream again"


def named(append: Append) -> str:
    """What an append is called in errors."""
    if not append.writes:
        return "append"
    more = len(append.writes) - 1
    return f"append to {append.writes[0].address}" + (f" and {more} more" if more else "")


def events_in(append: Append) -> int:
    return sum(len(write.events) for write in append.writes)


def weight(append: Append) -> int:
    """What an append counts in a group commit: its events, and their bytes."""
    return sum(1 + len(event.body) // _WEIGHED_BYTES for write in append.writes for event in write.events)


def tellable(append: Append) -> bool:
    """Whether the identical append sent again would be known."""
    return bool(append.id) or all(write.expected is not None for write in append.writes if write.events)


def print_of(append: Append) -> str:
    """SHA-256 (hex) of the events and their streams: what an append with the same id must have to be the same."""
    digest = hashlib.sha256()
    for write in append.writes:
        prefix = chain.stream_prefix(write.address)
        for n, e in enumerate(write.events):
            digest.update(chain.leaf(prefix, n, e.at, e.type, e.correlation, e.causation, e.body))
    return digest.hexdigest()


def leaves_of(appends: Sequence[Append]) -> list[bytes] | None:
    """The leaves of all events if nothing loses; None where the versions are not known beforehand."""
    leaves: list[bytes] = []
    for append in appends:
        for write in append.writes:
            if not write.events:
                continue
            if write.expected is None:
                return None
            prefix = chain.stream_prefix(write.address)
            leaves += [
                chain.leaf(prefix, version, e.at, e.type, e.correlation, e.causation, e.body)
                for version, e in enumerate(write.events, start=write.expected + 1)
            ]
    return leaves
