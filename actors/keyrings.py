"""Where the master keys are: in files outside the database, each with 32 random bytes in base64.

    secrets/master        in the state folder, made with the first personal text's database, 0600
    secrets/master.next   beside it while `troupe subject rewrap` puts every key under a new one
    TROUPE_MASTER_KEY     names the file instead (several, separated by ":", while the master key changes)

Whoever loses the master key has lost all sealed text for good, and a backup of the database without it is worth nothing
for that text: keep a copy of the file, elsewhere than the database's backups.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from actors.embedded.folder import write_private
from eventstore.errors import BadMasterKey
from eventstore.keyring import Keyring
from eventstore.sealing import KEY_BYTES, MasterKey
from eventstore.store import EventStore

VARIABLE = "TROUPE_MASTER_KEY"
FILE_BYTES_MAX = 4_096


@dataclass(frozen=True)
class MasterFiles:
    """The master key files of one company: those that `named` lists, else those of the state folder `state`."""

    state: Path
    named: str = ""

    @property
    def current(self) -> Path:
        """The file in the state folder."""
        return self.state / "secrets" / "master"

    @property
    def next(self) -> Path:
        """The one that is to take its place."""
        return self.state / "secrets" / "master.next"

    def paths(self) -> list[Path]:
        """The files there are, or should be."""
        if self.named:
            return [Path(name).expanduser() for name in self.named.split(os.pathsep) if name]
        return [path for path in (self.current, self.next) if path.exists()]

    def load(self) -> list[MasterKey]:
        """Every master key there is; BadMasterKey for a file that has none or cannot be read."""
        return [read_master(path) for path in self.paths()]

    async def keyring(self, store: EventStore) -> Keyring:
        """The keyring of a company. Its first start makes the master key; later its file must be there."""
        if not self.paths() and not await store.keys.master():
            make_master(self.current)
        keyring = Keyring(store.keys, self.load)
        await keyring.begin()
        return keyring

    def reading(self, store: EventStore) -> Keyring:
        """The keyring of a reader. Makes nothing; without the master key it still knows what was forgotten."""
        return Keyring(store.keys, self.load)


def make_master(path: Path) -> MasterKey:
    """The master key in that file, which is made if it is not there; whoever is first makes it."""
    if not path.exists():
        content = base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, content, replace=False)
    return read_master(path)


def read_master(path: Path) -> MasterKey:
    """The master key in that file, or BadMasterKey."""
    try:
        with path.open("rb") as file:
            return MasterKey.of(file.read(FILE_BYTES_MAX).decode("ascii", "replace"))
    except OSError as error:
        raise BadMasterKey(
            f"the master key file {path} cannot be read ({error}): restore it, or correct {VARIABLE}"
        ) from error
    except BadMasterKey as error:
        raise BadMasterKey(f"{path}: {error}; restore it from a copy") from error
