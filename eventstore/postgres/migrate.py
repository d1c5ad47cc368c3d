"""Brings a schema up to date. Forward only, safe to run twice and by two processes at once: one waits for the other,
for a bounded time. One that freezes in the middle is ended by the server, and nothing of what it did stays.

A migration that was edited after it ran is refused: the files are history. So is a server that cannot hold the log; the
extension it needs is created in the database where that is allowed.
"""

import hashlib
from pathlib import Path

import asyncpg

from eventstore.errors import LogLocked, StoreError, UnfitServer
from eventstore.postgres.statements import statement, who_is

MIGRATIONS = Path(__file__).parents[1] / "migrations"
POSTGRES_MAJOR_MIN = 18
EXTENSION = "vector"  # pgvector: what agents remember is found by meaning.
WAIT_S_MAX = 60  # For another process that migrates, or for somebody who holds a table.
FROZEN_S_MAX = 20  # Of one that migrates, without a word from its client: below what others wait.
_LOCK = 0x7472_6F75_7065  # "troupe": one migration at a time in a database.


async def migrate(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> list[str]:
    """Apply what is missing to `schema`; the names of the migrations applied now. UnfitServer, LogLocked."""
    version = connection.get_server_version()
    if version.major < POSTGRES_MAJOR_MIN:
        raise UnfitServer(
            f"the PostgreSQL server is version {version.major}.{version.minor}; Troupe needs {POSTGRES_MAJOR_MIN} or "
            "newer: upgrade the server, or leave the PostgreSQL URL out to use the one that Troupe brings"
        )
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{WAIT_S_MAX}s'")
            await connection.execute(f"set local idle_in_transaction_session_timeout = '{FROZEN_S_MAX}s'")
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            await _provide_extension(connection)
            await connection.execute(f'create schema if not exists "{schema}"')
            return await apply_migrations(connection, schema)
    except asyncpg.LockNotAvailableError as error:
        raise LogLocked(await _locked(connection, schema, error)) from error


async def _locked(connection: "asyncpg.Connection[asyncpg.Record]", schema: str, error: Exception) -> str:
    said = f"bring the schema {schema!r} up to date: {error}, after {WAIT_S_MAX} s; nothing was changed"
    row = await connection.fetchrow(statement("migration_holder"), _LOCK)
    if row is None:
        return f"{said}; somebody holds one of its tables: end that transaction, then start again"
    return (
        f"{said}; another process migrates this database, {who_is(row)}: if it does not end, end it with "
        f"`select pg_terminate_backend({row['pid']})`, then start again"
    )


async def installed(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> bool:
    """Whether there is a log in that schema, of whatever version."""
    return await connection.fetchval("select to_regclass($1)", f'"{schema}".migrations') is not None


async def apply_migrations(connection: "asyncpg.Connection[asyncpg.Record]", schema: str) -> list[str]:
    """The same in the caller's transaction, for a schema that is there; it is on the search path from then on."""
    applied: list[str] = []
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


async def _provide_extension(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """See that the extension is in the database. Call it under the migrations' lock."""
    if await connection.fetchval("select true from pg_extension where extname = $1", EXTENSION):
        return
    if not await connection.fetchval("select true from pg_available_extensions where name = $1", EXTENSION):
        raise UnfitServer(
            f"the PostgreSQL server has no extension {EXTENSION!r}: install pgvector on the server's machine (most "
            "systems have it as a package, such as postgresql-18-pgvector), then start again"
        )
    try:
        async with connection.transaction():
            await connection.execute(f'create extension if not exists "{EXTENSION}" schema public')
    except asyncpg.InsufficientPrivilegeError as error:
        database, user = await connection.fetchrow("select current_database(), current_user") or ("", "")
        raise UnfitServer(
            f"the user {user!r} may not create the extension {EXTENSION!r}: have a superuser run `create extension "
            f"{EXTENSION} schema public` in the database {database!r}, once"
        ) from error
