"""What goes wrong, and when: drawn from the seed, the same every time. Pure.

A run is a row of rounds. In each, every sort of fault comes once, in an order of its own and at times that overlap, so
that over many rounds every pair meets. Where a round's time does not suffice, what is left comes first in the next.
"""

from dataclasses import dataclass
from random import Random

from actors.runtime.ownership import LEASE_TTL_S

SORTS = (
    "kill",  # kill -9 of a worker, which is started anew a little later
    "leave",  # a worker is stopped cleanly, and another comes
    "freeze",  # SIGSTOP for longer than the lease, then SIGCONT
    "cut",  # connections are reset, again and again
    "deafen",  # what the servers answer is lost, then the connections
    "stall",  # bytes are held
    "nats-kill",  # kill -9 of nats-server
    "nats-stop",  # a clean restart of it
    "nats-wipe",  # kill -9, and its disk is gone
    "postgres-crash",  # SIGQUIT: it ends at once, and recovers
    "postgres-stop",  # a fast shutdown
)
GAP_S_MAX = 2.5  # Between the beginnings of two faults.
FREEZE_BEYOND_S = (0.5, 2.0)  # Longer than the lease.
DOWN_S = (0.0, 1.5)  # Until what was ended is started again.
SERVER_DOWN_S = (0.0, 1.0)
CUT_S = (0.2, 1.5)
DEAF_S = (0.05, 0.4)
STALL_S = (0.3, LEASE_TTL_S + 1.0)

_LASTS = {
    "kill": DOWN_S,
    "leave": DOWN_S,
    "freeze": (LEASE_TTL_S + FREEZE_BEYOND_S[0], LEASE_TTL_S + FREEZE_BEYOND_S[1]),
    "cut": CUT_S,
    "deafen": DEAF_S,
    "stall": STALL_S,
}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, `after_s` seconds after the one before and for `lasts_s`. `target` (0 to 1) picks whom
    it meets."""

    sort: str
    after_s: float
    lasts_s: float
    target: float


def plan_round(seed: int, number: int, seconds: float) -> list[Fault]:
    """The faults of one round, which is to last about `seconds`. What lasts longest comes in its first half, so that it
    is over when the round is."""
    chance = Random(f"{seed}/{number}")
    long = ["freeze", "stall"]
    short = [sort for sort in SORTS if sort not in long]
    chance.shuffle(short)
    for sort in long:
        short.insert(chance.randrange(len(short) // 2), sort)
    gap_s = min(GAP_S_MAX, seconds / len(SORTS))
    return [
        Fault(sort, chance.uniform(0.3, 1.7) * gap_s, chance.uniform(*_LASTS.get(sort, SERVER_DOWN_S)), chance.random())
        for sort in short
    ]
