"""What a reader of a tap is given, and what one attempt's tap does with what it cannot keep."""

import anyio
import pytest

from actors.runtime.kind import EffectCall
from actors.runtime.retry import Retry
from actors.runtime.taps import SILENT, Sequel, Tap, TapGone
from protocol.message import Command
from protocol.subjects import Address
from tests.kit.counting import Job, Report
from tests.kit.effect_room import Room, job_performer

Found = list[tuple[int, int]]


def given(found: Found, after: int | None = -1, attempt: int = 0) -> Found:
    sequel = Sequel(after, attempt)
    return [(a, n) for a, n in found if sequel.takes("k", a, n)]


@pytest.mark.parametrize(
    ("found", "after", "attempt", "takes"),
    [
        ([(1, 0), (1, 1), (1, 2)], -1, 0, [(1, 0), (1, 1), (1, 2)]),
        ([(1, 0), (1, 1), (1, 0), (1, 1), (1, 2)], -1, 0, [(1, 0), (1, 1), (1, 2)]),
        ([(1, 0), (1, 1), (1, 2)], 1, 1, [(1, 2)]),
        ([(1, 7), (1, 8)], None, 0, [(1, 7), (1, 8)]),
        ([(1, 0), (2, 0), (1, 1), (2, 1)], -1, 0, [(1, 0), (2, 0), (2, 1)]),
        ([(1, 4), (2, 0), (2, 1)], 4, 1, [(2, 0), (2, 1)]),
        ([(1, 0), (2, 0)], -1, 2, [(2, 0)]),
    ],
    ids=["all", "repeated", "resumed", "whatever is kept", "another attempt", "resumed before it", "of one attempt"],
)
def test_a_reader_gets_each_chunk_once_and_in_order(
    found: Found, after: int | None, attempt: int, takes: Found
) -> None:
    assert given(found, after, attempt) == takes


@pytest.mark.parametrize(
    ("found", "after", "attempt", "missing"),
    [
        ([(1, 1)], -1, 0, (1, 0)),
        ([(1, 0), (1, 2)], -1, 0, (1, 1)),
        ([(1, 9)], 4, 1, (1, 5)),
        ([(1, 4), (2, 1)], 4, 1, (2, 0)),
        ([(1, 7), (1, 9)], None, 0, (1, 8)),
    ],
    ids=["the beginning", "one between", "after the last", "the beginning of another", "behind what was kept"],
)
def test_what_is_missing_is_said(found: Found, after: int | None, attempt: int, missing: tuple[int, int]) -> None:
    with pytest.raises(TapGone, match="is not kept") as gone:
        given(found, after, attempt)
    assert (gone.value.attempt, gone.value.offset) == missing


class NotingTaps:
    """Taps that note what is said to them: (attempt, chunk or "end")."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    def open(self, address: Address, key: str, attempt: int, effect_kind: str, traceparent: str = "") -> Tap:
        return _Noting(self.said, attempt)

    async def run(self) -> None:
        await anyio.sleep_forever()


class _Noting:
    def __init__(self, said: list[tuple[int, str]], attempt: int) -> None:
        self._said, self._attempt = said, attempt

    def emit(self, chunk: object) -> None:
        self._said.append((self._attempt, str(chunk)))

    def end(self) -> None:
        self._said.append((self._attempt, "end"))


async def test_each_attempt_has_a_tap_and_only_the_end_of_the_effect_ends_it() -> None:
    room, taps = await Room.open(), NotingTaps()

    async def perform(call: EffectCall, work: Job) -> Command:
        call.tap.emit(f"{work.job} {call.attempt}".encode())
        if call.attempt == 1:
            raise ConnectionError
        return Report(work.job, "done")

    async with room.works(job_performer(perform, retry=Retry(first_s=0.0)), taps=taps):
        await room.want("a")
        assert await room.heard() == {"a": "done"}
    assert taps.said == [(1, "b'a 1'"), (2, "b'a 2'"), (2, "end")]


def test_a_call_that_nobody_reads_along_with_may_emit_all_the_same() -> None:
    SILENT.emit(b"x")
    SILENT.end()
