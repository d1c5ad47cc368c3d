"""Interleaved rounds of lanes that each give some named numbers, and what becomes of them."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tests.benchmarks.report import figure

Lane = Callable[[], Awaitable[Mapping[str, float]]]  # Measures for a while; numbers by name.
UNITS = {
    "_per_s": "1/s", "_ms": "ms", "_us": "µs", "_percent": "% of one core", "_mb": "MB", "_s": "s", "_count": "count"
}  # fmt: skip


class Rounds:
    """All numbers, by name, in the order of the rounds."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[float]] = {}

    async def run(self, lanes: Sequence[Lane], rounds: int) -> None:
        for _ in range(rounds):
            for lane in lanes:
                self.add(await lane())

    def add(self, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self.numbers.setdefault(name, []).append(number)

    def ratio(self, above: str, *below: str) -> list[float]:
        """One number over another (or the sum of some), round by round; empty when one was not measured."""
        if any(name not in self.numbers for name in (above, *below)):
            return []
        rows = zip(self.numbers[above], *(self.numbers[name] for name in below), strict=True)
        return [first / sum(rest) for first, *rest in rows]

    def figures(self) -> dict[str, Any]:
        return {name: figure(values, unit_of(name)) for name, values in self.numbers.items()}


def unit_of(name: str) -> str:
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "times")


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
