"""The world that effects touch: a folder in which every payment is written down before its effect's outcome is known.

What is written survives the death of the process at any moment. Work of the class `idempotent` meets a provider that
can tell: it makes a payment under a key once, and answers a repetition with what it said before. Work of the other
classes is paid for as often as it is asked for.
"""

import hashlib
import os
from itertools import count
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
_LEDGER, _ONCE = "payments", ".paid"


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
        self._made = count()

    async def perform(self, call: EffectCall, work: Job) -> Came:
        await anyio.sleep(self._chance.uniform(0, TAKES_S_MAX))
        if work.safety != "once" and self._chance.random() < FAILS:
            raise Failed("not now")
        payment = Payment(call.address.project, call.key, work.safety, call.attempt, self._by)
        if work.safety == "idempotent":
            self._pay_once(payment)
        else:
            self._pay(payment)
        await anyio.sleep(self._chance.uniform(0, TAKES_S_MAX))
        return Came(work.job, "paid", work.ask)

    def _pay_once(self, payment: Payment) -> None:
        """A file a key, whole or not at all."""
        made = self._folder / f"{self._by}-{next(self._made)}"
        _write(made, os.O_EXCL, msgspec.json.encode(payment))
        try:
            os.link(made, self._folder / f"{_name(payment)}{_ONCE}")
        except FileExistsError:
            return  # It was paid before.
        finally:
            made.unlink()

    def _pay(self, payment: Payment) -> None:
        # One write: lines of several processes do not mix.
        _write(self._folder / _LEDGER, os.O_APPEND, msgspec.json.encode(payment) + b"\n")


def _name(payment: Payment) -> str:
    return hashlib.sha256(f"{payment.project} {payment.key}".encode()).hexdigest()


def _write(path: Path, how: int, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def give_up(_: EffectCall, work: Job, error: str) -> Came:
    return Came(work.job, f"gave up: {error}", work.ask)


def found_paid(_: EffectCall, work: Job, __: str) -> Came:
    """A human found the payment in the provider's books."""
    return Came(work.job, "paid", work.ask)


def performers(provider: Provider) -> dict[str, Performer]:
    return {
        "job": Performer(
            "job", Job, provider.perform, give_up, CONCURRENT_MAX, ATTEMPTS_MAX, TIMEOUT_S, done=found_paid
        )
    }


def payments(folder: Path) -> list[Payment]:
    """Every payment that was made."""
    ledger = folder / _LEDGER
    lines = ledger.read_bytes().splitlines() if ledger.exists() else []
    lines += [path.read_bytes() for path in folder.glob(f"*{_ONCE}")]
    return [msgspec.json.decode(line, type=Payment) for line in lines]
