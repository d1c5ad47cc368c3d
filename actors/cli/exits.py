"""How a command ends: the exit codes, and the error that carries one to the top."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `troupe`. Scripts rely on them."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    DIVERGENCE = 5
    INTERRUPTED = 130


class Stop(Exception):
    """End the command with `code`; `message` is one line: what happened, to what, and what to do next."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
