"""The port of audits, written as promises: is every event what was committed, where it was committed? `store.audit`.

- `verify` reads every byte of the stretch and recomputes the chain with the very code of the stand-alone verifier. It
  names the first position that is not what was committed, and what is wrong there: a changed, missing or added event,
  a changed or missing link. Of a whole log it also checks what is beside the events: each stream's version, each blob.
- It finds what was changed without a new computation of the chain. Against someone who computed the whole chain anew
  helps a root that is kept elsewhere: `roots_at` is compared with signed heads (heads.py).
- It disturbs nobody: it takes no lock, and what is appended meanwhile it leaves out.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from eventstore.archive import Stretch
from eventstore.blobs import Blobs
from eventstore.verifier import Broken


@dataclass(frozen=True, slots=True)
class Audited:
    """What was checked, and the first thing that is wrong (None: nothing)."""

    stretch: Stretch
    broken: Broken | None = None


async def broken_blob(blobs: Blobs) -> Broken | None:
    """The first blob that is not what its name says."""
    async for bad in blobs.check():
        return Broken(0, f"the blob {bad.sha256} of {bad.project} is not what was stored: {bad.wrong}")
    return None


class Audit(Protocol):
    """A log under examination."""

    async def verify(self, first: int = 1, last: int | None = None, processes: int = 0) -> Audited:
        """Recompute the commits that hold the positions `first` to `last` (None: the last there is); with neither, all
        there is. `processes`: how many compute at a time, 0: one for each core. StoreError for a stretch that the log
        does not have."""
        ...

    async def roots_at(self, positions: Collection[int]) -> dict[int, str]:
        """The root (hex) of the commit that ends at each of these positions; none where no commit ends."""
        ...

    async def head(self) -> tuple[int, str]:
        """The last position that the chain covers and its root in hex (0 and "": nothing)."""
        ...
