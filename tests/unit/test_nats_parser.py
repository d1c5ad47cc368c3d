"""The short cut through nats-py's parser: every frame is heard once, in order, however the bytes are cut."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from actors.runtime.nats_parser import DirectParser, parse_headers

DIRECT, OTHER = 7, 8
HEADED = b"NATS/1.0\r\nce-id: c1\r\n\r\n"
MESSAGE = b"HMSG a.b %d $JS.ACK.x %d %d\r\n%b{}\r\n" % (DIRECT, len(HEADED), len(HEADED) + 2, HEADED)
BARE = b"MSG a.c %d $JS.ACK.y 3\r\n\r\n!\r\n" % DIRECT
STATUS = b"HMSG a.d %d 18 18\r\nNATS/1.0 100 x\r\n\r\n\r\n" % DIRECT
FOREIGN = b"MSG z %d 2\r\nhi\r\n" % OTHER
EVERYTHING = (MESSAGE, BARE, FOREIGN, MESSAGE, b"PING\r\n", BARE, STATUS, MESSAGE, b"+OK\r\n", MESSAGE)


class Connection:
    """What nats-py's parser calls, and what is heard directly, in one order."""

    def __init__(self) -> None:
        self.stats: dict[str, int] = {}
        self.heard: list[tuple[Any, ...]] = []
        self.parser = DirectParser(self, {DIRECT: self._hear})

    def _hear(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self.heard.append((subject, reply, headers, body))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if sid == DIRECT:
            self._hear(subject, reply, headers or b"", data)
        else:
            self.heard.append(("foreign", data))

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))

    async def read(self, pieces: Sequence[bytes]) -> list[tuple[Any, ...]]:
        for piece in pieces:
            await self.parser.parse(piece)
        return self.heard


IN_ONE = [
    (b"a.b", b"$JS.ACK.x", HEADED, b"{}"),
    (b"a.c", b"$JS.ACK.y", b"", b"\r\n!"),
    ("foreign", b"hi"),
    (b"a.b", b"$JS.ACK.x", HEADED, b"{}"),
    ("ping",),
    (b"a.c", b"$JS.ACK.y", b"", b"\r\n!"),
    (b"a.d", b"", b"NATS/1.0 100 x\r\n\r\n", b""),
    (b"a.b", b"$JS.ACK.x", HEADED, b"{}"),
    (b"a.b", b"$JS.ACK.x", HEADED, b"{}"),
]


async def test_direct_and_other_frames_are_heard_in_their_order() -> None:
    assert await Connection().read([b"".join(EVERYTHING)]) == IN_ONE


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64])
async def test_however_the_bytes_are_cut(size: int) -> None:
    data = b"".join(EVERYTHING)
    assert await Connection().read([data[at : at + size] for at in range(0, len(data), size)]) == IN_ONE


async def test_any_order_of_frames_cut_anywhere() -> None:
    chance = Random(5)
    for _ in range(200):
        frames = chance.choices(EVERYTHING, k=12)
        data = b"".join(frames)
        cuts = sorted(chance.sample(range(len(data)), 9))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        whole = [heard for frame in frames for heard in await Connection().read([frame])]
        assert await Connection().read(pieces) == whole


async def test_what_breaks_while_it_hears_does_not_end_the_reading() -> None:
    connection = Connection()

    def broken(*frame: bytes) -> None:
        connection.heard.append(frame)
        raise ValueError("no")

    connection.parser = DirectParser(connection, {DIRECT: broken})
    assert len(await connection.read([MESSAGE + MESSAGE])) == 2


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (HEADED, {"ce-id": "c1"}),
        (b"NATS/1.0\r\n\r\n", {}),
        (b"NATS/1.0 503\r\nA:1\r\nB:\t2 \r\nno colon\r\nA: 3\r\n\r\n", {"A": "3", "B": "2"}),
        (b"NATS/1.0\r\nA: \xff\r\n\r\n", {"A": "\N{REPLACEMENT CHARACTER}"}),
        (b"", {}),
    ],
)
def test_headers_are_read_whatever_somebody_sent(raw: bytes, headers: dict[str, str]) -> None:
    assert parse_headers(raw) == headers
