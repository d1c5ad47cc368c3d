"""The port of subject keys, written as promises. Two adapters keep them; it is reached as `store.keys`.

What every adapter promises:

- A subject of a project has at most one current key, whoever adds one at the same time. Subjects are known by a hash
  only. The empty hash is the project's own key, which hashes its subjects' ids; nobody can forget that.
- New keys are wrapped under the current master key, of which there is one in the whole store: a caller with an older
  one gets StaleMasterKey, so no key can be left behind under a master key that is being retired.
- Forgetting destroys the wrapped bytes and appends `subject.forgotten.v1` in one transaction under the log's lock. It
  cannot be undone, and a second time it only says when it was. The row stays, without the bytes.
- Whoever looks a key up after that does not get it, in whatever process.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from eventstore.records import NewEvent

PROJECT_ITSELF = b""  # The hash that is no subject's: the project's own key.
KEYS_MAX = 1_000  # Rows of one list.


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A row. `subject` is the hash of the subject's id, `wrapped` the key's bytes under the master key of that id, b""
    once forgotten."""

    id: str
    project: str
    subject: bytes
    master: str
    wrapped: bytes
    created_at: datetime
    forgotten_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewSubjectKey:
    """A key about to be added, wrapped under the current master key."""

    id: str
    project: str
    subject: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """What there is of one subject: its current key, and when an earlier one was forgotten for the last time."""

    key: SubjectKey | None = None
    forgotten_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """`position` is that of the event, 0 when the key had been forgotten before."""

    position: int
    at: datetime


class SubjectKeys(Protocol):
    """Keys by subject and by id."""

    async def master(self) -> str:
        """The id of the current master key ("": none was adopted yet)."""
        ...

    async def adopt(self, master: str) -> str:
        """Make it the current master key if there is none; the current one's id."""
        ...

    async def change_master(self, current: str, to: str) -> None:
        """From now on keys are wrapped under `to`. Silent when that is so already; StaleMasterKey when `current` is
        not the current one. Waits for keys that are being added."""
        ...

    async def abandon(self, master: str) -> int:
        """Give the current master key up, with the projects' own keys: the next one is adopted like the first. How many
        subjects' keys there still are; while there are any, nothing is changed. StaleMasterKey as `change_master`."""
        ...

    async def known(self, project: str, subjects: Collection[bytes]) -> dict[bytes, KnownSubject]:
        """Those of `subjects` (hashes) that have or had a key."""
        ...

    async def by_id(self, project: str, ids: Collection[str]) -> dict[str, SubjectKey]:
        """Those of the project's keys, forgotten ones too. Keys of other projects are not there."""
        ...

    async def add(self, master: str, keys: Sequence[NewSubjectKey]) -> list[SubjectKey]:
        """The current key of each one's project and subject: the given one, or another that was there first."""
        ...

    async def forget(self, project: str, id_: str, event: NewEvent) -> Forgotten | None:
        """Destroy a key and append `event` to the stream `subject/<id>`; None when the project has no such key (or it
        is the project's own)."""
        ...

    async def listed(self, project: str, limit: int = KEYS_MAX) -> list[SubjectKey]:
        """The project's subjects' keys, the newest first, forgotten ones too."""
        ...

    async def wrapped_under_others(self, master: str, limit: int, subjects_only: bool = False) -> list[SubjectKey]:
        """Keys of all projects that are wrapped under other master keys than that one, at most `limit`, in any order.
        `subjects_only`: without the projects' own."""
        ...

    async def rewrap(self, master: str, keys: Sequence[SubjectKey]) -> int:
        """Put `wrapped` (now under `master`) into the rows of these keys, where they still are as these say but for it;
        how many were."""
        ...

    async def sweep(self) -> None:
        """After forgetting: have the database give up what it keeps of changed rows, as far as it can."""
        ...
