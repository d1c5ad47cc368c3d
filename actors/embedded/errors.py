"""What can go wrong with the state folder and its servers. Each text says what happened, to what, and what to do."""

from pathlib import Path


class EmbeddedError(Exception):
    """Base of this package's errors."""


class ForeignFolder(EmbeddedError):
    """The folder is not a state folder this version and this user can use."""


class FolderLocked(EmbeddedError):
    """Another company runs on the folder; `pid` is its process, None when it has not written it yet."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"the state folder {path} is in use by {holder}: stop it, or choose another folder with TROUPE_STATE"
        )
        self.pid = pid


class ProgramMissing(EmbeddedError):
    """A server's program is not installed, or the account it has to run under cannot execute it."""


class ServerFailed(EmbeddedError):
    """A server ended while starting, does not answer, or cannot be stopped. Carries the last lines of its log."""

    def __init__(self, name: str, what: str, log: Path, lines: str) -> None:
        tail = f"; the end of {log}:\n{lines}" if lines else f"; its log {log} is empty"
        super().__init__(f"{name} {what}{tail}")
        self.name = name
