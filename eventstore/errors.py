"""What a store cannot do, as types: what happened, to what, and what to do next."""


class StoreError(Exception):
    """Something the store cannot do; the message says what, to what, and what to do next."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now. The outcome of a commit in flight is unknown: send the identical batch again."""


class LogLocked(StoreUnavailable):
    """Somebody held the log's lock for longer than a commit may wait; the message names the holder. Nothing was
    written, and the same call may be made again."""


class StoreFull(StoreUnavailable):
    """The server has no room left to write. Nothing was written; the same call succeeds once there is room."""


class StoreClosed(StoreError):
    """The store was closed in this process: open it again."""


class UnfitServer(StoreError):
    """The server cannot hold the log: too old a version, or an extension is missing."""


class UnknownStream(StoreError):
    """There is no stream of that address."""


class VersionConflict(StoreError):
    """An append expected another version of the stream than it has."""


class InvalidUnit(StoreError):
    """A unit no store can hold (text with NUL, an event too big, a command settled twice in it, …). Nothing of the
    batch was sent: take the unit at `index` (from 0) out and commit the rest."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index
