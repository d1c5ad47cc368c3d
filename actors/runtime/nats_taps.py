"""Taps on NATS JetStream: what effects emit, kept for minutes in memory of the server (the stream TAPS).

Publishing: chunks wait in a buffer of bounded size and go out in order, a window at a time; what is not acknowledged is
sent again once the server is back and its stream is there, so that a restart makes a gap only of what did not fit into
the buffer, and of what had been kept before. A repetition does no harm, since chunks are numbered.

Reading (nats_tap_reader.py) asks for one message after another by its place in the stream.
"""

from collections import deque
from dataclasses import dataclass

import anyio
import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.nats_bus import NatsBus
from actors.runtime.nats_messages import traced
from actors.runtime.ports import BusUnavailable
from actors.runtime.taps import CHUNK_BYTES_MAX, Tap, bytes_of
from protocol.subjects import ROOT, Address, tap_subject, taps_wildcard

STREAM = "TAPS"
STREAM_BYTES_MAX = 32 * 1024 * 1024
KEPT_S = 600.0
DUPLICATE_WINDOW_S = 0.1  # Chunks are numbered: the stream's own dedupe is of no use.
WAITING_CHUNKS_MAX = 4_096
WAITING_BYTES_MAX = 8 * 1024 * 1024
WINDOW_CHUNKS = 64
ACK_S_MAX = 2.0
AGAIN_FIRST_S = 0.25  # Until a server that is away is tried again,
AGAIN_S_MAX = 5.0  # and longer each time up to this.
REQUEST_TIMEOUT_S = 5.0
KEY, ATTEMPT, OFFSET, END = "Troupe-Effect", "Troupe-Attempt", "Troupe-Offset", "Troupe-End"

log = structlog.get_logger("taps")
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)
_NO_RESPONDERS = "503"


class _Ack(msgspec.Struct):
    error: dict[str, object] | None = None


_acks = msgspec.json.Decoder(_Ack)


def taps_stream_of(root: str) -> str:
    """The stream that keeps what is emitted below `root`."""
    return STREAM if root == ROOT else f"{STREAM}_{root}"


@dataclass(frozen=True, slots=True)
class _Emitted:
    subject: str
    headers: dict[str, str]
    body: bytes
    effect_kind: str


class NatsTaps:
    """The taps of one process, on its bus's connection."""

    def __init__(self, bus: NatsBus, metrics: RuntimeMetrics | None = None) -> None:
        self.stream = taps_stream_of(bus.root)
        self._bus, self._metrics = bus, metrics or RuntimeMetrics()
        self._waiting: deque[_Emitted] = deque()
        self._waiting_bytes = 0
        self._stirred = anyio.Event()
        self._client: Client | None = None  # That the inbox is heard on.
        self._inbox = ""
        self._window = 0
        self._unheard: set[int] = set()  # Of the window under way: places that nobody has answered for.
        self._refused: set[int] = set()
        self._homeless = False  # The stream is not there.
        self._heard = anyio.Event()

    def open(self, address: Address, key: str, attempt: int, effect_kind: str, traceparent: str = "") -> Tap:
        return _NatsTap(self, tap_subject(address, self._bus.root), key, attempt, effect_kind, traceparent)

    def put(self, emitted: _Emitted) -> None:
        """Have it published if there is room; an end has room of its own."""
        room = 2 if END in emitted.headers else 1
        full = len(self._waiting) >= room * WAITING_CHUNKS_MAX
        if full or self._waiting_bytes + len(emitted.body) > WAITING_BYTES_MAX or len(emitted.body) > CHUNK_BYTES_MAX:
            self._count(emitted, "dropped")
            log.debug("taps.dropped", effect=emitted.headers[KEY], bytes=len(emitted.body))
            return
        self._waiting.append(emitted)
        self._waiting_bytes += len(emitted.body)
        self._stirred.set()

    async def run(self) -> None:
        wait_s = AGAIN_FIRST_S
        while True:
            while not self._waiting:
                self._stirred = anyio.Event()
                await self._stirred.wait()
            window = [self._waiting[n] for n in range(min(WINDOW_CHUNKS, len(self._waiting)))]
            try:
                stored, refused = await self._publish(window)
            except _FAILED as error:
                log.debug("taps.wait", error=f"{type(error).__name__}: {error}")
                stored, refused = 0, set[int]()
            for n in range(stored):
                emitted = self._waiting.popleft()
                self._waiting_bytes -= len(emitted.body)
                self._count(emitted, "dropped" if n in refused else "published")
            if stored < len(window):
                await anyio.sleep(wait_s)
                wait_s = min(2 * wait_s, AGAIN_S_MAX)
                await self._ensure_stream()
            else:
                wait_s = AGAIN_FIRST_S

    def _count(self, emitted: _Emitted, fate: str) -> None:
        if END not in emitted.headers:
            self._metrics.tapped(emitted.effect_kind, fate)

    async def _publish(self, window: list[_Emitted]) -> tuple[int, set[int]]:
        """How many from the beginning need not be sent again, and the places of those that the stream refused."""
        client = self._bus.client
        if not client.is_connected:  # What is published now would go out after the connection stands, unasked for.
            return 0, set()
        await self._listen(client)
        self._window += 1
        self._unheard, self._homeless, self._refused = set(range(len(window))), False, set()
        for n, emitted in enumerate(window):
            reply = f"{self._inbox}.{self._window}.{n}"
            await client.publish(emitted.subject, emitted.body, reply=reply, headers=emitted.headers)
        with anyio.move_on_after(ACK_S_MAX):
            while self._unheard and not self._homeless:
                self._heard = anyio.Event()
                await self._heard.wait()
        return min(self._unheard, default=len(window)), self._refused

    async def _listen(self, client: Client) -> None:
        if client is self._client:
            return
        inbox = client.new_inbox()
        await client.subscribe(f"{inbox}.*.*", cb=self._hear)
        self._client, self._inbox = client, inbox

    async def _hear(self, message: Msg) -> None:
        window, place = (int(token) for token in message.subject.rsplit(".", 2)[1:])
        if window != self._window:
            return
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            self._homeless = True
        else:
            try:
                error = _acks.decode(message.data).error
            except msgspec.DecodeError as wrong:
                error = {"description": str(wrong)}
            if error is not None:
                self._refused.add(place)
                log.warning("taps.refused", error=str(error.get("description")))
            self._unheard.discard(place)
        self._heard.set()

    async def _ensure_stream(self) -> None:
        client = self._bus.client
        if not client.is_connected:
            return
        try:
            await client.jetstream(timeout=REQUEST_TIMEOUT_S).add_stream(stream_config(self._bus.root))
        except _FAILED as error:
            log.warning("taps.no_stream", stream=self.stream, error=f"{type(error).__name__}: {error}")


class _NatsTap:
    """One attempt's tap."""

    def __init__(
        self, taps: NatsTaps, subject: str, key: str, attempt: int, effect_kind: str, traceparent: str
    ) -> None:
        self._taps, self._subject, self._key, self._kind = taps, subject, key, effect_kind
        self._attempt, self._offset, self._trace = attempt, 0, traced(traceparent)

    def emit(self, chunk: bytes | msgspec.Struct) -> None:
        try:
            body = bytes_of(chunk)
        except (TypeError, ValueError) as error:  # A struct that is no JSON is the emitter's mistake, not its end.
            log.warning("taps.unreadable", effect=self._key, error=str(error))
            body = None
        if body is not None:
            self._taps.put(_Emitted(self._subject, self._headers(), body, self._kind))
        self._offset += 1

    def end(self) -> None:
        self._taps.put(_Emitted(self._subject, self._headers() | {END: "1"}, b"", self._kind))

    def _headers(self) -> dict[str, str]:
        return {KEY: self._key, ATTEMPT: str(self._attempt), OFFSET: str(self._offset), **self._trace}


async def remove_taps(bus: NatsBus) -> None:
    """Remove the stream, if there is one. BusUnavailable."""
    try:
        await bus.client.jetstream(timeout=REQUEST_TIMEOUT_S).delete_stream(taps_stream_of(bus.root))
    except nats.js.errors.NotFoundError:
        return
    except _FAILED as error:
        raise BusUnavailable(f"cannot remove the stream {taps_stream_of(bus.root)}: {error}") from error


def stream_config(root: str) -> StreamConfig:
    """TAPS as it is to be: in memory, the oldest go first."""
    return StreamConfig(
        name=taps_stream_of(root),
        subjects=[taps_wildcard(root)],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.OLD,
        max_age=KEPT_S,
        max_bytes=STREAM_BYTES_MAX,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
    )
