"""What is shown of a whole company: its metrics, where its views stand, and whether it can work."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager

import anyio
from prometheus_client import CollectorRegistry, Counter, ProcessCollector

from actors.edge.monitoring.backlog import BacklogMetrics
from actors.edge.monitoring.checks import Check, leases_check, nats_check, postgres_check, progress_check, views_check
from actors.edge.monitoring.readiness import ReadinessMetrics
from actors.edge.monitoring.views import ViewMetrics
from actors.runtime.nats_bus import NatsBus
from actors.runtime.supervisor import Runtime
from eventstore.store import EventStore, Log
from projections.projector import Projector
from projections.queries import VIEWS, Queries


def company_registry() -> tuple[CollectorRegistry, Counter]:
    """A registry with the process's own figures (CPU, memory, open files), and the counter of lost log lines."""
    registry = CollectorRegistry()
    ProcessCollector(namespace="troupe", registry=registry)
    return registry, Counter("troupe_log_lines_lost", "Log lines that could not be written.", registry=registry)


def company_monitoring(
    registry: CollectorRegistry,
    source: EventStore,
    bus: NatsBus,
    queries: Queries,
    projector: Projector,
    runtime: Runtime,
    effects: Collection[str],
    port: int | None,
) -> AbstractAsyncContextManager[str]:
    """The monitoring server of a running company; its base URL. `effects` are the kinds of effects that there are.
    PortTaken (see `server.monitoring`)."""
    # Here, and not with the module: every command of the command line knows this module, only a company serves.
    from actors.edge.monitoring.server import Monitored, monitoring

    checks = _process_checks(source, bus, runtime) | {
        "views": views_check(queries, VIEWS, projector.failures),
    }
    views = ViewMetrics(registry, source, queries, projector.failures)
    ready = ReadinessMetrics(registry, checks)
    backlog = BacklogMetrics(registry, source.backlog, bus, effects)

    async def refresh() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ready.refresh)
            group.start_soon(views.refresh)
            group.start_soon(backlog.refresh)

    return monitoring(Monitored(registry, checks, refresh), port)


def worker_monitoring(
    registry: CollectorRegistry, source: Log, bus: NatsBus, runtime: Runtime, port: int | None
) -> AbstractAsyncContextManager[str]:
    """The monitoring server of a worker: what waits and the views are shown by the company. PortTaken."""
    from actors.edge.monitoring.server import Monitored, monitoring

    checks = _process_checks(source, bus, runtime)
    refresh = ReadinessMetrics(registry, checks).refresh
    return monitoring(Monitored(registry, checks, refresh), 0 if port is None else port)


def _process_checks(source: Log, bus: NatsBus, runtime: Runtime) -> dict[str, Check]:
    return {
        "nats": nats_check(lambda: bus.client, bus.stream),
        "postgres": postgres_check(source),
        "leases": leases_check(runtime.ownership),
        "progress": progress_check(runtime.progress),
    }
