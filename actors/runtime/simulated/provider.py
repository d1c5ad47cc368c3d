"""The world that effects touch in a simulation: it is asked for something under a key, does it, and writes that down.

Each process reaches it through a port that dies with the process; what it has been asked for by then is done.
"""

from dataclasses import dataclass
from random import Random
from typing import Protocol

import anyio

from actors.runtime.kind import EffectCall, Safety
from actors.runtime.retry import OutcomeUnknown
from actors.runtime.simulated.faults import Faults
from actors.runtime.simulated.trace import Trace

WORK_S_MIN, WORK_S_MAX = 0.001, 0.4


class ProviderRefused(Exception):
    """The provider did nothing, and says so."""


class ProviderSilent(OutcomeUnknown):
    """The provider did not answer; it has done what it was asked for, but who asked cannot know."""


@dataclass(frozen=True)
class Payment:
    """Something that was done for somebody. `by` is the process that asked, `at` the virtual time in seconds."""

    project: str
    key: str
    safety: Safety
    attempt: int
    by: str
    at: float


class _Living(Protocol):
    name: str

    def check(self) -> None: ...


class Provider:
    """Who is paid. One in a world."""

    def __init__(self, chance: Random, faults: Faults, trace: Trace) -> None:
        self._chance, self._trace = chance, trace
        self.faults = faults
        self.payments: list[Payment] = []
        self._answers: dict[tuple[str, str], str] = {}

    async def pay(self, by: _Living, call: EffectCall, safety: Safety) -> str:
        """Do it once more; of idempotent work whose key is known only tell what came of it the first time."""
        by.check()
        await anyio.sleep(self._chance.uniform(WORK_S_MIN, WORK_S_MAX))
        by.check()
        fails, after = self._chance.random() < self.faults.provider_fails, self._chance.random() < 0.5
        if fails and not after:
            raise ProviderRefused("not now")
        payment = Payment(call.address.project, call.key, safety, call.attempt, by.name, anyio.current_time())
        self.payments.append(payment)
        self._trace.note(f"paid {call.key} attempt {call.attempt} by {by.name}")
        answer = self._answers.setdefault((call.address.project, call.key), f"receipt-{len(self.payments)}")
        if safety != "idempotent":
            answer = f"receipt-{len(self.payments)}"
        await anyio.sleep(self._chance.uniform(WORK_S_MIN, WORK_S_MAX))
        by.check()
        if fails:
            raise ProviderSilent("no answer")
        return answer


@dataclass(frozen=True)
class ProviderPort:
    """The provider, as one process reaches it."""

    provider: Provider
    owner: _Living

    async def pay(self, call: EffectCall, safety: Safety) -> str:
        """A receipt for what was done under the effect's key. ProviderRefused, ProviderSilent."""
        return await self.provider.pay(self.owner, call, safety)
