"""Real servers for tests: one PostgreSQL and one nats-server for a whole run, an empty database for each test.

Only here PostgreSQL may forget on a power failure: what tests write is thrown away anyway, and they start sooner.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from actors.embedded.folder import StateFolder
from actors.embedded.postgres import PostgresOptions
from actors.embedded.servers import SERVERS, Servers, start_servers, stop_servers
from actors.embedded.sweep import sweep_ephemeral

FAST = PostgresOptions(
    {
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "200",  # A pool forgotten in one test must not starve the next.
        "autovacuum": "off",
    }
)


@asynccontextmanager
async def session_servers() -> AsyncGenerator[Servers]:
    """Both servers, in a temporary state folder; stopped and removed at the end."""
    await sweep_ephemeral()  # A run that was killed left its servers.
    with StateFolder.ephemeral() as folder:
        try:
            servers = await start_servers(folder, postgres_options=FAST)
            await _provide_extension(servers)
            yield servers
        finally:
            await stop_servers(folder, SERVERS)


async def fresh_database(servers: Servers, template: str = "template1") -> str:
    """The DSN of a new, empty database; of `template0`, without the extension too."""
    name = f"test_{secrets.token_hex(6)}"
    await _administer(servers, f"CREATE DATABASE {name} TEMPLATE {template}")
    return urlsplit(servers.postgres_dsn)._replace(path=f"/{name}").geturl()


async def drop_database(servers: Servers, dsn: str) -> None:
    """Drop what `fresh_database` made, whoever is still connected to it."""
    await _administer(servers, f"DROP DATABASE {urlsplit(dsn).path[1:]} WITH (FORCE)")


async def _provide_extension(servers: Servers) -> None:
    """Have it in every database from the beginning: creating it takes as long as the rest of a database."""
    dsn = urlsplit(servers.postgres_dsn)._replace(path="/template1").geturl()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    finally:
        await connection.close()


async def _administer(servers: Servers, statement: str) -> None:
    connection = await asyncpg.connect(servers.postgres_dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
