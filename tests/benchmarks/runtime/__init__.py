"""The runtime beside its peers, in one run: durable asks, shared work, takeover, activation, many actors, silence.

    bin/bench runtime [--rounds 5] [--seconds 2] [--parts asks,workers,takeover,activation,many,idle] [--without-peers]

Embedded servers with the settings Troupe ships, real disks. Every client, worker and peer is a process of its own.
Lanes of `asks` are interleaved; ratios are medians over the rounds of each round's own ratio, their spread is among the
figures. A machine of two cores must be quiet.

- ask_N: N durable asks in flight (command, commit, reply) over 4,096 counters in memory, one worker process, one asking
  process on one connection; p50 and p99 from publish to reply, and the processor time of an ask in the worker, in
  PostgreSQL and in nats-server.
- nats_request, postgres_insert: the floor of an ask, floors.py.
- dbos_16_steps: DBOS, 16 workflows in flight, steps a second, on the same PostgreSQL server.
- autogen_64_grpc: autogen-core over its gRPC host, 64 requests in flight, nothing durable.
- workers_N: the same with 1,024 in flight and N worker processes that share the partitions; `cpu_of_N_workers_vs_one`
  compares the processor time of an ask in the workers.
- takeover: kill -9 of one of two workers, until an actor of one of its partitions answers; over the lease's time to
  live.
- activation: an actor with 10,000 events, from its snapshot and the events after it; 20 times.
- many: 100,000 actors answer once each in a worker whose cache is bounded; its resident memory when none, a tenth and
  all of them have. --many-actors 1000000 takes some ten minutes.
- idle: processor time, voluntary context switches and memory of a worker that nobody asks.

The peers live in an environment of their own (peers.py), made at the first run from foreign/peers.lock; renew that with
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url peers.in -o peers.lock` there.
"""
