"""Projections: folding beside one transaction an event, rebuilding in ranges, lag under steady load, reads.

    bin/bench projections [--rounds 3] [--seconds 2] [--parts folded,rebuild,lag,queries] [--fold-events 200000]
                          [--events 1000000] [--rate 2000] [--lag-seconds 6] [--calls 100] [--ranges 1,2,4]

Embedded servers with the settings Troupe ships, real disks. The events are those of mix.py: whole tasks, sixteen side
by side, in one project, bodies of about 120 bytes. Rates are of events of the log. Lanes of a part are interleaved;
ratios are medians over the rounds of each round's own ratio, their spread is among the figures. A machine of two cores
must be quiet. Folding a million events into all views takes the longest by far.

- folded_VIEW: the company's projector folds one view from the beginning to the end of --fold-events stored events,
  2,000 a page, into empty tables; the swap at the end is counted.
- tx_per_event: plain.py, the projector one writes without us, for --seconds: the same view (event_counts) with one
  transaction an event, each durable, as PostgreSQL commits unless told otherwise. `folded_vs_tx_per_event` is against
  this one. A commit of Troupe's projector does not wait for the disk, since whatever a view loses is folded again from
  the log: tx_per_event_not_durable is the plain projector with the same freedom (synchronous_commit=off).
- slow_disk: event_counts and tx_per_event again, while the server waits 2 ms more in each commit that must reach the
  disk (commit_delay=2000, commit_siblings=0), as an ordinary disk would.
- eventsourcing_projection: sourced.py, PyPI `eventsourcing` with its own projection, the same counting of events of
  its own (with their decoding, which its runner always does), for --seconds.
- rebuild_VIEW_N: `troupe projection rebuild` with N ranges of --fold-events events, each in a process of its own; `all`
  are all views that can be built in ranges, one after another, each reading the log again. rebuild_N_vs_1 is of all.
  The processes are there already; rebuild_cold_s is a first rebuild of event_counts that starts them.
- lag: --rate events a second from a process of its own, for --lag-seconds after one second of warming up, into a log of
  --events events whose views are all folded by this process meanwhile; over all views and commits. lag_written_per_s is
  the rate that was reached.
- query: --calls of each sort of read (newest first, by each filter, failed, deep in the listing) of each listing, 50
  rows a page, over --events folded events, one at a time. query_p99_ms is the p99 of the slowest sort of read of all,
  whose name is query_slowest; query_all_p99_ms is over all calls. query_over_nats: the task board through the micro
  service.
"""
