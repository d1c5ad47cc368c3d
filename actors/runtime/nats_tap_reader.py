"""Reads taps from NATS JetStream, one message after another by its place in the stream.

What a restarted server lost is noticed by the stream's time of creation, and by the numbers of the chunks: the reader
then looks from the beginning of the new stream, and what is missing is TapGone. Live chunks ring a bell; a bell that is
lost costs LOOK_EVERY_S.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime

import anyio
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.runtime.nats_taps import ATTEMPT, END, KEY, OFFSET, taps_stream_of
from actors.runtime.ports import BusUnavailable
from actors.runtime.taps import Chunk, Sequel, TapGone
from protocol.subjects import ROOT, Address, tap_subject

LOOK_EVERY_S = 1.0
REQUEST_TIMEOUT_S = 2.0
CLOSED_LOOKS_MAX = 5  # So often the connection may be found closed: then nobody is going to open another.

_NUMBER = re.compile(r"[0-9]{1,18}")
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


@dataclass
class _Place:
    """Where in which stream a reader stands."""

    next: int = 1
    created: datetime | None = None


class NatsTapReader:
    """A TapReader on whatever connection `connection` says is the present one."""

    def __init__(self, connection: Callable[[], Client], root: str = ROOT) -> None:
        self._connection, self._root = connection, root
        self._stream = taps_stream_of(root)

    async def read(
        self, address: Address, key: str = "", after: int | None = -1, attempt: int = 0
    ) -> AsyncGenerator[Chunk]:
        subject, place = tap_subject(address, self._root), _Place()
        sequels: dict[str, Sequel] = {key: Sequel(after, attempt)} if key else {}
        bell = _Bell(self._connection, subject)
        try:
            await self._same_stream(place)
            while True:
                message = await self._next(subject, place, bell)
                found = _chunk_of(message)
                if found is None or (key and found.key != key):
                    continue
                sequel = sequels.setdefault(found.key, Sequel(None, 0))
                try:
                    taken = sequel.takes(found.key, found.attempt, found.offset)
                except TapGone:
                    if await self._same_stream(place):
                        raise
                    continue
                if taken and END in (message.headers or {}):
                    if key:
                        return
                elif taken:
                    yield found
        finally:
            await bell.close()

    async def _next(self, subject: str, place: _Place, bell: "_Bell") -> Msg:
        """The next message that is kept; waits for it."""
        while True:
            await bell.listen()
            message = await self._get(subject, place.next)
            if message is not None:
                place.next = int((message.headers or {})["Nats-Sequence"]) + 1
                return message
            if not await bell.wait():
                await self._same_stream(place)

    async def _get(self, subject: str, sequence: int) -> Msg | None:
        """The first message from that sequence on; None when there is none, or nobody to ask."""
        request = json.dumps({"seq": sequence, "next_by_subj": subject}).encode()
        try:
            message = await self._connection().request(
                f"$JS.API.DIRECT.GET.{self._stream}", request, timeout=REQUEST_TIMEOUT_S
            )
        except _FAILED:
            return None
        return message if "Nats-Sequence" in (message.headers or {}) else None

    async def _same_stream(self, place: _Place) -> bool:
        """Whether the stream is the one that was read so far; if not, the reader stands at its beginning now. While
        nobody can be asked it is."""
        try:
            info = await self._connection().jetstream(timeout=REQUEST_TIMEOUT_S).stream_info(self._stream)
        except _FAILED:
            return True
        if info.created == place.created:
            return True
        place.next, place.created = 1, info.created
        return False


class _Bell:
    """Rings when something is published on the subject."""

    def __init__(self, connection: Callable[[], Client], subject: str) -> None:
        self._connection, self._subject = connection, subject
        self._client: Client | None = None
        self._rung = anyio.Event()
        self._closed_looks = 0
        self._subscription: Subscription | None = None

    async def listen(self) -> None:
        """Hear what is published from now on. BusUnavailable when the connection stays closed."""
        self._rung = anyio.Event()
        client = self._connection()
        if client.is_closed:
            self._closed_looks += 1
            if self._closed_looks > CLOSED_LOOKS_MAX:
                raise BusUnavailable(
                    "the connection to NATS was closed: open another, and read on after the last chunk"
                )
            return
        self._closed_looks = 0
        if client is not self._client:
            try:
                self._subscription = await client.subscribe(self._subject, cb=self._ring)
                self._client = client
            except _FAILED:
                self._client = None

    async def wait(self) -> bool:
        """Until it rings; False after LOOK_EVERY_S."""
        with anyio.move_on_after(LOOK_EVERY_S):
            await self._rung.wait()
            return True
        return False

    async def close(self) -> None:
        if self._client is not None and self._subscription is not None and not self._client.is_closed:
            try:
                await self._subscription.unsubscribe()
            except _FAILED:
                self._client = None

    async def _ring(self, _: Msg) -> None:
        self._rung.set()


def _chunk_of(message: Msg) -> Chunk | None:
    """None for what is none of ours: whoever may publish there may publish anything."""
    headers = message.headers or {}
    attempt, offset = headers.get(ATTEMPT, ""), headers.get(OFFSET, "")
    if not (_NUMBER.fullmatch(attempt) and _NUMBER.fullmatch(offset) and KEY in headers):
        return None
    return Chunk(headers[KEY], int(attempt), int(offset), message.data)
