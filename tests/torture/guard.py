"""Cleans up after a run that was killed: `python -m tests.torture.guard`, with a pipe from the run on standard input.

The pipe ends when the run does, however it ends. A run that could clean up leaves nothing to do; otherwise the servers
of every temporary folder whose process is dead are stopped, and the folders removed.
"""

import sys

import anyio

from actors.embedded.sweep import sweep_ephemeral

if __name__ == "__main__":
    sys.stdin.buffer.read()
    anyio.run(sweep_ephemeral)
