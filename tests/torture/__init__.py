"""bin/torture: the runtime in real processes on real servers, while everything that may break is broken.

    bin/torture --seconds N [--seed S] [--workers W] [--faults SORT,…] [--keep FOLDER]

Worker processes share the partitions; publishers send commands until each is answered, askers ask with deadlines. All
meanwhile a schedule drawn from the seed kills workers (kill -9), freezes them for longer than their leases, stops and
starts them, cuts and stalls their connections in a proxy, kills and restarts nats-server and PostgreSQL, and deletes
the broker's disk. In the end everything is healed, and once nothing is under way any more the checkers judge what is
there: see judge.py. The seed fixes what is broken and when; what the processes make of it is as real as their clocks.

`takeover_vs_ttl` is the time from kill -9 of a worker to the next commit in one of its partitions, over the time that a
lease lives: the median of those killed while all else was well.

What ends the run, however it ends, ends every process and server that it started: workers die with their parent, and a
guard (guard.py) stops the servers and removes the folder should the run itself be killed.

- run.py: the whole run. plan.py: what goes wrong, and when. faults.py: how. crew.py and child.py: the workers.
- kinds.py and payments.py: what they do. load.py and publishers.py: who makes them. wires.py: the proxy.
- ledger.py: what the database itself writes down of who wrote what. takeover.py: how long nobody writes.
- human.py: who answers what became of doubtful work. judge.py: what must hold.
- switched_off.py: guarantees that the workers of a test do not keep, so that the checkers must see it.
"""
