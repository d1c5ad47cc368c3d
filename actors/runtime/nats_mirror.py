"""The mirror's stream on NATS JetStream, by a connection of its own and a windowed publisher of our own.

Each message names the last sequence it expects, so the server refuses what would make a gap or a repetition, whoever
publishes and however often. Messages go out without waiting for one another, IN_FLIGHT_MAX or WINDOW_BYTES_MAX
of them at most; the acknowledgements come to one inbox. Only an acknowledgement with the right sequence counts.

Where the server knows users, give the mirror one of its own and let nobody else publish below `<root>.evt.`, nor
manage the stream (deploy/nats has the settings). Without that, whoever may publish can put something behind the last
event; it is found before the next one is published, and the stream made anew.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from actors.runtime.mirrored import IN_FLIGHT_MAX, Extent, Likeness, Mirrored, Misplaced, Trimming, likeness
from actors.runtime.nats_client import CONNECT_S_MAX, connect
from actors.runtime.ports import BusUnavailable
from protocol.subjects import ROOT, check_token, events_wildcard

STREAM = "EVENTS"
WINDOW_BYTES_MAX = 4 * 1024 * 1024
ACK_S_MAX = 5.0  # Without any acknowledgement for so long the stream is out of reach.
REQUEST_TIMEOUT_S = 5.0
DUPLICATE_WINDOW_S = 0.1  # Nothing rests on it: the expected sequence is what counts.

_EXPECTED = "Nats-Expected-Last-Sequence"
_WRONG_LAST_SEQUENCE = (10071, 10164)  # Codes of the JetStream API, for a sequence that is not the last one.
_NO_RESPONDERS = "503"  # The status of a publish that no stream takes.
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


_acks = msgspec.json.Decoder(_Ack)


def events_stream_of(root: str) -> str:
    """The stream that mirrors the log of the company whose subjects begin with `root`."""
    return STREAM if root == ROOT else f"{STREAM}_{root}"


class NatsEvents:
    """An EventsStream on one NATS connection. Open with `async with NatsEvents.open(...)`."""

    def __init__(self, root: str, trimming: Trimming) -> None:
        self.client: Client = Client()
        self.name = events_stream_of(root)
        self._root, self._trimming = root, trimming
        self._inbox = ""
        self._attempt = 0  # Acknowledgements of an earlier one say nothing.
        self._open: dict[int, int] = {}  # Sequences that are not acknowledged yet, with their bytes.
        self._open_bytes = 0
        self._refusal: Exception | None = None
        self._trouble = ""  # What the client said last.
        self._stirred = anyio.Event()

    @property
    def _js(self) -> JetStreamContext:
        return self.client.jetstream(timeout=REQUEST_TIMEOUT_S)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str, root: str, trimming: Trimming) -> "AsyncGenerator[NatsEvents]":
        """Connect. BusUnavailable when that cannot be."""
        events = cls(check_token("root", root), trimming)
        try:
            events.client = await connect(
                url, token, reconnected=_ignored, disconnected=_ignored, closed=_ignored, failed=events._failed
            )
            events._inbox = events.client.new_inbox()
            await events.client.subscribe(f"{events._inbox}.*.*", cb=events._heard)
        except _FAILED as error:
            why = str(error) or events._trouble or f"no answer within {CONNECT_S_MAX:g} s"
            raise BusUnavailable(f"the mirror cannot connect to NATS: {why}") from error
        try:
            yield events
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(REQUEST_TIMEOUT_S):
                await events.client.close()

    async def extent(self) -> Extent | None:
        try:
            info = await self._js.stream_info(self.name)
            await self._keep_settings(info.config)
        except nats.js.errors.NotFoundError:
            return None
        except _FAILED as error:
            raise BusUnavailable(f"cannot read the stream {self.name}: {self._why(error)}") from error
        state = info.state
        return Extent(state.first_seq if state.messages else state.last_seq + 1, state.last_seq)

    async def likeness_at(self, sequence: int) -> Likeness:
        try:
            found = await self._js.get_msg(self.name, sequence)
        except nats.js.errors.NotFoundError:
            return likeness({}, b"")  # It was removed by hand, or with its stream: like no event.
        except _FAILED as error:
            raise BusUnavailable(f"cannot read the stream {self.name}: {self._why(error)}") from error
        headers: dict[str, str] = dict(found.headers or {})  # pyright: ignore[reportUnknownArgumentType]
        return likeness(headers, found.data or b"")

    async def begin(self, first: int) -> None:
        try:
            with suppress(nats.js.errors.NotFoundError):
                await self._js.delete_stream(self.name)
            await self._js.add_stream(self._config(first))
        except _FAILED as error:
            raise BusUnavailable(f"cannot make the stream {self.name} anew: {self._why(error)}") from error

    async def put(self, messages: Sequence[Mirrored]) -> None:
        self._attempt += 1
        self._open, self._open_bytes, self._refusal = {}, 0, None
        for message in messages:
            await self._until(lambda: len(self._open) < IN_FLIGHT_MAX and self._open_bytes < WINDOW_BYTES_MAX)
            self._open[message.sequence] = len(message.body)
            self._open_bytes += len(message.body)
            headers = {**message.headers, _EXPECTED: str(message.sequence - 1)}
            try:
                await self.client.publish(
                    message.subject, message.body, f"{self._inbox}.{self._attempt}.{message.sequence}", headers
                )
            except (*_FAILED, ValueError) as error:
                raise BusUnavailable(f"cannot publish to the stream {self.name}: {self._why(error)}") from error
        await self._until(lambda: not self._open)

    async def remove(self) -> None:
        """Remove the stream with all that is in it, if it is there."""
        try:
            await self._js.delete_stream(self.name)
        except nats.js.errors.NotFoundError:
            return
        except _FAILED as error:
            raise BusUnavailable(f"cannot remove the stream {self.name}: {self._why(error)}") from error

    async def _until(self, enough: Callable[[], bool]) -> None:
        """Wait for acknowledgements until there are enough. Misplaced, BusUnavailable."""
        while self._refusal is None and not enough():
            self._stirred = anyio.Event()
            with anyio.move_on_after(ACK_S_MAX) as waiting:
                await self._stirred.wait()
            if waiting.cancelled_caught:
                raise BusUnavailable(f"the stream {self.name} has not answered for {ACK_S_MAX:g} s: {self._trouble}")
        if self._refusal is not None:
            raise self._refusal

    async def _heard(self, message: Msg) -> None:
        attempt, sequence = (int(token) for token in message.subject.rsplit(".", 2)[1:])
        if attempt != self._attempt:
            return
        refusal = self._said(message, sequence)
        if refusal is None:
            self._open_bytes -= self._open.pop(sequence, 0)
        elif self._refusal is None:  # The first one says why; those behind it only miss it.
            self._refusal = refusal
        self._stirred.set()

    def _said(self, message: Msg, sequence: int) -> Exception | None:
        """Why the message is not stored as it should be (None: it is)."""
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            return Misplaced(f"there is no stream {self.name}")
        try:
            ack = _acks.decode(message.data)
        except msgspec.DecodeError as error:
            return BusUnavailable(f"the stream {self.name} answered what is no acknowledgement: {error}")
        if ack.error is not None and ack.error.err_code in _WRONG_LAST_SEQUENCE:
            return Misplaced(ack.error.description)
        if ack.error is not None:
            return BusUnavailable(f"the stream {self.name} refuses an event: {ack.error.description}")
        return None if ack.seq == sequence else Misplaced(f"event {sequence} was stored as {ack.seq}")

    async def _keep_settings(self, there: StreamConfig) -> None:
        """Trim as it is set now; what operators have changed besides (replicas, placement) stays."""
        wanted = self._config(1)
        if (there.max_age, there.max_bytes, there.subjects) != (wanted.max_age, wanted.max_bytes, wanted.subjects):
            changed = there.evolve(max_age=wanted.max_age, max_bytes=wanted.max_bytes, subjects=wanted.subjects)
            await self._js.update_stream(changed)

    def _config(self, first: int) -> StreamConfig:
        return StreamConfig(
            name=self.name,
            subjects=[events_wildcard(self._root)],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=self._trimming.age_s,
            max_bytes=self._trimming.bytes_max,
            first_seq=first,
            duplicate_window=min(DUPLICATE_WINDOW_S, self._trimming.age_s),
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        )

    async def _failed(self, error: Exception) -> None:
        self._trouble = f"{type(error).__name__}: {error}"

    def _why(self, error: Exception) -> str:
        return str(error) or self._trouble or type(error).__name__


async def _ignored() -> None:
    """What is lost with a connection shows in missing acknowledgements."""
