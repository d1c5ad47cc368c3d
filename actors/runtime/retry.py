"""When an effect that failed is tried again: a policy that its performer declares. Pure but for chance, handed in."""

from dataclasses import dataclass
from random import Random


class OutcomeUnknown(Exception):
    """What a performer raises that cannot say whether its work was done. Work of the class `once` is then never begun
    again by itself: a human is asked. Any other work was only a failed attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The wait after attempt n is `first_s * factor ** (n - 1)` seconds, `max_s` at most, give or take `jitter` of
    itself (0 to 1), so that many who failed together do not come back together. After one of `permanent` no other
    attempt is made: it would fail in the same way."""

    first_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    permanent: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if not (self.first_s >= 0 and self.factor >= 1 and self.max_s >= self.first_s and 0 <= self.jitter <= 1):
            raise ValueError(f"{self} makes no sense: 0 <= first_s <= max_s, 1 <= factor, 0 <= jitter <= 1")

    def wait_s(self, attempt: int, chance: Random) -> float:
        """Seconds until the attempt after number `attempt` (from 1)."""
        wait_s = self.first_s
        for _ in range(attempt - 1):  # Not a power: of many attempts no float could hold it.
            if wait_s >= self.max_s:
                break
            wait_s *= self.factor
        return min(wait_s, self.max_s) * chance.uniform(1 - self.jitter, 1 + self.jitter)


USUAL = Retry()
