"""What a store cannot do, as types: what happened, to what, and what to do next."""


class StoreError(Exception):
    """Something the store cannot do; the message says what, to what, and what to do next."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now. The outcome of a commit in flight is unknown: send the identical batch again."""


class StoreUnreachable(StoreUnavailable):
    """There is no connection to the server. Nothing was sent, and the same call may be made again."""


class LogLocked(StoreUnavailable):
    """Somebody held the log's lock for longer than a commit may wait; the message names the holder. Nothing was
    written, and the same call may be made again."""


class StoreFull(StoreUnavailable):
    """The server has no room left to write. Nothing was written; the same call succeeds once there is room."""


class StoreClosed(StoreError):
    """The store was closed in this process: open it again."""


class UnfitServer(StoreError):
    """The server cannot hold the log: too old a version, or an extension is missing."""


class StoreRefused(StoreError):
    """The server does not let us in: no such user, database or right, or a wrong password."""


class BadInput(StoreError):
    """What the caller asks for makes no sense to any store. Nothing was sent."""


class NoSuchLog(StoreError):
    """There is no log, or no fork, of that name."""


class UnknownStream(StoreError):
    """There is no stream of that address."""


class VersionConflict(StoreError):
    """An append expected another version of the stream than it has."""


class FencedStream(StoreError):
    """An append to a stream that belongs to an actor: it takes only commits of units."""


class IdTaken(StoreError):
    """An append has the id of another one with other events."""


class InvalidUnit(StoreError):
    """A unit no store can hold (text with NUL, an event too big, a command settled twice in it, …). Nothing of the
    batch was sent: take the unit at `index` (from 0) out and commit the rest."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class BlobTooBig(StoreError):
    """A blob that is too big to be held in memory whole: stream it with `write` or `open`."""


class BlobMissing(StoreError):
    """There is no such blob in the project, or it was collected while it was read."""


class TamperedBlob(StoreError):
    """A blob's stored bytes are not what its name says: restore it from a backup."""


class UploadLost(StoreError):
    """A stream rested for longer than the grace, and what had come of it was collected: write it again."""


class BrokenArchive(StoreError):
    """An archive, or a part of it, is not what was written; the message names the first bad position."""


class BadHead(StoreError):
    """What should be a signed head of a log, or the key for signing, is none."""


class BadCertificate(StoreError):
    """This is no certificate, or it is not the one that was signed."""


class KeyringError(StoreError):
    """Something about sealed text or its keys; see keyring.py."""


class BadMasterKey(KeyringError):
    """What is in a master key file is no master key, or it cannot be read."""


class UnknownMasterKey(KeyringError):
    """A subject key is wrapped under a master key that is not here."""


class StaleMasterKey(KeyringError):
    """Another master key has become the current one: read the master key files again."""


class UnknownKey(KeyringError):
    """Text is sealed under a key the project never had."""


class TamperedSeal(KeyringError):
    """Sealed text or bytes, or a wrapped key, are not what was sealed or wrapped."""


class SubjectGone(KeyringError):
    """The subject was forgotten meanwhile: its key cannot seal any more."""
