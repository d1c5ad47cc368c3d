"""Run one program: `… -m actors.services.tools.programs NAME`, a ToolInput as JSON in, a ToolResult as JSON out.

Whatever else the program prints goes to stderr, so that nothing can corrupt the result. A program that raises ends
with a traceback on stderr and exit code 1.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import cast

import msgspec

from protocol.tools import ToolInput, ToolResult

NAME = re.compile(r"[a-z]+(\.[a-z]+)*")


def main(name: str) -> None:
    """Run the program called `name` ("tests.run" is the module `tests_run`); stdin to stdout."""
    if not NAME.fullmatch(name):
        raise SystemExit(f"{name!r} is not a tool's name")
    results = os.dup(1)
    os.dup2(2, 1)
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=ToolInput)
    module = importlib.import_module(f"actors.services.tools.programs.{name.replace('.', '_')}")
    run = cast(Callable[[ToolInput], ToolResult], module.run)
    result = run(given)
    with os.fdopen(results, "wb") as stream:
        stream.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main(sys.argv[1])
