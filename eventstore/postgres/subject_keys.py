"""Subject keys in PostgreSQL: the tables and functions of migrations/0008_subjects.sql. Keeps the promises of
`eventstore/subject_keys.py`."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager

import asyncpg

from eventstore.errors import StaleMasterKey, StoreError
from eventstore.postgres.connections import Pool
from eventstore.postgres.statements import Statements
from eventstore.records import NewEvent
from eventstore.subject_keys import KEYS_MAX, Forgotten, KnownSubject, NewSubjectKey, SubjectKey

_STALE = "P0410"  # Raised by change_master and add_subject_keys.


class PostgresSubjectKeys:
    """The subject keys of one schema."""

    def __init__(self, pool: Pool) -> None:
        self._run = Statements(pool)

    async def master(self) -> str:
        return await self._run.value("current_master") or ""

    async def adopt(self, master: str) -> str:
        return str(await self._run.value("adopt_master", master))

    async def change_master(self, current: str, to: str) -> None:
        async with _stale():
            await self._run.rows("change_master", current, to)

    async def abandon(self, master: str) -> int:
        async with _stale():
            return int(await self._run.value("abandon_master", master))

    async def known(self, project: str, subjects: Collection[bytes]) -> dict[bytes, KnownSubject]:
        found = {
            row["subject"]: KnownSubject(_key(row) if row["id"] else None, row["last_forgotten_at"])
            for row in await self._run.rows("known_subjects", project, list(set(subjects)))
        }
        return {subject: known for subject, known in found.items() if known != KnownSubject()}

    async def by_id(self, project: str, ids: Collection[str]) -> dict[str, SubjectKey]:
        return {row["id"]: _key(row) for row in await self._run.rows("subject_keys_by_id", project, list(set(ids)))}

    async def add(self, master: str, keys: Sequence[NewSubjectKey]) -> list[SubjectKey]:
        columns = (
            [k.id for k in keys],
            [k.project for k in keys],
            [k.subject for k in keys],
            [k.wrapped for k in keys],
        )
        async with _stale():
            return [_key(row) for row in await self._run.rows("add_subject_keys", master, *columns)]

    async def forget(self, project: str, id_: str, event: NewEvent) -> Forgotten | None:
        about = (event.type, event.at, event.correlation, event.causation, event.body)
        rows = await self._run.rows("forget_subject", project, id_, *about)
        return Forgotten(rows[0]["event_position"], rows[0]["forgotten"]) if rows else None

    async def listed(self, project: str, limit: int = KEYS_MAX) -> list[SubjectKey]:
        return [_key(row) for row in await self._run.rows("list_subject_keys", project, limit)]

    async def wrapped_under_others(self, master: str, limit: int, subjects_only: bool = False) -> list[SubjectKey]:
        rows = await self._run.rows("subject_keys_of_other_masters", master, limit, subjects_only)
        return [_key(row) for row in rows]

    async def rewrap(self, master: str, keys: Sequence[SubjectKey]) -> int:
        columns = ([k.id for k in keys], [k.master for k in keys], [k.wrapped for k in keys])
        return await self._run.count("rewrap_subject_keys", master, *columns)

    async def sweep(self) -> None:
        await self._run.rows("vacuum_subject_keys")


@asynccontextmanager
async def _stale() -> AsyncGenerator[None]:
    try:
        yield
    except StoreError as error:
        if isinstance(error.__cause__, asyncpg.PostgresError) and error.__cause__.sqlstate == _STALE:
            raise StaleMasterKey(str(error)) from error
        raise


def _key(row: asyncpg.Record) -> SubjectKey:
    forgotten_at = row.get("forgotten_at")
    return SubjectKey(
        row["id"], row["project"], row["subject"], row["master"], row["wrapped"] or b"", row["created_at"], forgotten_at
    )
