"""The event store against PyPI `eventsourcing` and against binary COPY into a table like its own, in one run.

    bin/bench store [--rounds 5] [--seconds 1.5] [--events 100000,1000000]

One embedded PostgreSQL with the settings Troupe ships, one client process, events with 180-byte bodies, 10 to a stream.
The first size of `--events` is what is stored before everything else is measured; at the others the same writing is
compared with the first, interleaved. Rates count acknowledged events.

- append: the full commit of writers.py (fence, inbox, cursor, chain); plain_append: `store.append`, which has a chain
  and no fence, inbox or cursor. NxM: N writers in flight, M events a unit.
- with_sends: every unit also writes a message into the outbox, 180 bytes long.
- copy: peers.py, so many rows a commit as N writers would have in flight (1,024; 5,000 for batches of ten).
- eventsourcing: peers.py, 16 threads with a connection each.
- slow_disk: the server waits 2 ms more in each commit (server.py).
- replay: full rows read in order, 2,000 a page, by one reader.
- without_chain: the full commit in a schema whose `seal_at` does nothing, and no digest made in the client.
- import: `store.archive.import_events`, 10,000 events a commit, against COPY of 5,000 rows a commit.
- chain_cost is the rate lost to the chain, chain_cpu_cost its share of all processor time.
- ..._client_cpu_us, _server_cpu_us: processor time an event of this process and of the server with all its processes;
  ..._wal_bytes: WAL an event, full pages and all.

Ratios are medians over the rounds of each round's own ratio; their spread is among the figures.
Two processes share the work (this one and the server), so a machine of two cores must be quiet: with one of them busy,
what overlaps (the writers) loses more than what does not (COPY). Ten million stored events take some minutes to lay out
and about 15 GB: bin/bench store --events 100000,10000000.
"""

from tests.benchmarks.store.measure import measure

__all__ = ["measure"]
