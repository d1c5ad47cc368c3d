"""A whole run: servers, proxies, workers and load; rounds of faults; healing, quiet, a clean stop; the verdict.

Nothing of it is left at the end, however it ends.
"""

import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import msgspec

from actors.embedded.folder import StateFolder
from actors.embedded.servers import SERVERS, Servers, start_servers, stop_servers
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ownership import LEASE_TTL_S
from eventstore.postgres.store import PostgresStore
from tests.kit.servers import FAST
from tests.torture.child import STREAM_BYTES_MAX, Orders
from tests.torture.crew import ENVIRONMENT, ROOT, Crew, Slot, crew
from tests.torture.faults import Breaker, Server, servers
from tests.torture.human import Human
from tests.torture.judge import Evidence, evidence, judge, paid_again, quiet
from tests.torture.ledger import Ledger, with_account
from tests.torture.load import Load
from tests.torture.payments import payments
from tests.torture.plan import plan_round
from tests.torture.publishers import Office
from tests.torture.takeover import Takeover, shared, take_over
from tests.torture.wires import wire

CLAIM_TTL_S = (
    4.0  # Of effects: shorter than what ships, so that a run need not wait so long for the claims of the dead.
)
QUIET_S_MAX = 60.0  # After healing: leases, claims, overdue sends and repeated publishes all take less.
LIVES_MAX = 2_000  # Roles are made before the run: PostgreSQL may be away whenever a worker is started.
LIVES_A_SECOND = 1.0
ROUND_S_MAX = 24.0
NAMED_MAX = 20  # Of what is wrong under one name, that many are told.
SCHEMA = "troupe"


@dataclass(frozen=True)
class Options:
    """`seconds`: how long things go wrong; starting, healing and judging come on top. `faults`: the sorts to break
    (none named: all). `keep`: a folder for the logs of the workers. `without`: a guarantee that the workers do not
    keep (switched_off.py)."""

    seconds: float
    seed: int = 1
    workers: int = 3
    keep: Path | None = None
    without: str = ""
    faults: tuple[str, ...] = ()


@dataclass
class Torture:
    """A run under way."""

    options: Options
    folder: StateFolder
    servers: Servers
    nats: Server
    postgres: Server
    ledger: Ledger
    office: Office
    load: Load
    crew: Crew
    breaker: Breaker
    takeovers: list[Takeover] = field(default_factory=list[Takeover])
    trouble: list[str] = field(default_factory=list[str])
    questions: dict[str, int] = field(default_factory=dict[str, int])

    async def rounds(self) -> None:
        """Faults until the time is over. Before each round a worker is killed while all else is well."""
        ends_at, number = anyio.current_time() + self.options.seconds, 0
        while (left_s := ends_at - anyio.current_time()) > 0:
            if len(self.crew.slots) > 1:
                await self._measure(number)
            left_s = min(ROUND_S_MAX, max(0.0, ends_at - anyio.current_time()))
            faults = plan_round(self.options.seed, number, left_s)
            wanted = [fault for fault in faults if not self.options.faults or fault.sort in self.options.faults]
            say(f"round {number}: {', '.join(fault.sort for fault in wanted)}")
            await self.breaker.run(wanted)
            number += 1

    async def _measure(self, number: int) -> None:
        slot = self.crew.slots[number % len(self.crew.slots)]
        try:
            await shared(self.ledger, self.crew.slots, utc_now)
            say("partitions are shared")
            took = await take_over(self.ledger, slot)
            self.takeovers.append(took)
            say(f"takeover of {took.partitions} partitions after {took.first_s:.2f} s")
        except TimeoutError:
            self.trouble.append(f"before round {number} the partitions were not shared, or not taken over, in time")
        await self.crew.start(slot)

    async def settle(self) -> None:
        """Heal everything, have all that was sent answered, and wait until nothing is under way."""
        await self.breaker.heal()
        if self.load.ended.is_set():  # A cancellation that is nobody's ends a task group without a word.
            self.trouble.append("the senders ended by themselves")
        self.load.stop()


async def torture(options: Options) -> dict[str, Any]:
    """Run, and what came of it as JSON; `passed` is the verdict."""
    async with AsyncExitStack() as stack:
        run = await _prepared(options, stack)
        await _live(run)
        say("judging")
        return await _report(run)


async def _live(run: Torture) -> None:
    """From the first command to a clean stop, with nothing under way."""
    say("servers run")
    for slot in run.crew.slots:
        await run.crew.start(slot)
    async with anyio.create_task_group() as group:
        group.start_soon(run.load.run)
        await run.rounds()
        say("healing")
        await run.settle()
        with anyio.move_on_after(QUIET_S_MAX) as answering:
            await run.load.ended.wait()
        if answering.cancelled_caught:
            run.trouble.append(f"not everything was answered within {QUIET_S_MAX:g} s of healing")
        group.cancel_scope.cancel()
    async with PostgresStore.open(run.servers.postgres_dsn, prepare=False) as store, anyio.create_task_group() as group:
        human = Human(store, run.folder.path / "payments")
        group.start_soon(human.run)
        left = await quiet(store, QUIET_S_MAX)
        if left:
            run.trouble.append(f"still under way {QUIET_S_MAX:g} s after everything was answered: {left}")
        run.questions = human.answered
        group.cancel_scope.cancel()
    await run.crew.stop_all()


async def _report(run: Torture) -> dict[str, Any]:
    told, paid = list(run.office.told.values()), payments(run.folder.path / "payments")
    async with (
        PostgresStore.open(run.servers.postgres_dsn, prepare=False) as store,
        NatsBus.open(run.servers.nats_url, run.servers.nats_token, stream_bytes_max=STREAM_BYTES_MAX) as bus,
    ):
        found = await evidence(store, told, paid)
        verdicts = await judge(found, store, bus, run.ledger)
    if run.options.keep is not None:
        _keep(run.options.keep, found)
    verdicts["everything comes to rest"] = run.trouble
    verdicts["no worker ends by itself"] = run.crew.died
    firsts = [took.vs_ttl for took in run.takeovers]
    return {
        "name": "torture",
        "seed": run.options.seed,
        "seconds": run.options.seconds,
        "workers": run.options.workers,
        "lives": run.crew.lives,
        "commands": _commands(run, found),
        "effects": {
            "wanted": len(found.wants.effects),
            "paid": len(paid),
            "paid_again": paid_again(paid),
            "questions_answered": run.questions,
        },
        "faults": dict(sorted(run.breaker.done.items())) | {"takeover": len(run.takeovers)},
        "figures": {
            "takeover_s": [round(took.first_s, 3) for took in run.takeovers],
            "lease_ttl_s": LEASE_TTL_S,
            "clean_stop_s_max": round(max(run.breaker.stops_s, default=0.0), 3),
        },
        "ratios": {"takeover_vs_ttl": round(median(firsts), 3)} if firsts else {},
        "verdicts": {name: wrong[:NAMED_MAX] for name, wrong in verdicts.items()},
        "wrong": sum(len(wrong) for wrong in verdicts.values()),
        "passed": not any(verdicts.values()),
    }


def _keep(folder: Path, found: Evidence) -> None:
    """What somebody needs who looks for the reason of a verdict."""
    fields = ("id", "sender", "first_sent_s", "answered_s", "deadline_s", "ended_s", "published", "replies")
    told = [{"to": str(told.to)} | {name: getattr(told, name) for name in fields} for told in found.told]
    (folder / "told.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)))
    (folder / "inbox.json").write_bytes(msgspec.json.format(msgspec.json.encode(found.inbox)))
    log = [(e.position, str(e.address), e.version, e.type, e.causation) for e in found.log]
    (folder / "log.json").write_bytes(b"\n".join(msgspec.json.encode(line) for line in log))


def _commands(run: Torture, found: Evidence) -> dict[str, Any]:
    asks = [told for told in found.told if told.deadline_s is not None]
    return {
        "sent": len(found.told),
        "published": sum(told.published for told in found.told),
        "deliberate_duplicates": run.office.duplicates,
        "outcomes": dict(
            Counter(told.outcome or ("not stored" if told.not_stored else "unknown") for told in found.told)
        ),
        "told_again": sum(reply.known for told in found.told for reply in told.replies),
        "asks": len(asks),
        "asks_not_stored": sum(told.not_stored for told in asks),
        "asks_unknown": sum(not told.outcome and not told.not_stored for told in asks),
        "events": len(found.log),
        "sends": len(found.wants.sends),
    }


async def _prepared(options: Options, stack: AsyncExitStack) -> Torture:
    """Servers, ledger, wires and slots; nobody works yet. All of it is gone when the stack is unwound."""
    folder, started = await stack.enter_async_context(_own_servers(options))
    nats, postgres = servers(folder)
    async with PostgresStore.open(started.postgres_dsn):
        pass  # The schema.
    lives = min(LIVES_MAX, options.workers + round(20 + LIVES_A_SECOND * options.seconds))
    ledger = Ledger(started.postgres_dsn)
    await ledger.install([f"life_{n}" for n in range(1, lives + 1)])
    (folder.path / "payments").mkdir()
    names = iter(range(1, lives + 1))
    root = "troupe"

    def orders(slot: Slot) -> Orders:
        n = next(names)
        return Orders(
            name=f"life_{n}",
            seed=options.seed * 10_000 + n,
            dsn=with_account(started.postgres_dsn, ledger.account(f"life_{n}"), slot.postgres.port),
            nats_url=f"nats://127.0.0.1:{slot.nats.port}",
            nats_token=started.nats_token,
            root=root,
            payments=str(folder.path / "payments"),
            claim_ttl_s=CLAIM_TTL_S,
            without=options.without,
        )

    logs = options.keep or folder.logs
    logs.mkdir(parents=True, exist_ok=True)
    public = await stack.enter_async_context(wire(lambda: nats.port))
    slots = [
        Slot(
            number,
            await stack.enter_async_context(wire(lambda: nats.port)),
            await stack.enter_async_context(wire(lambda: postgres.port)),
            orders,
            logs,
        )
        for number in range(options.workers)
    ]
    hired = await stack.enter_async_context(crew(slots))

    def url() -> str:
        return f"nats://127.0.0.1:{public.port}"

    office = Office(url, started.nats_token, root)
    stack.push_async_callback(office.close)
    load = Load(office, options.seed, url, started.nats_token, root)
    breaker = Breaker(hired, nats, postgres, public)
    return Torture(options, folder, started, nats, postgres, ledger, office, load, hired, breaker)


@asynccontextmanager
async def _own_servers(options: Options) -> AsyncGenerator[tuple[StateFolder, Servers]]:
    """Real servers in a temporary folder, watched by a guard who outlives us."""
    with StateFolder.ephemeral() as folder:
        guard = await anyio.open_process(
            [sys.executable, "-P", "-m", "tests.torture.guard"], cwd=ROOT, env=ENVIRONMENT, stdout=None, stderr=None,
            start_new_session=True,
        )  # fmt: skip
        try:
            say(f"seed {options.seed}, {options.seconds:g} s, {options.workers} workers")
            yield folder, await start_servers(folder, postgres_options=FAST)
        finally:
            with anyio.CancelScope(shield=True):
                await stop_servers(folder, SERVERS)
                assert guard.stdin is not None
                await guard.stdin.aclose()


def say(text: str) -> None:
    """Progress, for a person."""
    sys.stderr.write(f"{utc_now():%H:%M:%S.%f} torture: {text}\n")
    sys.stderr.flush()
