"""The command line as a user has it: `bin/troupe` in processes of its own, with a state folder of the test's own."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 240.0  # A bound, not a wait: past it the command hangs.


class _Server(msgspec.Struct):
    pid: int


@dataclass(frozen=True)
class Troupe:
    """`bin/troupe` for one state folder. Nothing of the caller's settings reaches it, nor it the Internet."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TROUPE_")}
        home = self.state.parent
        return ours | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "xdg"),
            "TROUPE_STATE": str(self.state),
            "TROUPE_ADVISORIES_URL": "http://127.0.0.1:9",
        }

    def run(self, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; `given` is its standard input."""
        return subprocess.run(
            [ROOT / "bin/troupe", *arguments],
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )

    def answer(self, *arguments: str) -> Any:
        """The JSON a successful command prints on stdout: one value, on one line."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)

    def replay(self, *arguments: str) -> list[dict[str, Any]]:
        """The events of the log."""
        done = self.run("replay", *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @contextmanager
    def started(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Generator["Command"]:
        """A command that runs meanwhile; killed at the end if it still does, and after `timeout_s` in any case."""
        process = subprocess.Popen(
            [ROOT / "bin/troupe", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        command = Command(process)
        # Past this a wait for a line ends too, with the end of the process.
        hanging = threading.Timer(timeout_s, process.kill)
        hanging.start()
        try:
            yield command
        finally:
            hanging.cancel()
            process.kill()
            process.communicate()

    def server_pids(self) -> dict[str, int]:
        """The process of each server of the state folder."""
        records = msgspec.json.decode((self.state / "servers.json").read_bytes(), type=dict[str, _Server])
        return {name: record.pid for name, record in records.items()}

    def stop_servers(self) -> None:
        """Kill what a killed company left running."""
        for pid in self.server_pids().values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@dataclass(frozen=True)
class Command:
    """A running command."""

    process: "subprocess.Popen[str]"

    def wait_for(self, text: str, stream: str = "stderr") -> str:
        """The first line from here on that contains `text`; fails when the command ends without one."""
        lines: list[str] = []
        source = self.process.stderr if stream == "stderr" else self.process.stdout
        assert source is not None
        for line in source:
            lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"ended with {self.process.wait()} without {text!r}:\n{''.join(lines)}")

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self.process.kill()
        self.process.wait()

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, the rest of stdout, the rest of stderr."""
        out, err = self.process.communicate(timeout=COMMAND_TIMEOUT_S)
        return self.process.returncode, out, err
