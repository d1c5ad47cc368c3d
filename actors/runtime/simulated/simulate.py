"""One seed, one simulated installation, one verdict.

`simulate(kinds, performers, seed=..., workload=...)` runs the real runtime on simulated ports in virtual time, with
everything going wrong that the seed draws, and judges what came of it. The same call with the same seed does the same,
to the byte: `Outcome.digest` is a fingerprint of all that happened.
"""

import gc
import logging
import warnings
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import structlog

from actors.runtime.kind import Kinds, Performers
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.simulated import checkers
from actors.runtime.simulated.faults import FAULTS_END_S, OUTAGE_S_MAX, Faults, draw_faults
from actors.runtime.simulated.follower import Fold
from actors.runtime.simulated.loop import VirtualLoop
from actors.runtime.simulated.process import Ports, in_words
from actors.runtime.simulated.provider import Payment
from actors.runtime.simulated.publishers import Published
from actors.runtime.simulated.trace import Trace
from actors.runtime.simulated.tracks import check_traces
from actors.runtime.simulated.world import StoreMaker, World
from eventstore.memory.store import MemoryStore
from eventstore.store import InboxRow, Recorded

WORKERS_MAX = 3
ALONE_SHARE = 0.2  # Of the worlds with one process: it runs under its folder's lock.

Workload = Callable[[World], Awaitable[None]]
PerformersFor = Callable[[Ports], Performers]


@dataclass
class Outcome:
    """What a simulation came to. `problems` is what is wrong, each with the check that found it first."""

    seed: int
    faults: Faults
    workers: int
    trace: Trace
    problems: list[str] = field(default_factory=list[str])
    log: list[Recorded] = field(default_factory=list[Recorded])
    inbox: list[InboxRow] = field(default_factory=list[InboxRow])
    published: list[Published] = field(default_factory=list[Published])
    payments: list[Payment] = field(default_factory=list[Payment])
    virtual_s: float = 0.0
    calls: int = 0

    @property
    def digest(self) -> str:
        """A fingerprint of all that happened."""
        return self.trace.digest

    def write(self, folder: Path) -> Path:
        """The trace as a file in that folder; its path."""
        path = folder / f"seed-{self.seed}.trace"
        self.trace.lines += [f"PROBLEM {problem}" for problem in self.problems]
        self.trace.write(path)
        return path

    def check(self) -> None:
        """AssertionError that names every problem, if there is one."""
        if self.problems:
            listed = "\n  ".join(self.problems)
            raise AssertionError(f"seed {self.seed} ({self.workers} workers, faults: {self.faults}):\n  {listed}")


def no_performers(_: Ports) -> Performers:
    """No effect is performed by anybody."""
    return {}


def simulate(
    kinds: Kinds,
    performers: PerformersFor = no_performers,
    *,
    seed: int,
    workload: Workload,
    faults: Faults | None = None,
    workers: int = 0,
    heard: frozenset[str] = frozenset(),
    make_store: StoreMaker = MemoryStore,
) -> Outcome:
    """Run one world and check it. Call it from plain code: it brings its own event loop.

    `kinds` and what `performers(ports)` makes of a process's ports are what runs. `workload(world)` sends commands
    through `world.publisher(name)`; virtual time passes while it sleeps, and it should last for about FAULTS_END_S
    seconds of it. `faults` (None: drawn from the seed) says what goes wrong, `workers` (0: drawn) how many processes
    there are. `heard` are the types of commands between actors that always cause an event.
    """
    chance = Random(f"{seed}/world")  # noqa: S311 - that it can be drawn again is the point
    drawn = draw_faults(chance)
    count = chance.randint(1, WORKERS_MAX)
    alone = chance.random() < ALONE_SHARE
    used, number = faults or drawn, workers or count
    with _quietly():
        loop = VirtualLoop(Random(f"{seed}/loop"))  # noqa: S311
        world: World | None = None
        # Two processes under one lock there never are: one that is only frozen still has it.
        alone = alone and number == 1
        metrics = _metrics(tuple(sorted(kinds)))
        outcome = Outcome(seed, used, number, Trace(loop.time))

        async def run() -> None:
            nonlocal world
            world = World(loop, kinds, performers, seed, used, number, alone, metrics, make_store)
            outcome.trace = world.trace
            await world.run(workload)
            await _judge(outcome, world, heard)

        try:
            loop.run_until_complete(run())
        except Exception as error:  # noqa: BLE001 - a world that cannot go on is a verdict, not a crash
            outcome.problems.append(f"the world stopped: {in_words(error)}")
            if world is not None:
                outcome.problems.extend(world.trouble)
        finally:
            outcome.virtual_s, outcome.calls = loop.time(), loop.calls
            loop.close()
    return outcome


async def _judge(outcome: Outcome, world: World, heard: frozenset[str]) -> None:
    tables = world.tables
    outcome.log, outcome.inbox = list(tables.events), list(tables.inbox.values())
    outcome.published, outcome.payments = list(world.published.values()), world.provider.payments
    external = [row for (_, _, outbox_id), row in tables.inbox.items() if not outbox_id]
    log, published = outcome.log, outcome.published
    wants = checkers.wanted(log, world.crew.kinds)
    whole = Fold()
    whole.take(log)
    followed = world.follower.fold
    found = [
        *world.trouble,
        *world.loop.trouble,
        *checkers.check_positions(log),
        *checkers.check_epochs(world.ledger),
        *checkers.check_applied_once(published, log, outcome.inbox),
        *checkers.check_quarantine(log, outcome.inbox),
        *checkers.check_stored(published, external, [(sequence, id_) for _, sequence, id_ in world.broker.commands()]),
        *checkers.check_order(published, log),
        *checkers.check_asks(published, external, FAULTS_END_S + OUTAGE_S_MAX, world.broker.incarnation),
        *checkers.check_sends(log, wants, heard),
        *checkers.check_effects(log, wants, outcome.payments, again=world.operator.again),
        *check_traces(log, tables.traces),
        *_cursors(world),
    ]
    if (followed.position, followed.digest, followed.streams) != (whole.position, whole.digest, whole.streams):
        found.append(f"a reader has folded {followed.position} events to something else than a fold of the whole log")
    audited = await world.store.audit.verify()
    if audited.broken is not None:
        found.append(f"the chain does not vouch for the log: {audited.broken}")
    outcome.problems.extend(found)
    for line in sorted(
        f"{event.position} {event.address}@{event.version} {event.type} {event.causation}" for event in log
    ):
        world.trace.note(line)


def _cursors(world: World) -> list[str]:
    """Every partition was let go, and its cursor stands at a message of the stream there is, or at none that is left.

    Where an answer of the store's was lost, neither is promised: the next owner waits, and reads again what is known.
    """
    wrong: list[str] = []
    if world.calls_lost:
        return wrong
    for partition, row in sorted(world.tables.partitions.items()):
        there = world.broker.witness_at(row.cursor)
        if there and there != row.witness:
            wrong.append(f"the cursor of partition {partition} stands at {row.witness}, the stream has {there} there")
        if row.owner is not None:
            wrong.append(f"partition {partition} was not let go at a clean stop")
    return wrong


@cache
def _metrics(kinds: tuple[str, ...]) -> RuntimeMetrics:
    """Nobody reads them; making them anew for each process takes longer than the process."""
    return RuntimeMetrics(kinds=kinds)


@contextmanager
def _quietly() -> Generator[None]:
    """No log lines, no collector that comes by at a moment of its own, and no complaints of what was killed."""
    configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        with warnings.catch_warnings():
            # A killed process leaves coroutines behind that never began.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
            gc.collect()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()
