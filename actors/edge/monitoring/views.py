"""Where the log and its views stand, for Prometheus: asked at each scrape, so nothing runs between two of them."""

from collections.abc import Mapping

import anyio
import structlog
from prometheus_client import CollectorRegistry, Gauge

from eventstore.store import Log, StoreError
from projections.errors import ProjectionError
from projections.queries import VIEWS, Queries

READ_S_MAX = 2.0
# Ranges of a rebuild come and go under names of their own, which say nothing to who watches.
_SHOWN = {name for view in VIEWS for name in (view.name, f"{view.name}.next")}

log = structlog.get_logger("monitoring")


class ViewMetrics:
    """Gauges on `registry`. Views are ours, so their names are few. `failures` are those of this process's projector:
    why a view had to stop."""

    def __init__(
        self, registry: CollectorRegistry, source: Log, queries: Queries, failures: Mapping[str, ProjectionError]
    ) -> None:
        self._registry, self._source, self._queries, self._failures = registry, source, queries, failures
        self._head = self._gauge("log_position", "The position of the last event.")
        self._position = self._gauge("view_position", "The position up to which a view is folded.", "view")
        self._lag = self._gauge("view_lag_events", "Events a view has yet to fold.", "view")
        self._lag_s = self._gauge("view_lag_seconds", "Age of the oldest event a view has yet to fold.", "view")
        self._quarantined = self._gauge("view_quarantined_streams", "Streams that a view leaves out.", "view")
        self._differences = self._gauge(
            "view_differences", "Rows that differed from a fold aside when the view was last verified.", "view"
        )
        self._stopped = self._gauge("view_stopped", "1 while a view has stopped at an event it cannot fold.", "view")
        self._read = self._gauge("views_readable", "1 if what is said of views is of this scrape, 0 if it is older.")

    async def refresh(self) -> None:
        """Read them anew. What cannot be read within READ_S_MAX keeps its last value, and says so."""
        self._read.set(0)
        for view in VIEWS:
            self._stopped.labels(view.name).set(view.name in self._failures)
        with anyio.move_on_after(READ_S_MAX):
            try:
                standing = await self._queries.standing()
                head = await self._source.head()
            except (StoreError, ProjectionError) as error:
                log.warning("monitoring.views_unread", error=str(error))
                return
            self._head.set(head)
            # A rebuild ends under another name; what is gone must not linger.
            for gauge in (self._position, self._lag, self._lag_s, self._quarantined, self._differences):
                gauge.clear()
            for row in standing:
                if row.name in _SHOWN:
                    self._position.labels(row.name).set(row.position)
                    self._lag.labels(row.name).set(row.lag_events)
                    self._lag_s.labels(row.name).set(max(0.0, row.lag_s))
                    self._quarantined.labels(row.name).set(row.quarantined)
                    self._differences.labels(row.name).set(row.verified_differences or 0)
            self._read.set(1)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"troupe_{name}", words, labels, registry=self._registry)
