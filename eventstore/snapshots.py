"""The port of snapshots, written as promises: an actor's state as it was at a version of its stream. `store.snapshots`.

- A snapshot is a cache. Dropping one, or all, loses nothing: state is a fold of the stream's events, and is folded
  again. So it is no part of the hash chain.
- Committed state only: one beyond its stream's version is not taken.
- There is one for a stream, the latest; an older version never takes its place.
- `get` gives one only if it has the schema that is asked for, is not beyond its stream, and is byte for byte what was
  put, for that stream and version. Any other is as if there were none.
- What a snapshot's bytes name as a blob is kept (blobs.py).
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Protocol

from eventstore.errors import BadInput
from protocol.subjects import Address

SNAPSHOT_BYTES_MAX = 32 * 1024 * 1024
SCHEMA_LENGTH_MAX = 512  # Characters.
_VERSION = struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State after the event `version` of the stream of `address`, as bytes that only code of that `schema` can read."""

    address: Address
    version: int
    schema: str
    body: bytes

    @property
    def sha256(self) -> bytes:
        """Over everything it says: a snapshot whose version was changed is as wrong as one whose body was."""
        fields = (str(self.address).encode(), _VERSION.pack(self.version), self.schema.encode(), self.body)
        return hashlib.sha256(b"".join(hashlib.sha256(field).digest() for field in fields)).digest()


class Snapshots(Protocol):
    """One snapshot a stream."""

    async def put(self, snapshot: Snapshot) -> bool:
        """Keep it; False when the stream has not come so far, or there is a snapshot of a later version. BadInput for
        one that no store can hold."""
        ...

    async def get(self, address: Address, schema: str) -> Snapshot | None:
        """The stream's snapshot, if it can be used under that schema."""
        ...

    async def drop(self, address: Address) -> None:
        """Forget the stream's snapshot, if there is one."""
        ...


def check_snapshot(snapshot: Snapshot) -> None:
    """BadInput for a snapshot that no store can hold."""
    what = f"the snapshot of {snapshot.address} at {snapshot.version}"
    if snapshot.version < 1:
        raise BadInput(f"{what} is of no event: versions count from 1")
    if not 0 < len(snapshot.schema) <= SCHEMA_LENGTH_MAX or "\0" in snapshot.schema:
        raise BadInput(f"{what} needs a schema of 1 to {SCHEMA_LENGTH_MAX} characters without NUL")
    if len(snapshot.body) > SNAPSHOT_BYTES_MAX:
        raise BadInput(
            f"{what} has {len(snapshot.body)} bytes, limit {SNAPSHOT_BYTES_MAX}: "
            "keep less in the state, and big content in blobs"
        )
