"""The asking process: keeps so many asks in flight and times each from its publish to its reply.

Reads one JSON object a line (`Asks`) from standard input and writes one (`Asked`) for each. An ask is what any client
sends: a command of the counter with id, inbox and deadline in its headers, published once. An ask that nobody answers
ends the measurement with an error: none may be lost on a healthy machine.
"""

import asyncio
import secrets
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from time import perf_counter

import msgspec

from protocol.envelope import format_time
from protocol.subjects import Address, command_subject
from tests.benchmarks.report import percentile
from tests.benchmarks.runtime.wire import Wire

PROJECT, KIND = "bench", "counter"
BODY = b'{"type":"counter.add.v1","n":1}'
DEADLINE_S = 30.0  # Every ask has one.
SILENCE_S_MAX = 20.0
_ACCEPTED = b'{"outcome":"accepted"'


class Asks(msgspec.Struct):
    """What is to be asked: about `seconds` long, `in_flight` at once, of so many `actors`; or `times` in all."""

    in_flight: int
    seconds: float
    actors: int
    first: int = 0
    times: int = 0


class Asked(msgspec.Struct):
    """What came of it. Times in milliseconds; `longest_gap_ms`: the longest time without any reply."""

    asks: int
    seconds: float
    p50_ms: float
    p99_ms: float
    longest_gap_ms: float


class Connection(msgspec.Struct):
    """Where the company is: the first line of the standard input."""

    nats_url: str
    nats_token: str
    root: str


class Asker:
    """Asks over one connection. Each of the slots has one ask in flight."""

    def __init__(self, root: str) -> None:
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._root, self._run = root, secrets.token_hex(4)
        self._ids = count()
        self._wire: Wire | None = None
        self._sent: list[float] = []
        self._took: list[float] = []
        self._gap = 0.0
        self._last = 0.0
        self._until = 0.0
        self._pending = 0
        self._targets: list[bytes] = []
        self._next = 0
        self._times = 0
        self._deadline = b""
        self._done = asyncio.Event()

    async def open(self, url: str, token: str) -> None:
        self._wire = await Wire.open(url, token, self.inbox, self._heard)

    async def run(self, asks: Asks) -> Asked:
        assert self._wire is not None
        self._targets = [
            command_subject(Address(PROJECT, KIND, f"c{n}"), self._root).encode()
            for n in range(asks.first, asks.first + asks.actors)
        ]
        self._times, self._next = asks.times, 0
        slots = min(asks.in_flight, asks.times or asks.in_flight)
        self._took, self._gap, self._done = [], 0.0, asyncio.Event()
        self._sent, self._pending = [0.0] * slots, slots
        started = self._last = perf_counter()
        self._until = started + asks.seconds
        self._deadline = format_time(datetime.now(UTC) + timedelta(seconds=DEADLINE_S + asks.seconds)).encode()
        for slot in range(slots):
            self._ask(slot, started)
        self._wire.flush()
        await self._answered()
        took_ms = [1e3 * t for t in self._took]
        return Asked(
            len(took_ms),
            self._last - started,
            percentile(took_ms, 0.50),
            percentile(took_ms, 0.99),
            1e3 * self._gap,
        )

    async def _answered(self) -> None:
        while True:
            before = len(self._took)
            try:
                await asyncio.wait_for(self._done.wait(), SILENCE_S_MAX)
                return
            except TimeoutError:
                if len(self._took) == before:
                    raise TimeoutError(f"{self._pending} asks have had no reply for {SILENCE_S_MAX:g} s") from None

    def _ask(self, slot: int, now: float) -> None:
        assert self._wire is not None
        subject = self._targets[self._next % len(self._targets)]
        self._next += 1
        headers = b"NATS/1.0\r\nce-id: %b-%08x\r\nTroupe-Reply-To: %b.%d\r\nTroupe-Deadline: %b\r\n\r\n" % (
            self._run.encode(), next(self._ids), self.inbox.encode(), slot, self._deadline,
        )  # fmt: skip
        frame = b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(headers), len(headers) + len(BODY), headers, BODY)
        self._sent[slot] = now
        self._wire.put(frame)

    def _heard(self, slot: int, body: bytes) -> None:
        now = perf_counter()
        if not body.startswith(_ACCEPTED):
            raise ValueError(f"an ask was not accepted: {body[:500].decode('utf-8', 'replace')}")
        self._took.append(now - self._sent[slot])
        self._gap = max(self._gap, now - self._last)
        self._last = now
        if self._next < self._times if self._times else now < self._until:
            self._ask(slot, now)
        else:
            self._pending -= 1
            if not self._pending:
                self._done.set()


async def main() -> None:
    loop = asyncio.get_running_loop()
    line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
    where = msgspec.json.decode(line, type=Connection)
    asker = Asker(where.root)
    await asker.open(where.nats_url, where.nats_token)
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        asked = await asker.run(msgspec.json.decode(line, type=Asks))
        sys.stdout.buffer.write(msgspec.json.encode(asked) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main())
