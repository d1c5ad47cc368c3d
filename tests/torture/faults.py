"""What the plan says goes wrong, done to the processes, wires and servers of a run, and undone again."""

import shutil
import signal
from collections import Counter
from random import Random

import anyio

from actors.embedded import nats, postgres
from actors.embedded.folder import StateFolder
from actors.embedded.process import send_signal, started_at
from actors.embedded.records import read_records
from actors.embedded.servers import start_servers, stop_servers
from tests.kit.servers import FAST
from tests.torture.crew import Crew, Slot
from tests.torture.plan import Fault
from tests.torture.wires import Wire

START_S_MAX = 60.0
END_S_MAX = 30.0
POLL_S = 0.01
CUT_EVERY_S = 0.15  # While a wire is being cut: connections made in between live for so long.


class Server:
    """One server of the folder. `lock`: one fault at a time. It comes back on the same data, and its port if it can."""

    def __init__(self, name: str, folder: StateFolder) -> None:
        self.name = name
        self.lock = anyio.Lock()
        self._folder = folder

    @property
    def port(self) -> int:
        return read_records(self._folder)[self.name].port

    async def end(self, number: signal.Signals) -> None:
        """Signal it, and wait until it is gone."""
        pid = read_records(self._folder)[self.name].pid
        assert pid is not None
        send_signal(pid, number)
        with anyio.fail_after(END_S_MAX):
            while started_at(pid) is not None:
                await anyio.sleep(POLL_S)

    async def stop(self) -> None:
        """Cleanly."""
        await stop_servers(self._folder, (self.name,))

    async def start(self) -> None:
        """Have it running; one that runs is left alone."""
        with anyio.fail_after(START_S_MAX):
            await start_servers(self._folder, want=(self.name,), postgres_options=FAST)

    def lose_disk(self) -> None:
        """Of nats-server that is down: everything that JetStream kept."""
        shutil.rmtree(self._folder.nats / "store", ignore_errors=True)


class Breaker:
    """Does what goes wrong. `done` counts it by sort; `stops_s` are the clean stops, in seconds."""

    def __init__(self, crew: Crew, nats_server: Server, postgres_server: Server, public: Wire) -> None:
        self.done: Counter[str] = Counter()
        self.stops_s: list[float] = []
        self._crew, self._nats, self._postgres, self._public = crew, nats_server, postgres_server, public

    async def run(self, faults: list[Fault]) -> None:
        """All of them at their times, each undone after its own; return when everything is as it was."""
        async with anyio.create_task_group() as group:
            for fault in faults:
                await anyio.sleep(fault.after_s)
                group.start_soon(self._break, fault)

    async def heal(self) -> None:
        """Whatever was interrupted: servers run, wires carry, and every slot has a process that runs."""
        for slot in self._crew.slots:
            slot.thaw()
        for wire in self._wires():
            wire.heal()
        await self._nats.start()
        await self._postgres.start()
        for slot in self._crew.slots:
            if slot.life is None or slot.life.process.returncode is not None:
                await self._crew.start(slot)

    async def _break(self, fault: Fault) -> None:
        match fault.sort:
            case "kill" | "leave" | "freeze":
                await self._to_worker(fault)
            case "cut" | "deafen" | "stall":
                await self._to_wires(fault)
            case _:
                await self._to_server(fault)
        self.done[fault.sort] += 1

    async def _to_worker(self, fault: Fault) -> None:
        slot = self._slot(fault)
        async with slot.lock:
            match fault.sort:
                case "freeze":
                    slot.freeze()
                    await anyio.sleep(fault.lasts_s)
                    slot.thaw()
                case "kill":
                    await slot.kill()
                    await anyio.sleep(fault.lasts_s)
                    await self._crew.start(slot)
                case _:
                    await self._leave(slot)
                    await anyio.sleep(fault.lasts_s)
                    await self._crew.start(slot)

    async def _leave(self, slot: Slot) -> None:
        try:
            self.stops_s.append(await slot.stop())
        except TimeoutError:
            assert slot.life is not None
            self._crew.died.append(f"{slot.life.name} did not stop in time")
            await slot.kill()

    def _slot(self, fault: Fault) -> Slot:
        """The one that is meant, or another if something happens to it just now."""
        slots = self._crew.slots
        meant = slots[int(fault.target * len(slots))]
        free = [slot for slot in slots if not slot.lock.locked()]
        return meant if meant in free or not free else free[int(fault.target * len(free))]

    async def _to_wires(self, fault: Fault) -> None:
        wires = self._pick(fault)
        match fault.sort:
            case "stall":
                for wire in wires:
                    wire.stall()
                await anyio.sleep(fault.lasts_s)
                for wire in wires:
                    wire.flow()
            case "deafen":
                for wire in wires:
                    wire.deaf = True
                await anyio.sleep(fault.lasts_s)
                for wire in wires:
                    wire.cut()
                    wire.deaf = False
            case _:
                chance = Random(fault.target)
                with anyio.move_on_after(fault.lasts_s):
                    while True:
                        for wire in wires:
                            wire.cut()
                            wire.down = chance.random() < 0.5
                        await anyio.sleep(CUT_EVERY_S)
                for wire in wires:
                    wire.down = False

    def _pick(self, fault: Fault) -> list[Wire]:
        """One wire, both of a worker, all to one server, or those who send."""
        chance = Random(fault.target)
        slot = chance.choice(self._crew.slots)
        groups = [
            [slot.nats],
            [slot.postgres],
            [slot.nats, slot.postgres],
            [each.postgres for each in self._crew.slots],
            [*(each.nats for each in self._crew.slots), self._public],
            [self._public],
        ]
        return chance.choice(groups)

    def _wires(self) -> list[Wire]:
        return [self._public, *(wire for slot in self._crew.slots for wire in (slot.nats, slot.postgres))]

    async def _to_server(self, fault: Fault) -> None:
        server = self._nats if fault.sort.startswith(nats.NAME) else self._postgres
        async with server.lock:
            match fault.sort:
                case "nats-stop" | "postgres-stop":
                    await server.stop()
                case "postgres-crash":
                    await server.end(signal.SIGQUIT)
                case _:
                    await server.end(signal.SIGKILL)
            if fault.sort == "nats-wipe":
                server.lose_disk()
            await anyio.sleep(fault.lasts_s)
            await server.start()


def servers(folder: StateFolder) -> tuple[Server, Server]:
    """nats-server and PostgreSQL of that folder."""
    return Server(nats.NAME, folder), Server(postgres.NAME, folder)
