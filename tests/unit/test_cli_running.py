"""How a command ends: exit codes of errors, signals, a reader that went away."""

import os
import signal
import subprocess
import sys

import anyio
import pytest

from actors.cli.client import NoReply
from actors.cli.exits import Exit, Stop
from actors.cli.running import execute
from actors.host import HostError
from eventstore.store import StoreError, StoreUnavailable
from projections.errors import ViewAhead


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Stop(Exit.NOT_FOUND, "what"), 3),
        (HostError("running", "what"), 4),
        (HostError("usage", "what"), 2),
        (StoreUnavailable("what"), 4),
        (StoreError("what"), 1),
        (NoReply("what"), 4),
        (ViewAhead("what"), 5),
        (ExceptionGroup("several", [ExceptionGroup("inner", [Stop(Exit.DIVERGENCE, "what")])]), 5),
    ],
)
def test_an_error_is_one_line_and_a_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> int:
        raise error

    assert execute(work) == code
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "troupe: what\n")


def test_a_bug_keeps_its_traceback_even_beside_a_known_error() -> None:
    async def work() -> int:
        raise ExceptionGroup("both", [Stop(Exit.NOT_FOUND, "what"), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        execute(work)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_command_clean_up(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    cleaned: list[str] = []

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.append("drained")
        return Exit.OK

    assert execute(work) == Exit.INTERRUPTED
    assert cleaned == ["drained"]
    assert "stopping" in capsys.readouterr().err


def test_a_second_signal_ends_it_at_once() -> None:
    program = """
import anyio, os, signal
from actors.cli.running import execute
async def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()
execute(work)
"""
    ended = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == Exit.INTERRUPTED


@pytest.mark.parametrize("prints", ['output.lines([b"x" * 10_000])', 'output.table(("x",), [("x" * 10_000,)])'])
def test_a_reader_that_went_away_is_no_error(prints: str) -> None:
    program = f"""
import sys
from actors.cli import output
from actors.cli.running import execute
async def work():
    while True:
        {prints}
sys.exit(execute(work))
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(timeout=60) == Exit.OK
        assert process.stderr.read() == b""
