"""Brings a schema up to date. Forward only, safe to run twice and by two processes at once: one waits for the other.

A migration that was edited after it ran is refused: the files are history.
"""

import hashlib
from pathlib import Path

import asyncpg

from eventstore.errors import StoreError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
POSTGRES_MAJOR_MIN = 18
_LOCK = 0x7472_6F75_7065  # "troupe": one migration at a time in a database.


async def migrate(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> list[str]:
    """Apply what is missing to `schema`; the names of the migrations applied now."""
    version = connection.get_server_version()
    if version.major < POSTGRES_MAJOR_MIN:
        raise StoreError(
            f"the PostgreSQL server is version {version.major}.{version.minor}; "
            f"Troupe needs {POSTGRES_MAJOR_MIN} or newer"
        )
    applied: list[str] = []
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f'create schema if not exists "{schema}"')
        await connection.execute(f'set local search_path to "{schema}", public')
        await connection.execute(
            "create table if not exists migrations "
            "(name text primary key, sha256 text not null, at timestamptz not null default now())"
        )
        known = {row["name"]: row["sha256"] for row in await connection.fetch("select name, sha256 from migrations")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            text = path.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if path.name in known:
                if known[path.name] != digest:
                    raise StoreError(
                        f"the migration {path.name} differs from the one that was applied to schema {schema!r}: "
                        "restore the file and put the change into a new migration"
                    )
                continue
            await connection.execute(text)
            await connection.execute("insert into migrations (name, sha256) values ($1, $2)", path.name, digest)
            applied.append(path.name)
    return applied
