"""A process that folds every view in small pages and says so, to be killed: `python -m tests.kit.folding_child DSN`."""

import sys

import anyio

from eventstore.postgres.store import PostgresStore
from projections.projector import Projector
from projections.queries import VIEWS


async def main(dsn: str) -> None:
    async with PostgresStore.open(dsn) as store:
        sys.stdout.write("!")
        sys.stdout.flush()
        await Projector(store, store.pool, VIEWS, page_events=9).catch_up()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
