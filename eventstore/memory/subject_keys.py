"""Subject keys in memory. Keeps the promises of `eventstore/subject_keys.py`, but that nothing survives the process."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from anyio.lowlevel import checkpoint

from eventstore.errors import StaleMasterKey
from eventstore.memory.tables import Tables
from eventstore.records import NewEvent
from eventstore.subject_keys import (
    KEYS_MAX,
    PROJECT_ITSELF,
    Forgotten,
    KnownSubject,
    NewSubjectKey,
    SubjectKey,
)
from protocol.subjects import Address


class MemorySubjectKeys:
    """The subject keys of one store. `ring` is told the head before each append."""

    def __init__(self, tables: Tables, now: Callable[[], datetime], ring: Callable[[int], None]) -> None:
        self._tables, self._now, self._ring = tables, now, ring
        self._master = ""
        self._keys: dict[str, SubjectKey] = {}  # In the order they were added.

    async def master(self) -> str:
        await checkpoint()
        return self._master

    async def adopt(self, master: str) -> str:
        await checkpoint()
        self._master = self._master or master
        return self._master

    async def change_master(self, current: str, to: str) -> None:
        await checkpoint()
        if self._master not in (current, to):
            raise StaleMasterKey(f"the current master key is {self._master}, not {current}")
        self._master = to

    async def abandon(self, master: str) -> int:
        await checkpoint()
        if master != self._master:
            raise StaleMasterKey(f"the master key {master} is not the current one")
        left = sum(1 for key in self._keys.values() if key.wrapped and key.subject != PROJECT_ITSELF)
        if not left:
            self._keys = {id_: key for id_, key in self._keys.items() if key.subject != PROJECT_ITSELF}
            self._master = ""
        return left

    async def known(self, project: str, subjects: Collection[bytes]) -> dict[bytes, KnownSubject]:
        await checkpoint()
        found: dict[bytes, KnownSubject] = {}
        for key in self._keys.values():
            if key.project == project and key.subject in subjects:
                before = found.get(key.subject, KnownSubject())
                if key.forgotten_at is None:
                    found[key.subject] = replace(before, key=key)
                elif before.forgotten_at is None or before.forgotten_at < key.forgotten_at:
                    found[key.subject] = replace(before, forgotten_at=key.forgotten_at)
        return found

    async def by_id(self, project: str, ids: Collection[str]) -> dict[str, SubjectKey]:
        await checkpoint()
        return {id_: key for id_, key in self._keys.items() if id_ in ids and key.project == project}

    async def add(self, master: str, keys: Sequence[NewSubjectKey]) -> list[SubjectKey]:
        await checkpoint()
        if master != self._master:
            raise StaleMasterKey(f"the master key {master} is not the current one")
        return [self._current(new) or self._added(master, new) for new in keys]

    async def forget(self, project: str, id_: str, event: NewEvent) -> Forgotten | None:
        await checkpoint()
        key = self._keys.get(id_)
        if key is None or key.project != project or key.subject == PROJECT_ITSELF:
            return None
        if key.forgotten_at is not None:
            return Forgotten(0, key.forgotten_at)
        now, before = self._now(), self._tables.head
        self._keys[id_] = replace(key, wrapped=b"", forgotten_at=now)
        self._tables.write(Address(project, "subject", id_), [event], fenced=True)
        self._tables.seal(before)
        self._ring(before)
        return Forgotten(self._tables.head, now)

    async def listed(self, project: str, limit: int = KEYS_MAX) -> list[SubjectKey]:
        await checkpoint()
        wanted = [k for k in self._keys.values() if k.project == project and k.subject != PROJECT_ITSELF]
        return wanted[::-1][:limit]

    async def wrapped_under_others(self, master: str, limit: int, subjects_only: bool = False) -> list[SubjectKey]:
        await checkpoint()
        wrapped = (key for key in self._keys.values() if key.wrapped and key.master != master)
        return [key for key in wrapped if not subjects_only or key.subject != PROJECT_ITSELF][:limit]

    async def rewrap(self, master: str, keys: Sequence[SubjectKey]) -> int:
        await checkpoint()
        written = 0
        for key in keys:
            stands = self._keys.get(key.id)
            if stands is not None and stands.wrapped and stands.master == key.master:
                self._keys[key.id] = replace(stands, master=master, wrapped=key.wrapped)
                written += 1
        return written

    async def sweep(self) -> None:
        await checkpoint()  # Nothing is kept of what was.

    def _current(self, new: NewSubjectKey) -> SubjectKey | None:
        same = (k for k in self._keys.values() if (k.project, k.subject) == (new.project, new.subject))
        return next((key for key in same if key.forgotten_at is None), None)

    def _added(self, master: str, new: NewSubjectKey) -> SubjectKey:
        key = SubjectKey(new.id, new.project, new.subject, master, new.wrapped, self._now())
        self._keys[new.id] = key
        return key
