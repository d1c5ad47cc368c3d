"""Chance, handed in: a simulation that is given the same seed draws the same ids and waits the same times.

It spreads retries and names processes. It guards nothing.
"""

from random import Random
from uuid import UUID

SPREAD_MIN, SPREAD_MAX = 0.5, 1.5  # Of a wait: so that many who wait for one thing do not come back together.


def any_chance() -> Random:
    """Chance as it comes."""
    return Random()  # noqa: S311 - draws names and waits, no secrets


def new_uuid(chance: Random) -> UUID:
    """A random (version 4) UUID."""
    return UUID(int=chance.getrandbits(128), version=4)


def spread(chance: Random, seconds: float) -> float:
    """About that long."""
    return seconds * chance.uniform(SPREAD_MIN, SPREAD_MAX)
