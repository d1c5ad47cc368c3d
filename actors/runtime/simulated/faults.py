"""What goes wrong in a simulation: how often each thing does, and a plan of it drawn from the seed.

Faults end at FAULTS_END_S; after that everything works, so that whatever is still missing then was lost.
"""

from dataclasses import dataclass, fields
from random import Random
from typing import Literal

FAULTS_BEGIN_S = 0.05  # Soon after the start: where a process joins, many things can go wrong.
FAULTS_END_S = 12.0
DELAY_S_MIN = 0.0005  # Of every message and call: nothing is answered in the instant.
CALL_LATE_S_MAX = 1.6  # A call that was given up may still reach the store that much later: its transaction's limit.
FREEZE_S_MIN, FREEZE_S_MAX = 0.05, 9.0  # Some are longer than a lease.
OUTAGE_S_MIN, OUTAGE_S_MAX = 0.05, 7.0
KINDS_DRAWN_MAX = 4

What = Literal[
    "crash", "restart", "freeze", "stall", "cut_store", "cut_bus", "store_outage", "bus_outage", "wipe", "lose_feeds"
]


@dataclass(frozen=True)
class Faults:
    """Shares are of each message or call (0 to 1); counts are of one run.

    `loss` and `duplication` are of what is published, `reply_loss` of replies, `bell_loss` of doorbells of every kind.
    `store_before`, `store_after`, `store_late`: the store does not answer, and what was asked never happens, has
    happened, or happens up to CALL_LATE_S_MAX later. `provider_fails`: the world that effects touch refuses, or, half
    of these times, does what it was asked for and says nothing. `crash_steps` counts crashes at a drawn step of a
    process, in between any two awaits; `crashes` those at a drawn time. `stalls` are freezes right before a commit
    leaves. `delay_s` is the longest delay of a message, `call_s` that of a call. Clocks of processes are wrong by up to
    `skew_s`.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reply_loss: float = 0.0
    bell_loss: float = 0.0
    store_before: float = 0.0
    store_after: float = 0.0
    store_late: float = 0.0
    provider_fails: float = 0.0
    delay_s: float = 0.005
    call_s: float = 0.003
    skew_s: float = 0.0
    crash_steps: int = 0
    crashes: int = 0
    restarts: int = 0
    freezes: int = 0
    stalls: int = 0
    store_cuts: int = 0
    bus_cuts: int = 0
    store_outages: int = 0
    bus_outages: int = 0
    wipes: int = 0
    feed_losses: int = 0

    def __str__(self) -> str:
        """What differs from a day without faults."""
        quiet = Faults()
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        return ", ".join(f"{name}={value:g}" for name, value in said.items() if value != getattr(quiet, name)) or "none"


@dataclass(frozen=True)
class Incident:
    """One thing that goes wrong at a time. `process` is the number of the process it befalls (-1: none)."""

    at: float
    what: What
    process: int = -1
    seconds: float = 0.0


def draw_faults(chance: Random) -> Faults:
    """One to KINDS_DRAWN_MAX things that go wrong, and how much of each."""

    def share(most: float) -> float:
        return round(chance.uniform(most / 8, most), 3)

    def several(most: int) -> int:
        return chance.randint(1, most)

    drawers = (
        lambda: {"loss": share(0.3)},
        lambda: {"duplication": share(0.4)},
        lambda: {"reply_loss": share(0.3), "bell_loss": share(0.5)},
        lambda: {"bell_loss": share(1.0)},
        lambda: {"store_before": share(0.1), "store_after": share(0.1)},
        lambda: {"store_after": share(0.2), "store_late": share(0.1)},
        lambda: {"delay_s": chance.choice((0.05, 0.5, 2.0)), "call_s": chance.choice((0.01, 0.1, 0.4))},
        lambda: {"provider_fails": share(0.4)},
        lambda: {"skew_s": chance.choice((0.05, 1.0, 30.0))},
        lambda: {"crash_steps": several(3)},
        lambda: {"crash_steps": several(2), "restarts": several(2)},
        lambda: {"crashes": several(2)},
        lambda: {"restarts": several(3)},
        lambda: {"freezes": several(3)},
        lambda: {"stalls": several(3)},
        lambda: {"store_cuts": several(2)},
        lambda: {"bus_cuts": several(2)},
        lambda: {"store_outages": several(2)},
        lambda: {"bus_outages": several(2)},
        lambda: {"wipes": several(2)},
        lambda: {"feed_losses": several(4)},
    )
    drawn: dict[str, float] = {}
    for draw in chance.sample(drawers, chance.randint(1, KINDS_DRAWN_MAX)):
        drawn |= draw()
    return Faults(**drawn)  # type: ignore[arg-type]


def plan(faults: Faults, processes: int, chance: Random) -> list[Incident]:
    """When what goes wrong, by time. Crashes at a step are none of these: nobody knows when that will be."""
    counts: tuple[tuple[int, What, bool, tuple[float, float]], ...] = (
        (faults.crashes, "crash", True, (0.0, 0.0)),
        (faults.restarts, "restart", True, (0.0, 0.0)),
        (faults.freezes, "freeze", True, (FREEZE_S_MIN, FREEZE_S_MAX)),
        (faults.stalls, "stall", True, (FREEZE_S_MIN, FREEZE_S_MAX)),
        (faults.store_cuts, "cut_store", True, (OUTAGE_S_MIN, OUTAGE_S_MAX)),
        (faults.bus_cuts, "cut_bus", True, (OUTAGE_S_MIN, OUTAGE_S_MAX)),
        (faults.store_outages, "store_outage", False, (OUTAGE_S_MIN, OUTAGE_S_MAX)),
        (faults.bus_outages, "bus_outage", False, (OUTAGE_S_MIN, OUTAGE_S_MAX)),
        (faults.wipes, "wipe", False, (OUTAGE_S_MIN, OUTAGE_S_MIN)),
        (faults.feed_losses, "lose_feeds", False, (0.0, 0.0)),
    )
    planned: list[Incident] = []
    for number, what, befalls, (shortest, longest) in counts:
        for _ in range(number):
            at = chance.uniform(FAULTS_BEGIN_S, FAULTS_END_S)
            process = chance.randrange(processes) if befalls else -1
            planned.append(Incident(at, what, process, chance.uniform(shortest, longest)))
    return sorted(planned, key=lambda incident: incident.at)
