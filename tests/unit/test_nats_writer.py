"""Publishing in one write a turn of the event loop: what goes out, what cannot, and what happens before a full pipe."""

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from nats.aio.transport import TcpTransport

from actors.runtime import nats_writer
from actors.runtime.nats_writer import UNWRITTEN_BYTES_MAX, Unwritable, Writer, frame

PAYLOAD_MAX = 1024 * 1024


class Pipe(TcpTransport):
    """A connection whose server reads, or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reads = True

    def write(self, payload: bytes) -> None:
        self.written.append(payload)

    async def drain(self) -> None:
        if not self.reads:
            await anyio.sleep_forever()


class Connection:
    is_connected = True
    max_payload = PAYLOAD_MAX

    def __init__(self) -> None:
        self._transport = Pipe()
        self.slowly: list[str] = []

    async def publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        del body, headers
        self.slowly.append(subject)


def writer() -> tuple[Writer, Any]:
    connection: Any = Connection()
    return Writer(lambda: connection), connection


def test_a_frame_is_what_the_protocol_says() -> None:
    assert frame("a.b", b"hi", None, PAYLOAD_MAX) == b"PUB a.b 2\r\nhi\r\n"
    headers = b"NATS/1.0\r\nX: 1  2\r\n\r\n"
    expected = b"HPUB a.b %d %d\r\n%bhi\r\n" % (len(headers), len(headers) + 2, headers)
    assert frame("a.b", b"hi", {"X": " 1\r\n2 "}, PAYLOAD_MAX) == expected


@pytest.mark.parametrize(
    ("subject", "body", "headers"),
    [
        ("a b", b"", None),
        ("", b"", None),
        ("a\r\nPUB x 0", b"", None),
        ("a", b"x" * (PAYLOAD_MAX + 1), None),
        ("a", b"x" * PAYLOAD_MAX, {"X": "1"}),
        ("a", b"", {"no name": "1"}),
        ("a", b"", {"no:name": "1"}),
    ],
)
def test_what_would_make_the_server_hang_up_is_not_written(
    subject: str, body: bytes, headers: dict[str, str] | None
) -> None:
    with pytest.raises(Unwritable):
        frame(subject, body, headers, PAYLOAD_MAX)


async def test_what_is_published_in_one_turn_goes_out_in_one_write() -> None:
    publishing, connection = writer()
    for n in range(3):
        await publishing.publish(f"s{n}", b"")
    assert connection._transport.written == []
    await checkpoint()
    assert connection._transport.written == [b"PUB s0 0\r\n\r\nPUB s1 0\r\n\r\nPUB s2 0\r\n\r\n"]


async def test_without_a_connection_nats_py_keeps_it_for_the_next() -> None:
    publishing, connection = writer()
    connection.is_connected = False
    await publishing.publish("s", b"")
    assert connection.slowly == ["s"]


async def test_a_server_that_reads_nothing_delays_once_and_then_things_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nats_writer, "WRITE_S_MAX", 0.01)
    publishing, connection = writer()
    connection._transport.reads = False
    big = b"x" * (PAYLOAD_MAX - 100)
    with anyio.fail_after(5):
        for _ in range(UNWRITTEN_BYTES_MAX // PAYLOAD_MAX):
            await publishing.publish("s", big)
        for _ in range(50):
            with pytest.raises(Unwritable, match="taken nothing"):
                await publishing.publish("s", big)
    assert sum(map(len, connection._transport.written)) <= UNWRITTEN_BYTES_MAX
    connection._transport.reads = True
    await publishing.publish("again", b"")
    await checkpoint()
    assert connection._transport.written[-1] == b"PUB again 0\r\n\r\n"
