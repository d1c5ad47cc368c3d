"""The world that effects touch: a folder in which every payment is written down before its effect's outcome is known.

What is written survives the death of the process at any moment. Work of the class `idempotent` meets a provider that can
tell: it makes a payment under a key once, and answers a repetition with what it said before. Work of the other classes
is paid for as often as it is asked for.
"""

import hashlib
import os
from pathlib import Path
from random import Random

import anyio
import msgspec

from actors.runtime.kind import EffectCall, Performer
from tests.torture.kinds import Came, Job

TAKES_S_MAX = 0.4
FAILS = 0.1  # Of the calls: no payment is made then.
ATTEMPTS_MAX = 50  # Every effect is to come to something however many workers die with it.
TIMEOUT_S = 30.0
CONCURRENT_MAX = 8


class Payment(msgspec.Struct, frozen=True):
    """One payment, by the worker process `by`."""

    project: str
    key: str
    safety: str
    attempt: int
    by: str


class Failed(Exception):
    """The provider could not do it this time."""


class Provider:
    """What one worker process sees of it."""

    def __init__(self, folder: Path, by: str, chance: Random) -> None:
        self._folder, self._by, self._chance = folder, by, chance

    async def perform(self, call: EffectCall, work: Job) -> Came:
        await anyio.sleep(self._chance.uniform(0, TAKES_S_MAX))
        if work.safety != "once" and self._chance.random() < FAILS:
            raise Failed("not now")
        if work.safety != "idempotent" or self._is_new(call):
            self._pay(Payment(call.address.project, call.key, work.safety, call.attempt, self._by))
        await anyio.sleep(self._chance.uniform(0, TAKES_S_MAX))
        return Came(work.job, "paid")

    def _is_new(self, call: EffectCall) -> bool:
        name = hashlib.sha256(f"{call.address.project} {call.key}".encode()).hexdigest()
        try:
            os.close(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def _pay(self, payment: Payment) -> None:
        ledger = os.open(self._folder / "payments", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(ledger, msgspec.json.encode(payment) + b"\n")  # One write: lines of several processes do not mix.
            os.fsync(ledger)
        finally:
            os.close(ledger)


def give_up(_: EffectCall, work: Job, error: str) -> Came:
    return Came(work.job, f"gave up: {error}")


def performers(provider: Provider) -> dict[str, Performer]:
    return {"job": Performer("job", Job, provider.perform, give_up, CONCURRENT_MAX, ATTEMPTS_MAX, TIMEOUT_S)}


def payments(folder: Path) -> list[Payment]:
    """Every payment that was made, in order."""
    try:
        lines = (folder / "payments").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Payment) for line in lines]
