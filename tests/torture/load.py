"""The work of a run: who sends what to whom, with pauses, so that every moment has commands, sends, timers and effects
under way. All chance comes from the seed; what is answered when does not."""

from collections.abc import Callable
from random import Random

import anyio

from actors.runtime.client import Client, NoReply, NotStored, Unreachable
from protocol.envelope import PRIORITIES
from protocol.subjects import Address
from tests.kit.counting import Add
from tests.torture.kinds import Commission, Order, Safety, Serve
from tests.torture.publishers import Office

PROJECT = "torture"
COUNTERS = 160  # Names enough for every partition to have some.
PLAYERS = 24
CLERKS = 24
STEADY_SENDERS = 10
BURST_SENDERS = 3
BURST_MAX = 16
ASKERS = 3
ORDERERS = 2
ASK_S_MIN, ASK_S_MAX = 0.2, 6.0
ASKS_A_CONNECTION = 25
DUPLICATED = 0.15  # Of the steady senders' commands.
DUPLICATES_MAX = 3
STEADY_PAUSE_S_MAX = 0.12
BURST_PAUSE_S_MAX = 1.0
SERVE_PAUSE_S_MAX = 1.5
COMMISSION_PAUSE_S_MAX = 0.6
BREAK_PAUSE_S_MAX = 3.0
SAFETIES: tuple[Safety, ...] = ("idempotent", "repeatable", "once")


class Load:
    """Everybody who sends. `stop` lets each finish the command in hand, which is insisted on until it is answered."""

    def __init__(self, office: Office, seed: int, url: Callable[[], str], token: str, root: str) -> None:
        self._office, self._seed = office, seed
        self._url, self._token, self._root = url, token, root
        self._stopped = anyio.Event()
        self.ended = anyio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        """Until it was stopped and everything was answered."""
        async with anyio.create_task_group() as group:
            for n in range(STEADY_SENDERS):
                group.start_soon(self._steady, f"s{n}")
            for n in range(BURST_SENDERS):
                group.start_soon(self._bursts, f"b{n}")
            for n in range(ASKERS):
                group.start_soon(self._asks, f"a{n}")
            group.start_soon(self._serve, "serve")
            group.start_soon(self._commission, "boss")
            for n in range(ORDERERS):
                group.start_soon(self._order, f"o{n}")
                group.start_soon(self._asks, f"l{n}", True)
            group.start_soon(self._break, "bad")
        self.ended.set()

    async def _steady(self, name: str) -> None:
        """One command at a time, each to anybody; some again while they are under way or long after."""
        chance = self._dice(name)
        async with anyio.create_task_group() as group:
            while await self._pause(chance, STEADY_PAUSE_S_MAX):
                told = self._office.new(name, _counter(chance))
                command = Add(chance.choice((1, 1, 1, 2, 0, -1)))
                if chance.random() < DUPLICATED:
                    times = chance.randint(1, DUPLICATES_MAX)
                    await self._office.publish(told, command)
                    group.start_soon(self._office.repeat, told, command, times, Random(chance.random()))
                await self._office.insist(told, command)

    async def _bursts(self, name: str) -> None:
        """Many commands to one actor at once, of any priority: they keep their order."""
        chance = self._dice(name)
        while await self._pause(chance, BURST_PAUSE_S_MAX):
            to = _counter(chance)
            burst = [
                (self._office.new(name, to), Add(n), chance.choice(PRIORITIES))
                for n in range(1, chance.randint(2, BURST_MAX))
            ]
            for each in burst:
                await self._office.publish(*each)
            async with anyio.create_task_group() as group:
                for each in burst:
                    group.start_soon(self._office.insist, *each)

    async def _order(self, name: str) -> None:
        """Commands that are answered later, insisted on until they are."""
        chance = self._dice(name)
        while await self._pause(chance, COMMISSION_PAUSE_S_MAX):
            told = self._office.new(name, _clerk(chance), later=True)
            # Of work that may happen once a human may have to say what became of it: nobody insists on that.
            await self._office.insist(told, Order(told.id, chance.choice(SAFETIES[:2])))

    async def _asks(self, name: str, later: bool = False) -> None:
        """Asks with deadlines, over the client that ships."""
        chance = self._dice(name)
        while not self._stopped.is_set():
            try:
                async with Client.open(self._url(), self._token, self._root, source=name) as client:
                    for _ in range(ASKS_A_CONNECTION):
                        await self._ask(client, name, chance, later)
                        if not await self._pause(chance, STEADY_PAUSE_S_MAX):
                            return
            except Unreachable:
                await self._pause(chance, STEADY_PAUSE_S_MAX)

    async def _ask(self, client: Client, name: str, chance: Random, later: bool) -> None:
        told = self._office.new(name, _clerk(chance) if later else _counter(chance), insisted=False, later=later)
        command = Order(told.id, chance.choice(SAFETIES)) if later else Add(1)
        told.deadline_s = chance.uniform(ASK_S_MIN, ASK_S_MAX)
        told.first_sent_s = anyio.current_time()
        try:
            told.hear(await client.ask(told.to, command, told.deadline_s, id=told.id, sender=name))
        except NotStored:
            told.not_stored = True
        except (NoReply, Unreachable):
            pass  # It ended: what became of it is unknown to the asker, and for the log to say.
        told.ended_s = anyio.current_time()

    async def _serve(self, name: str) -> None:
        chance = self._dice(name)
        while await self._pause(chance, SERVE_PAUSE_S_MAX):
            server, other = chance.sample(range(PLAYERS), 2)
            told = self._office.new(name, Address(PROJECT, "player", f"p{server}"))
            await self._office.insist(told, Serve(f"p{other}", chance.randint(1, 8), chance.randint(1, 6)))

    async def _commission(self, name: str) -> None:
        chance = self._dice(name)
        while await self._pause(chance, COMMISSION_PAUSE_S_MAX):
            told = self._office.new(name, _clerk(chance))
            command = Commission(told.id, chance.choice(SAFETIES), chance.uniform(0, 1.0))
            await self._office.insist(told, command)

    async def _break(self, name: str) -> None:
        """Commands that break their actor, each another's."""
        chance = self._dice(name)
        while await self._pause(chance, BREAK_PAUSE_S_MAX):
            told = self._office.new(name, Address(PROJECT, "counter", f"broken-{chance.getrandbits(32):x}"))
            await self._office.insist(told, Add(1, "decide"))

    async def _pause(self, chance: Random, most_s: float) -> bool:
        """Rest for up to so long; False when it is time to end."""
        with anyio.move_on_after(chance.uniform(0, most_s)):
            await self._stopped.wait()
        return not self._stopped.is_set()

    def _dice(self, name: str) -> Random:
        return Random(f"{self._seed}/{name}")


def _counter(chance: Random) -> Address:
    return Address(PROJECT, "counter", f"c{chance.randrange(COUNTERS)}")


def _clerk(chance: Random) -> Address:
    return Address(PROJECT, "clerk", f"k{chance.randrange(CLERKS)}")
