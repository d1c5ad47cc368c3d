"""What the reads over NATS are counted and timed by. Labels are the listings' names and what a read came to."""

from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

UNKNOWN: Final = "unknown"  # The label of a view that is not there.
OK: Final = "ok"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class QueryMetrics:
    """On `registry` (one of its own by default). `names` are those of the listings there are."""

    def __init__(self, registry: CollectorRegistry | None = None, names: Collection[str] = ()) -> None:
        self.registry = registry or CollectorRegistry()
        self._names = frozenset(names)
        self._queries = Counter(
            "troupe_queries", "Reads of views over NATS, by what they came to.", ("view", "outcome"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "troupe_query_seconds", "One read of a view over NATS, with its wait for a position.", ("view",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip

    def answered(self, name: str, outcome: str, seconds: float) -> None:
        """A read came to its end: `outcome` is OK or the code of its fault."""
        view = name if name in self._names else UNKNOWN
        self._queries.labels(view, outcome).inc()
        self._seconds.labels(view).observe(seconds)
