"""A whole installation in one event loop: a store, a broker, the world that effects touch, and worker processes.

Everything that anybody outside could see is noted: what publishers were told, what the store took and from whom, what
was paid for. The checkers (checkers.py) know only that. Nothing survives the simulation.
"""

from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import anyio

from actors.runtime.kind import Kinds, Performers
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.simulated.broker import Broker
from actors.runtime.simulated.checkers import Acquired, Wrote
from actors.runtime.simulated.faults import FAULTS_END_S, Faults, Incident, plan
from actors.runtime.simulated.follower import Follower
from actors.runtime.simulated.loop import VirtualLoop
from actors.runtime.simulated.operator import Operator
from actors.runtime.simulated.process import Crew, Life, Ports
from actors.runtime.simulated.provider import Provider
from actors.runtime.simulated.publishers import Published, Publisher
from actors.runtime.simulated.trace import Trace
from eventstore.memory.store import MemoryStore
from eventstore.memory.tables import Tables
from eventstore.store import Batch, Lease, Verdict
from protocol.subjects import PARTITIONS

START = datetime(2026, 1, 1, tzinfo=UTC)  # Of virtual time.
RESTART_S_MIN, RESTART_S_MAX = 0.05, 2.0  # Until whoever looks after processes has started a new one.
JOIN_S_MAX = 0.5  # Processes do not start in the same instant.
CRASH_STEPS_MAX = 4_000  # A crash at a step comes within the process's first so many.
QUIET_S_MAX = 90.0  # Virtual: that long after everything works again nothing may be under way any more.
LOOK_EVERY_S = 0.5

StoreMaker = Callable[[Callable[[], datetime], Tables], MemoryStore]


class World:
    """`kinds` and `performers` are what runs; `faults` what goes wrong. All chance comes from `seed`."""

    def __init__(
        self, loop: VirtualLoop, kinds: Kinds, performers: Callable[[Ports], Performers], seed: int, faults: Faults,
        workers: int, alone: bool, metrics: RuntimeMetrics, make_store: StoreMaker = MemoryStore,
    ) -> None:  # fmt: skip
        self.seed, self.faults, self.loop = seed, faults, loop
        self.context = copy_context()
        self.chance = self.dice("store")
        self.trace = Trace(loop.time)
        self.trouble: list[str] = []
        self.published: dict[str, Published] = {}
        self.ledger: list[Acquired | Wrote] = []
        self.settled_by: dict[str, str] = {}  # The process that settled each command.
        self.deaf: set[str] = set()  # Processes that were killed, or did not hear what came of a commit.
        self.calls_lost = 0
        self.store_away = False
        self.tables = Tables(now=self.now)
        self.store = make_store(self.now, self.tables)
        self.broker = Broker(loop, self.context, self.dice("broker"), faults, self.now, self.trace, self._stored)
        self.provider = Provider(self.dice("provider"), faults, self.trace)
        self.follower = Follower(self.store, self.dice("follower"))
        self.operator = Operator(
            self.store, self.broker, self.provider, self.dice("operator"), self.trace, self.ledger, self._projects,
            lambda partition: self.tables.partitions[partition].epoch,
        )  # fmt: skip
        self._crew = Crew(self.store, self.broker, self.provider, kinds, performers, metrics, alone)
        self._slots = [_Slot(self, number) for number in range(workers)]

    def dice(self, whose: str) -> Random:
        """Chance of somebody's own, so that one who draws more does not change what others draw."""
        return Random(f"{self.seed}/{whose}")  # noqa: S311 - that it can be drawn again is the point

    def now(self) -> datetime:
        """The time as the store and the broker have it."""
        return START + timedelta(microseconds=round(self.loop.time() * 1e6))

    def publisher(self, name: str) -> Publisher:
        """Somebody who sends commands."""
        return Publisher(name, self.broker, self.now, self.published)

    def report(self, problem: str) -> None:
        """Something is wrong that no checker knows of."""
        self.trouble.append(problem)

    @property
    def crew(self) -> Crew:
        """What every process runs."""
        return self._crew

    async def run(self, workload: Callable[["World"], Any]) -> None:
        """Processes, faults and workload; then a time without faults, until nothing is under way; then a clean stop."""
        async with anyio.create_task_group() as group:
            for slot in self._slots:
                group.start_soon(slot.run)
            group.start_soon(self.follower.run)
            group.start_soon(self.operator.run)
            async with anyio.create_task_group() as busy:
                busy.start_soon(self._go_wrong)
                busy.start_soon(workload, self)
            await self._quiet()
            for slot in self._slots:
                await slot.close()
            group.cancel_scope.cancel()
        await self.follower.finish()
        for published in self.published.values():
            published.reply_lost = (
                published.inbox in self.broker.replies_lost or self.settled_by.get(published.id) in self.deaf
            )

    def _projects(self) -> list[str]:
        return sorted({published.to.project for published in self.published.values()})

    def observe(self, who: str, call: str, args: tuple[Any, ...], result: Any) -> None:
        """A call of the store's has been carried out."""
        match call:
            case "commit":
                self._committed(who, args[0], result)
            case "acquire":
                leases: list[Lease] = result
                self.ledger.extend(Acquired(lease.partition, lease.epoch, str(lease.owner)) for lease in leases)
                if leases:
                    self.trace.note(f"{who} owns {[(lease.partition, lease.epoch) for lease in leases]}")
            case "finish_effect":
                self.trace.note(f"{who} finishes {args[0].key}: {result}")
            case _:
                pass

    def unheard(self, who: str, call: str, lost: bool) -> None:
        """A call was carried out, and whoever made it was not told."""
        self.calls_lost += lost
        if call == "commit":
            self.deaf.add(who)

    def _stored(self, id_: str, incarnation: int, sequence: int) -> None:
        if id_ in self.published:
            self.published[id_].copies.append((incarnation, sequence))

    def _committed(self, who: str, batch: Batch, verdicts: tuple[Verdict, ...]) -> None:
        fences = {fence.partition: fence for fence in batch.fences}
        for unit, verdict in zip(batch.units, verdicts, strict=True):
            ids = ",".join(settled.id for settled in unit.settled)
            self.trace.note(f"{who} commits {unit.address} {ids}: {verdict.status} at {verdict.first_position}")
            fence = fences.get(unit.partition)
            if verdict.status == "committed":
                self.settled_by.update((settled.id, who) for settled in unit.settled)
            if verdict.status == "committed" and fence is not None:
                self.ledger.append(Wrote(fence.partition, fence.epoch, str(fence.owner), str(unit.address)))

    async def _go_wrong(self) -> None:
        """Everything that is to go wrong, and then nothing more."""
        chance = self.dice("incidents")
        for _ in range(self.faults.crash_steps):
            slot = chance.choice(self._slots)
            slot.crash_steps.append(int(CRASH_STEPS_MAX ** chance.random()))
        incidents = plan(self.faults, len(self._slots), chance)
        for incident in incidents:
            await anyio.sleep(max(0.0, incident.at - self.loop.time()))
            self._befall(incident)
        await anyio.sleep(max(0.0, self._end_of(incidents) - self.loop.time()))
        self.trace.note("everything works from here on")
        calm = Faults(delay_s=min(self.faults.delay_s, 0.05), call_s=min(self.faults.call_s, 0.05))
        self.faults = self.broker.faults = self.provider.faults = calm
        for slot in self._slots:
            slot.crash_steps.clear()
            if slot.life is not None:
                slot.life.dies_at_step = None

    def _end_of(self, incidents: list[Incident]) -> float:
        return max([FAULTS_END_S, *(incident.at + incident.seconds for incident in incidents)])

    def _befall(self, incident: Incident) -> None:
        what, until = incident.what, self.loop.time() + incident.seconds
        life = self._slots[incident.process].life if incident.process >= 0 else None
        self.trace.note(f"{what} {life.name if life else ''} for {incident.seconds:.3f} s")
        match what:
            case "store_outage":
                self.store_away = True
                self.loop.call_at(until, self._store_back)
            case "bus_outage" | "wipe":
                self.broker.go_away(until)
                if what == "wipe":
                    self.broker.wipe()
            case "lose_feeds":
                self.broker.lose_feeds("NATS says 409 consumer deleted")
            case "crash" | "restart" | "freeze" | "stall" | "cut_store" | "cut_bus":
                if life is not None:
                    self._befall_process(life, incident, until)

    def _befall_process(self, life: Life, incident: Incident, until: float) -> None:
        match incident.what:
            case "crash":
                life.kill()
            case "restart":
                self.loop.create_task(life.stop())
            case "freeze":
                life.freeze()
                self.loop.call_at(until, life.thaw)
            case "stall":
                life.stall(incident.seconds)
            case "cut_store":
                life.way_to_store.cut_until = until
            case "cut_bus":
                life.bus.cut(until)
            case _:
                raise AssertionError(incident.what)

    def _store_back(self) -> None:
        self.store_away = False

    async def _quiet(self) -> None:
        """Wait until nothing is under way."""
        left = ""
        with anyio.move_on_after(QUIET_S_MAX):
            while True:
                await self._settle_doubts()
                left = self.under_way()
                if not left:
                    self.trace.note("quiet")
                    return
                await anyio.sleep(LOOK_EVERY_S)
        self.trouble.append(f"{QUIET_S_MAX:g} s after everything worked again there was still {left}")

    async def _settle_doubts(self) -> None:
        """The operator, who answers what is asked about effects that may happen once."""
        for doubted in await self.store.effects.listed(doubted=True):
            self.trace.note(f"operator: {doubted.key} failed")
            await self.store.effects.settle(doubted.address.project, doubted.key, "failed", "nobody knows")

    def under_way(self) -> str:
        """What is not settled yet, in words ("": nothing)."""
        tables, cursors = self.tables, {p: row.cursor for p, row in self.tables.partitions.items()}
        alive = [slot.life for slot in self._slots if slot.life is not None and slot.life.alive]
        if len(alive) < len(self._slots):
            return "a process that has not started again"
        owners = {str(life.owner) for life in alive}
        for partition in range(PARTITIONS):
            row = tables.partitions.get(partition)
            if row is None or str(row.owner) not in owners:
                return f"partition {partition}, which nobody has taken over"
        if self.broker.under_way:
            return f"{self.broker.under_way} messages on their way to the broker"
        if tables.outbox:
            row = next(iter(tables.outbox.values()))
            return f"{len(tables.outbox)} sends in the outbox (first: {row.send.id} to {row.send.to})"
        if tables.effects:
            return f"{len(tables.effects)} effects to be performed (first: {next(iter(tables.effects))[1]})"
        if tables.parked:
            return f"{len(tables.parked)} parked actors (first: {next(iter(tables.parked))})"
        if tables.timers:
            return f"{len(tables.timers)} timers to fire (first: {next(iter(tables.timers))})"
        for partition, sequence, id_ in self.broker.commands():
            if sequence > cursors.get(partition, 0):
                return f"the command {id_} at {sequence}, above the cursor {cursors.get(partition, 0)} of {partition}"
        for partition, row in tables.partitions.items():
            # A commit that came too late may leave an older cursor behind: its next owner then reads again.
            if not self.calls_lost and self.broker.witness_at(row.cursor) not in ("", row.witness):
                return f"partition {partition}, whose cursor is of a stream that is gone"
        return ""


class _Slot:
    """A place for one process: when one ends there, another is started."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self._number = world, number
        self._chance = world.dice(f"slot {number}")
        self._lives = 0
        self._closing = False
        self._closed = anyio.Event()
        self.crash_steps: list[int] = []
        self.life: Life | None = None

    async def run(self) -> None:
        world, skew_s = self._world, self._chance.uniform(-1.0, 1.0) * self._world.faults.skew_s
        wrong = timedelta(seconds=round(skew_s, 3))
        await anyio.sleep(self._chance.uniform(0.0, JOIN_S_MAX))
        while not self._closing:
            name = f"w{self._number}.{self._lives}"
            self.life = Life(
                name, world.crew, world, world.trace, f"{world.seed}/{name}", lambda: world.now() + wrong,
                world.trouble.append,
            )  # fmt: skip
            if self.crash_steps:
                self.life.dies_at_step = self.crash_steps.pop()
            self._lives += 1
            await self.life.ended.wait()
            if not self._closing:
                await anyio.sleep(self._chance.uniform(RESTART_S_MIN, RESTART_S_MAX))
        self._closed.set()

    async def close(self) -> None:
        """Stop what runs here, cleanly and for good."""
        self._closing = True
        if self.life is not None and self.life.alive:
            await self.life.stop()
        await self._closed.wait()
