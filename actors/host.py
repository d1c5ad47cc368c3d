"""The composition root: settings → servers → ports → kinds → a running company.

Everything is wired here and nowhere else. A company holds its state folder's lock, so there is one for a folder;
servers it finds running are adopted, those it started are stopped with it. Killed at any moment, the same call goes on
where the log ends.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import structlog
from prometheus_client import CollectorRegistry

from actors import casting
from actors.edge.monitoring.company import company_monitoring, company_registry, worker_monitoring
from actors.edge.monitoring.logs import logged_errors, logging_into
from actors.edge.queries.service import queries_served
from actors.edge.tracing.export import exporting
from actors.embedded.folder import StateFolder
from actors.embedded.sweep import sweep_ephemeral
from actors.embedded.use import use_servers
from actors.embedded.watch import watch
from actors.keyrings import MasterFiles
from actors.mirroring import log_mirrored
from actors.roles.playbook import Playbook, load_playbooks
from actors.runtime.activation import CacheLimits
from actors.runtime.blobs import collect_blobs
from actors.runtime.kind import Kind, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.nats_bus import FORK_STREAM_BYTES_MAX, SCHEMA, STREAM_BYTES_MAX, NatsBus, utc_now
from actors.runtime.nats_taps import NatsTaps
from actors.runtime.supervisor import Runtime, running
from actors.runtime.tracing import NO_TRACER, Tracer
from actors.runtime.watchdog import Watchdog
from actors.services.memory import effects as memory
from actors.services.metrics import MemoryMetrics, ServiceMetrics
from actors.services.router import effects as router
from actors.services.router.provider import Provider
from actors.services.router.select import Choice, open_provider
from actors.services.tools import effects as tools
from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.host_tools import host_tools
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox.base import SandboxReport
from actors.services.tools.sandbox.detect import detect
from actors.services.tracing import traced_provider, traced_tools
from actors.settings import HostError, Settings, host_errors, of_settings
from actors.signing import anchored
from actors.viewing import views_kept
from eventstore.keyring import Keyring
from eventstore.postgres.store import PostgresStore
from projections.asking import Asking
from projections.errors import ViewBehind
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from projections.ranges import in_ranges
from protocol.role import ROLES

__all__ = ["Company", "HostError", "Joined", "Settings", "company", "joined", "of_settings", "reader"]

log = structlog.get_logger("host")


@dataclass(frozen=True)
class Company:
    """A running company in this process."""

    settings: Settings
    folder: StateFolder
    nats_url: str
    nats_token: str
    postgres_dsn: str
    started: frozenset[str]
    store: PostgresStore
    queries: Queries
    sandbox: str
    runtime: Runtime
    metrics_url: str
    keyring: Keyring

    async def drain(self) -> None:
        """Start no new effects; wait for those that run, in bounded time."""
        await self.runtime.drain()


@dataclass(frozen=True)
class _Ground:
    """What every process of a company stands on."""

    meters: CollectorRegistry
    playbooks: dict[str, Playbook]
    provider: Provider
    nats_url: str
    nats_token: str
    dsn: str
    started: frozenset[str]
    store: PostgresStore
    keyring: Keyring
    tracer: Tracer


async def _ground(stack: AsyncExitStack, settings: Settings, folder: StateFolder, log_file: Path) -> _Ground:
    meters, lines_lost = company_registry()
    redactor = stack.enter_context(logging_into(log_file, lines_lost.inc))
    playbooks = load_playbooks(tools=CATALOGUE.keys())
    choice = Choice(settings.provider, settings.model, settings.provider_url)
    provider = await stack.enter_async_context(open_provider(choice, os.environ, casting.scripts(playbooks)))
    servers = await stack.enter_async_context(use_servers(folder, settings.embedded))
    nats_url, nats_token = settings.nats_url or servers.nats_url, servers.nats_token
    dsn = settings.postgres_url or servers.postgres_dsn
    redactor.learn(nats_token)
    for url in (nats_url, settings.mirror.nats_url, dsn, settings.otlp_url):
        redactor.learn_url(url)
    stack.enter_context(logged_errors())
    store = await stack.enter_async_context(PostgresStore.open(dsn, settings.schema))
    keyring = await MasterFiles(folder.path, settings.master_key).keyring(store)
    # What a fork lives through again has been told, under the same ids.
    told = "" if await store.forks.this() is not None else settings.otlp_url
    tracer = await stack.enter_async_context(exporting(told, meters))
    return _Ground(meters, playbooks, provider, nats_url, nats_token, dsn, servers.started, store, keyring, tracer)


@asynccontextmanager
async def company(settings: Settings) -> AsyncGenerator[Company]:
    """Run a company until the block ends. HostError when it cannot start or must stop."""
    async with AsyncExitStack() as stack:
        stack.enter_context(host_errors())
        if settings.ephemeral:
            await sweep_ephemeral()
        folder = _folder(stack, settings)
        await stack.enter_async_context(folder.locked())
        g = await _ground(stack, settings, folder, folder.company_log)
        store, meters = g.store, g.meters
        fork = await store.forks.this()
        # Commands for an earlier fork of that name are none of this one's business.
        anew, room = fork is not None and fork.resumed_at is None, FORK_STREAM_BYTES_MAX if fork else STREAM_BYTES_MAX
        bus = await stack.enter_async_context(NatsBus.open(g.nats_url, g.nats_token, settings.root, room, anew))
        await store.forks.resume()
        queries = Queries(store, store.pool)
        kinds, performers = _cast(g, settings, folder, queries)
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(group.cancel_scope.cancel)
        projector = await stack.enter_async_context(views_kept(store, folder.own))
        asked = queries_served(g.nats_url, g.nats_token, settings.root, Asking(store.pool), meters, utc_now())
        await stack.enter_async_context(asked)
        group.start_soon(collect_blobs, store)
        group.start_soon(watch, folder, settings.embedded, bus.refusal)
        await stack.enter_async_context(anchored(store, bus, settings.schema, folder.path, settings.signing_key))
        to = (settings.mirror, g.nats_url, g.nats_token, settings.root, meters)
        await stack.enter_async_context(log_mirrored(store, *to, fork))
        alone = not settings.postgres_url  # Else another company may be alive on this log: its leases run out first.
        cache, counted = CacheLimits(settings.cache_bytes), _counted(meters, kinds)
        process = running(
            store, bus, kinds, performers, utc_now, alone, counted, g.keyring, fork, cache=cache, watchdog=Watchdog(),
            taps=NatsTaps(bus, counted), tracer=g.tracer,
        )  # fmt: skip
        runtime = await stack.enter_async_context(process)
        shown = company_monitoring(meters, store, bus, queries, projector, runtime, performers, settings.metrics_port)
        metrics_url = f"{await stack.enter_async_context(shown)}/metrics"
        sandbox = _describe(await detect())
        await _views_built(queries)
        log.info("host.ready", project=settings.project, pid=os.getpid(), metrics=metrics_url, sandbox=sandbox)
        yield Company(
            settings, folder, g.nats_url, g.nats_token, g.dsn, g.started, store, queries, sandbox, runtime, metrics_url,
            g.keyring,
        )  # fmt: skip


@dataclass(frozen=True)
class Joined:
    """A process that works for a company it is not the keeper of."""

    runtime: Runtime
    log: Path
    metrics_url: str
    effects: tuple[str, ...]


@asynccontextmanager
async def joined(settings: Settings, effects: Sequence[str] | None = None) -> AsyncGenerator[Joined]:
    """One more process of a company until the block ends: it takes its share of the partitions and performs effects
    (of these kinds; None: of all), and keeps the views if no other does. Anchors and the servers stay the keeper's.
    HostError when it cannot."""
    async with AsyncExitStack() as stack:
        stack.enter_context(host_errors())
        folder = _folder(stack, settings)
        if settings.embedded and folder.holder() is None:
            raise HostError(
                "unavailable",
                f"no company runs in {folder.path}: start one there with `troupe dev`, or name the servers of another "
                "with TROUPE_NATS_URL and TROUPE_POSTGRES_URL",
            )
        log_file = folder.logs / f"worker-{os.getpid()}.log"
        g = await _ground(stack, settings, folder, log_file)
        if await g.store.forks.this() is not None:
            raise HostError("usage", f"{settings.schema} is a fork: it keeps one order, so one process runs it alone")
        bus = await stack.enter_async_context(NatsBus.open(g.nats_url, g.nats_token, settings.root, STREAM_BYTES_MAX))
        await stack.enter_async_context(views_kept(g.store))
        kinds, performers = _cast(g, settings, folder, Queries(g.store, g.store.pool))
        chosen = _chosen(performers, effects)
        to = (settings.mirror, g.nats_url, g.nats_token, settings.root, g.meters)
        await stack.enter_async_context(log_mirrored(g.store, *to))
        cache, counted = CacheLimits(settings.cache_bytes), _counted(g.meters, kinds)
        process = running(
            g.store, bus, kinds, chosen, utc_now, False, counted, g.keyring, cache=cache, watchdog=Watchdog(),
            taps=NatsTaps(bus, counted), tracer=g.tracer,
        )  # fmt: skip
        runtime = await stack.enter_async_context(process)
        shown = worker_monitoring(g.meters, g.store, bus, runtime, settings.metrics_port)
        metrics_url = f"{await stack.enter_async_context(shown)}/metrics"
        log.info("host.joined", pid=os.getpid(), metrics=metrics_url, effects=sorted(chosen))
        yield Joined(runtime, log_file, metrics_url, tuple(sorted(chosen)))


def _cast(
    ground: _Ground, settings: Settings, folder: StateFolder, queries: Queries
) -> tuple[dict[str, Kind[Any]], dict[str, Performer]]:
    """Every kind of actor and every performer, on the ports of this process."""
    host_ports = host_tools(ground.store, queries, settings.advisories_url, utc_now)
    tool_ports = tools.Ports(ground.store, CATALOGUE, folder.workspaces, ProgramRunner().run, host_ports)
    metered = ServiceMetrics(ground.meters, CATALOGUE, ROLES)
    return assemble(
        ground.playbooks, tool_ports, ground.provider, metered, ground.keyring, settings.model, ground.tracer
    )


def _counted(meters: CollectorRegistry, kinds: dict[str, Kind[Any]]) -> RuntimeMetrics:
    """What the runtime counts, and what the memory is asked."""
    return RuntimeMetrics(meters, kinds, {memory.KIND.name: MemoryMetrics(meters).committed})


def _chosen(performers: dict[str, Performer], effects: Sequence[str] | None) -> dict[str, Performer]:
    unknown = sorted(set(effects or ()) - performers.keys())
    if unknown:
        known = ", ".join(sorted(performers))
        raise HostError("usage", f"there is no kind of effect {unknown[0]!r}; the kinds are {known}")
    return {kind: performer for kind, performer in performers.items() if effects is None or kind in effects}


async def _views_built(queries: Queries) -> None:
    """Nobody who was told that the company is up shall be told that its views are not there yet."""
    try:
        await queries.at_least(0)
    except ViewBehind as error:  # One that must be rebuilt or had to stop: `/readyz` and the log say so.
        log.warning("host.views_late", error=str(error))


@asynccontextmanager
async def reader(settings: Settings, views: bool = True) -> AsyncGenerator[tuple[PostgresStore, Queries]]:
    """The log and its views for reading: adopts a running PostgreSQL, or starts it for the time of the read.

    Without `views` they are not brought up to date: a log can be read even where a view cannot fold it. HostError for
    another log than the usual one that is not there: nobody means to read an empty one.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(host_errors())
        dsn = settings.postgres_url
        if not dsn:
            folder = _folder(stack, settings)
            servers = await stack.enter_async_context(use_servers(folder, ("postgres",)))
            dsn = servers.postgres_dsn
        there = settings.schema != SCHEMA
        store = await stack.enter_async_context(PostgresStore.open(dsn, settings.schema, must_exist=there))
        if views:
            await Projector(store, store.pool, VIEWS, build=in_ranges(store)).catch_up()
        yield store, Queries(store, store.pool)


def _folder(stack: AsyncExitStack, settings: Settings) -> StateFolder:
    folder = stack.enter_context(StateFolder.ephemeral()) if settings.ephemeral else StateFolder.open(settings.state)
    return of_settings(folder, settings)


def _describe(sandbox: SandboxReport) -> str:
    """One line for people: the sandbox in use and, when it is not the best one, why."""
    tried = "; ".join(f"{kind}: {why}" for kind, why in sandbox.tried)
    return f"{sandbox.kind}: {sandbox.detail}" + (f" ({tried})" if tried else "")


def assemble(
    playbooks: dict[str, Playbook], tool_ports: tools.Ports, provider: Provider, metered: ServiceMetrics,
    keyring: Keyring | None = None, model: str = "", tracer: Tracer = NO_TRACER,
) -> tuple[dict[str, Kind[Any]], dict[str, Performer]]:  # fmt: skip
    """Every kind of actor and every performer of the company. `model` "": the provider's default."""
    offered = casting.router_roles(playbooks)
    asked = traced_provider(metered.metered_provider(provider), tracer, utc_now)
    router_ports = router.Ports(tool_ports.store, asked, offered, model, keyring)
    run = traced_tools(metered.metered_tools(tools.performer(tool_ports)), tool_ports.catalogue, tracer, utc_now)
    performers = [run, router.performer(router_ports)]
    return casting.kinds(playbooks), {performer.kind: performer for performer in performers}
