"""How far a named consumer of `troupe replay` has come: a key in a bucket on the bus its events go to.

- The position moves only when every event up to it is taken, so after any crash the next run begins at or before the
  first event that was not: each event is published at least once, and `Troupe-Position` tells a repetition.
- It lives where the events live. A broker that was lost has lost both, and the next run begins at the beginning; a
  stream that was made anew since shows by its identity, and is refused until somebody says what is meant. Both are as
  durable as the broker's disk: one that is put back from a copy repeats what the copy has not.
- One run at a time has the name: a lease in the store keeps a second one out, and were both at it all the same (a
  process that was frozen for longer than its lease), the bucket takes the word of only one of them.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NoReturn
from uuid import UUID

import anyio
import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import KeyValueConfig, StorageType
from nats.js.kv import KeyValue

from actors.runtime.chance import any_chance, new_uuid
from actors.runtime.ports import BusUnavailable
from eventstore.leases import Leases
from eventstore.store import StoreError
from protocol.codec import encode

LEASE_TTL_S = 5.0
RENEW_EVERY_S = LEASE_TTL_S / 3
LOOK_AGAIN_S = 0.1  # After the end of a lease that nobody may hold any more.
GIVE_BACK_S_MAX = 2.0
REQUEST_TIMEOUT_S = 5.0
REPLAYS_BYTES_MAX = 4 * 1024**2  # Several thousand names.

_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a consumer is for. `streams`: the identities of those that take its events."""

    subject: str
    first: int = 1
    project: str | None = None
    kind: str | None = None
    id: str | None = None
    types: tuple[str, ...] | None = None
    correlation: str | None = None
    since: str | None = None
    until: str | None = None
    streams: tuple[str, ...] = ()


class _Progress(msgspec.Struct, frozen=True):
    position: int
    choice: Choice


class ReplayRefused(Exception):
    """This run must not use that name; the message says why, and what to do next."""


class OtherChoice(ReplayRefused):
    """The name is for other events or another subject."""


class InUse(ReplayRefused):
    """Another run has the name."""


class Consumer:
    """One name. `position`: up to there everything is taken; None: nothing is known of it. Open with `open`."""

    def __init__(self, bucket: KeyValue, name: str, choice: Choice) -> None:
        self._bucket, self._name, self._choice = bucket, name, choice
        self._revision = 0
        self.position: int | None = None

    @classmethod
    async def open(cls, client: Client, root: str, name: str, choice: Choice, anew: bool = False) -> "Consumer":
        """How far it has come; with `anew` nothing is. OtherChoice, BusUnavailable."""
        try:
            made = cls(await _bucket(client, root), name, choice)
            entry = await made._bucket.get(name)
        except nats.js.errors.KeyNotFoundError:
            return made  # pyright: ignore[reportPossiblyUnboundVariable]  (only `get` raises that)
        except _FAILED as error:
            _unavailable("read", name, error)
        made._revision = entry.revision or 0
        if not anew:
            made._go_on(entry.value or b"")
        return made

    def check(self, head: int) -> None:
        """OtherChoice when the log does not reach as far as the consumer had come."""
        if self.position is not None and self.position > head:
            raise OtherChoice(
                f"the consumer {self._name} stands at position {self.position} and the log ends at {head}, so it is "
                f"another log or was put back from a copy: {_REMEDY}"
            )

    async def save(self, position: int) -> None:
        """Everything up to there is taken. InUse when another run has said something meanwhile; BusUnavailable."""
        if position == self.position:
            return
        progress = encode(_Progress(position, self._choice))
        try:
            self._revision = await self._bucket.update(self._name, progress, self._revision)
        except nats.js.errors.KeyWrongLastSequenceError as error:
            raise InUse(f"another run has moved the consumer {self._name} meanwhile: let one of them go on") from error
        except _FAILED as error:
            _unavailable("keep", self._name, error)
        self.position = position

    def _go_on(self, stored: bytes) -> None:
        try:
            progress = msgspec.json.decode(stored, type=_Progress)
        except msgspec.DecodeError as error:
            raise OtherChoice(
                f"what is kept of the consumer {self._name} cannot be read ({error}): {_REMEDY}"
            ) from error
        before = progress.choice
        if (
            before.streams != self._choice.streams
            and msgspec.structs.replace(before, streams=self._choice.streams) == self._choice
        ):
            raise OtherChoice(
                f"the streams that take the events of the consumer {self._name} are not those of the last run "
                f"({', '.join(before.streams) or 'none'}), so what was acknowledged may be gone. It stood at position "
                f"{progress.position}: {_REMEDY}, and with --from {progress.position + 1} behind that"
            )
        differing = [
            f"{name} {getattr(before, name) or 'none'}"
            for name in Choice.__struct_fields__
            if name != "streams" and getattr(before, name) != getattr(self._choice, name)
        ]
        if differing:
            raise OtherChoice(
                f"the consumer {self._name} stands at position {progress.position} of something else "
                f"({', '.join(differing)}): choose that again, or another name; {_REMEDY}"
            )
        self.position = progress.position


_REMEDY = "to begin again give --anew"


async def _bucket(client: Client, root: str) -> KeyValue:
    """The positions of that company's consumers; made if need be, else as operators have it."""
    stream, name = client.jetstream(timeout=REQUEST_TIMEOUT_S), f"{root}_replays"
    try:
        return await stream.key_value(name)
    except nats.js.errors.BucketNotFoundError:
        config = KeyValueConfig(name, storage=StorageType.FILE, max_bytes=REPLAYS_BYTES_MAX)
        return await stream.create_key_value(config)


async def forget_consumers(client: Client, root: str) -> None:
    """Remove the bucket, if there is one: the log of that company is gone. BusUnavailable."""
    try:
        await client.jetstream(timeout=REQUEST_TIMEOUT_S).delete_key_value(f"{root}_replays")
    except nats.js.errors.NotFoundError:
        return
    except _FAILED as error:
        raise BusUnavailable(f"cannot remove the consumers of {root}: {error or type(error).__name__}") from error


def _unavailable(doing: str, name: str, error: Exception) -> NoReturn:
    raise BusUnavailable(
        f"cannot {doing} the position of the consumer {name}: {str(error) or type(error).__name__}"
    ) from error


@asynccontextmanager
async def held(leases: Leases, name: str) -> AsyncGenerator[None]:
    """Be the only run with that name. A run that was killed is waited for until its lease has ended; InUse when one
    lives, or when the lease could not be kept. StoreUnavailable."""
    lease, me = f"replay/{name}", new_uuid(any_chance())
    await _take(leases, lease, name, me)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_renew, leases, lease, name, me)
            yield
            group.cancel_scope.cancel()
    finally:
        with anyio.move_on_after(GIVE_BACK_S_MAX, shield=True):
            await leases.give_back(lease, me)


async def _take(leases: Leases, lease: str, name: str, me: UUID) -> None:
    found = await leases.take(lease, me, LEASE_TTL_S)
    if found.owner == me:
        return
    await anyio.sleep(max(0.0, found.expires_in_s) + LOOK_AGAIN_S)
    found = await leases.take(lease, me, LEASE_TTL_S)
    if found.owner != me:
        raise InUse(f"another run has the consumer {name}: stop that one, or choose another name")


async def _renew(leases: Leases, lease: str, name: str, me: UUID) -> None:
    until = anyio.current_time() + LEASE_TTL_S
    while True:
        await anyio.sleep(RENEW_EVERY_S)
        asked_at = anyio.current_time()
        try:
            if (await leases.take(lease, me, LEASE_TTL_S)).owner != me:
                break
            until = asked_at + LEASE_TTL_S
        except StoreError:
            if anyio.current_time() >= until:
                raise
    raise InUse(f"another run has taken the consumer {name} while this one stood still: run it again to go on")
