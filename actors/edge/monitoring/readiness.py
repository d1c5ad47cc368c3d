"""What `/readyz` says, for Prometheus: the same checks, made at each scrape."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from actors.edge.monitoring.checks import Check, examine


class ReadinessMetrics:
    """A gauge on `registry` for each of `checks`."""

    def __init__(self, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._ok = Gauge("troupe_check_ok", "1 if this check of /readyz is passed.", ("check",), registry=registry)

    async def refresh(self) -> None:
        """Make them. One that takes longer than CHECK_S_MAX is not passed."""
        for name, verdict in (await examine(self._checks)).checks.items():
            self._ok.labels(name).set(verdict.ok)
