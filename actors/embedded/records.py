"""servers.json: which servers run on a state folder, as whoever started them noted it."""

import msgspec

from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder, write_private

_FILE = "servers.json"


class ServerRecord(msgspec.Struct, frozen=True):
    """One server. `pid` and `process_started`, which tell it from a later process with its pid, are None at first."""

    port: int
    pid: int | None = None
    process_started: str | None = None


_decoder = msgspec.json.Decoder(dict[str, ServerRecord])


def read_records(folder: StateFolder) -> dict[str, ServerRecord]:
    """The records by server name. EmbeddedError when the file is damaged."""
    path = folder.path / _FILE
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise EmbeddedError(
            f"{path} is not readable ({error}): end the servers of {folder.path}, remove the file, and try again"
        ) from error


def write_record(folder: StateFolder, name: str, record: ServerRecord) -> None:
    """Replace one server's record. The caller holds servers.lock."""
    write_private(folder.path / _FILE, msgspec.json.encode({**read_records(folder), name: record}))
