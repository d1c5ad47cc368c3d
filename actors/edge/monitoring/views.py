"""Where the log and its views stand, for Prometheus: asked at each scrape, so nothing runs between two of them."""

import anyio
import structlog
from prometheus_client import CollectorRegistry, Gauge

from eventstore.store import Log, StoreError
from projections.errors import ProjectionError
from projections.queries import Queries

READ_S_MAX = 2.0

log = structlog.get_logger("monitoring")


class ViewMetrics:
    """Gauges on `registry`. Views are ours, so their names are few."""

    def __init__(self, registry: CollectorRegistry, source: Log, queries: Queries) -> None:
        self._source, self._queries = source, queries
        self._head = Gauge("troupe_log_position", "The position of the last event.", registry=registry)
        self._position = Gauge(
            "troupe_view_position", "The position up to which a view is folded.", ("view",), registry=registry
        )
        self._lag = Gauge("troupe_view_lag_events", "Events a view has yet to fold.", ("view",), registry=registry)
        self._read = Gauge(
            "troupe_views_readable", "1 if the positions above are of this scrape, 0 if they are older.",
            registry=registry,
        )  # fmt: skip

    async def refresh(self) -> None:
        """Read them anew. What cannot be read within READ_S_MAX keeps its last value, and says so."""
        self._read.set(0)
        with anyio.move_on_after(READ_S_MAX):
            try:
                standing = await self._queries.views()
                head = await self._source.head()
            except (StoreError, ProjectionError) as error:
                log.warning("monitoring.views_unread", error=str(error))
                return
            self._head.set(head)
            # A rebuild ends under another name; what is gone must not linger.
            self._position.clear()
            self._lag.clear()
            for row in standing:
                self._position.labels(row.name).set(row.position)
                self._lag.labels(row.name).set(max(0, head - row.position))
            self._read.set(1)
