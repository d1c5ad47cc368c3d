"""What the runtime counts and times for Prometheus. Counters are of this process's life and only go up.

Every label has few values, all known before the first message: kinds of actors and effects, outcomes. What anybody may
make up (ids, paths, projects, unknown kinds) never becomes one. Seconds and bytes, names end in `_total` for counters.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from actors.runtime.work import Work
from eventstore.store import Batch, NewEvent, Verdict
from protocol.reply import CANCELLED, EXPIRED, Reply

UNKNOWN_KIND = "unknown"
# The keeper of quarantined commands is no kind of actor, but has events of its own.
_KEEPER_KIND = "runtime"
# Turns and commits: a commit takes about a millisecond, a client's patience is about ten seconds.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# A command waits behind others, and at worst for an owner that died: up to minutes.
_WAIT_SECONDS = (*_SECONDS, 30, 60, 300)
# A program runs for a tenth of a second, a model answers after some seconds, and the longest time-out is minutes.
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# Up to UNITS_MAX (commit.py) actors of a commit, and about twice as many events.
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


Committed = Callable[[Sequence[NewEvent]], None]


class Timings(Histogram):
    """A histogram that takes many observations for little more than one."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        counts = defaultdict[int, int](int)
        for amount in amounts:
            counts[bisect_left(self._upper_bounds, amount)] += 1
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(amounts))


class RuntimeMetrics:
    """The runtime's metrics on `registry` (one of its own by default). `kinds` are the kinds of actors there are;
    `watched` hear what was committed of the streams of a kind."""

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        kinds: Collection[str] = (),
        watched: Mapping[str, Committed] = MappingProxyType({}),
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._kinds, self._watched = {*kinds, _KEEPER_KIND}, watched
        self._make_turns()
        self._make_asks()
        self._make_effects()
        self.outbox_overdue = self._gauge("outbox_overdue", "Actors whose sends wait too long, at the last look.")
        self.intake_reopens = self._counter("intake_reopens", "How often the feed of commands had to be opened again.")
        self._make_supervision()
        self.actors_cached = self._gauge("actors_cached", "Actors in memory.")
        self.actor_cache_bytes = self._gauge("actor_cache_bytes", "What they take, by the cache's own estimate.")
        self._make_leases()

    def _make_leases(self) -> None:
        self.partitions_held = self._gauge("partitions_held", "Partitions that this process owns.")
        self._leases_gained = self._counter("leases_gained", "Partitions gained, by how they were left.", "outcome")
        self._leases_ended = self._counter("leases_ended", "Partitions held no more, by why.", "outcome")
        self.lease_renewals_failed = self._counter(
            "lease_renewals_failed", "Renewals of the leases that the store did not answer."
        )
        self.commits_fenced = self._counter(
            "commits_fenced", "Batches of which the store refused units, since others own their partitions."
        )
        self.commands_open = self._gauge("commands_open", "Commands read from the stream and not settled yet.")
        self.partition_open_commands = self._gauge(
            "partition_open_commands_max", "Of the partition of this process that has the most: commands not settled."
        )

    def _make_asks(self) -> None:
        self._asks_opened = self._counter("asks_opened", "Asks that are to be answered later.", "kind")
        self._asks_ended = self._counter("asks_ended", "Asks that were open and have ended, by how.", "kind", "outcome")

    def _make_supervision(self) -> None:
        self.actors_parked = self._gauge("actors_parked", "Actors of this process's partitions that are parked.")
        self.attempts_counted = self._counter(
            "attempts_counted", "Attempts at commands that may have killed a process, counted before they were made."
        )
        self.progress_stalled = self._gauge(
            "progress_stalled", "1 while commands wait that this process could decide, and nothing is committed."
        )
        self._restarts = self._counter("service_restarts", "Services begun again after they had failed.", "service")
        self._troubled = self._gauge("kind_troubled", "1 while a kind's commands break too often.", "kind")

    def _make_turns(self) -> None:
        self._commands = self._counter("commands", "Commands settled, by the kind of their actor.", "kind", "outcome")
        self._turned_away = self._counter(
            "commands_turned_away", "Commands that were answered and left no trace, by why.", "kind", "code"
        )
        self._turns = self._counter("turns", "Units decided, by what their commit said.", "kind", "outcome")
        self._quarantines = self._counter("quarantines", "Commands that broke their actor's turn.", "kind")
        # There from the start: of a series that begins with its first quarantine Prometheus sees no increase.
        for kind in (*sorted(self._kinds), UNKNOWN_KIND):
            self._quarantines.labels(kind)
        self._events = self._counter("events_written", "Events committed, by the kind of their stream.", "kind")
        self._waited = Timings(
            "troupe_command_commit_seconds", "From a command's own time to the commit that settled it.",
            registry=self.registry, buckets=_WAIT_SECONDS,
        )  # fmt: skip
        self._commits = self._counter("commits", "Batches the store has answered.")
        self._commit_seconds = self._histogram("commit_seconds", "One batch, from its first sending to its answer.")
        self._commit_units = self._histogram("commit_units", "Units (actors) in one batch.", buckets=_SIZES)
        self._commit_events = self._histogram("commit_events", "Events in one batch.", buckets=_SIZES)

    def _make_effects(self) -> None:
        self._effects = self._counter("effects", "Attempts at effects that ended.", "effect", "outcome")
        self._effect_seconds = self._histogram("effect_seconds", "One attempt.", "effect", buckets=_LONG_SECONDS)
        self.effects_running = self._gauge("effects_running", "Effects being performed now.", "effect")
        self._effect_cuts = self._counter(
            "effect_cuts", "Attempts at effects that were cut while they ran, by why.", "effect", "outcome"
        )
        self.effects_nonsense = self._counter(
            "effects_nonsense", "Attempts at effects that answered with what their actor cannot hear.", "effect"
        )
        self._tap_chunks = self._counter(
            "tap_chunks", "Chunks that effects emitted, by their fate.", "effect", "outcome"
        )

    def committed(self, batch: Batch, seconds: float) -> None:
        """The store has answered a batch. One without units only moves cursors and is no news."""
        if batch.units:
            self._commits.inc()
            self._commit_seconds.observe(seconds)
            self._commit_units.observe(len(batch.units))
            self._commit_events.observe(sum(len(unit.events) for unit in batch.units))

    def turned(self, works: Sequence[Work], verdicts: Sequence[Verdict], now: datetime) -> None:
        """What the units of an answered batch came to. Counted together first: a counter's lock for each command would
        take longer than its decision."""
        turns, commands, quarantines, events, asks = (defaultdict[tuple[str, ...], int](int) for _ in range(5))
        waited: list[float] = []
        for work, verdict in zip(works, verdicts, strict=True):
            kind = self._kind(work.address.kind)
            turns[kind, verdict.status] += 1
            if verdict.known:
                commands[kind, "known"] += len(verdict.known)
            if verdict.status != "committed":
                continue
            for settled, pending in zip(work.unit.settled, work.commands, strict=True):
                commands[kind, settled.outcome] += 1
                # Clocks of two machines may disagree: never below 0.
                waited.append(max(0.0, (now - pending.at).total_seconds()))
            if work.error:
                quarantines[(kind,)] += 1
            if work.unit.asks:
                asks[(kind,)] += len(work.unit.asks)
            if work.unit.events:
                events[(self._kind(work.unit.address.kind),)] += len(work.unit.events)
                if (watching := self._watched.get(work.unit.address.kind)) is not None:
                    watching(work.unit.events)
        self.commits_fenced.inc(any(verdict.status == "fenced" for verdict in verdicts))
        counted = ((self._turns, turns), (self._commands, commands), (self._quarantines, quarantines))
        for counter, counts in (*counted, (self._events, events), (self._asks_opened, asks)):
            for labels, count in counts.items():
                counter.labels(*labels).inc(count)
        self._waited.observe_all(waited)

    def service_restarted(self, service: str) -> None:
        """A service of the runtime had failed and is begun again."""
        self._restarts.labels(service).inc()

    def kind_troubled(self, kind: str, troubled: bool) -> None:
        """Commands to that kind of actor break too often, or no more."""
        self._troubled.labels(self._kind(kind)).set(troubled)

    def turned_away(self, kind: str, code: str, count: int = 1) -> None:
        """Commands of that kind of actor were answered with `code` ("busy", "bad-address") and are not settled."""
        self._turned_away.labels(self._kind(kind), code).inc(count)

    def ask_ended(self, kind: str, end: Reply) -> None:
        """An ask of that kind of actor has ended: answered, refused, cancelled, or expired without an answer."""
        outcome = "answered" if end.outcome == "accepted" else "refused"
        self._asks_ended.labels(self._kind(kind), end.code if end.code in (CANCELLED, EXPIRED) else outcome).inc()

    def leases_gained(self, clean: int, unclean: int) -> None:
        """Partitions are this process's now; `unclean`: whoever had them did not let go of them."""
        self._leases_gained.labels("clean").inc(clean)
        self._leases_gained.labels("unclean").inc(unclean)

    def leases_ended(self, count: int, released: bool) -> None:
        """They are not any more: it let go of them (`released`), or has lost them."""
        self._leases_ended.labels("released" if released else "lost").inc(count)

    def attempted(self, effect: str, outcome: str, seconds: float) -> None:
        """An attempt at an effect has ended: done, given_up, retried, undecodable, claim_lost, or recorded (a fork);
        or the effect without one: cancelled, settled (by a human), unknown (a human is asked)."""
        self._effects.labels(effect, outcome).inc()
        self._effect_seconds.labels(effect).observe(seconds)

    def effect_cut(self, effect: str, cut: str, abandoned: bool) -> None:
        """An attempt was cut: timeout, withdrawn or claim_lost; it may go on all the same (`abandoned`)."""
        self._effect_cuts.labels(effect, cut).inc()
        if abandoned:
            self._effect_cuts.labels(effect, "abandoned").inc()

    def tapped(self, effect: str, fate: str, count: int = 1) -> None:
        """Chunks of a tap were published or dropped."""
        self._tap_chunks.labels(effect, fate).inc(count)

    def _kind(self, kind: str) -> str:
        return kind if kind in self._kinds else UNKNOWN_KIND

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"troupe_{name}", words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"troupe_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(f"troupe_{name}", words, labels, registry=self.registry, buckets=buckets)
