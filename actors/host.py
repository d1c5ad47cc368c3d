"""The composition root: settings → servers → ports → kinds → a running company.

Everything is wired here and nowhere else. A company holds its state folder's lock, so there is one for a folder;
servers it finds running are adopted, those it started are stopped with it. Killed at any moment, the same call goes on
where the log ends.
"""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, Self, cast

import anyio
import structlog

from actors import casting
from actors.edge.monitoring.company import company_monitoring, company_registry
from actors.edge.monitoring.logs import logged_errors, logging_into
from actors.edge.monitoring.ports import BadPort, PortTaken, port_in
from actors.embedded.errors import EmbeddedError, FolderLocked, ForeignFolder
from actors.embedded.folder import StateFolder
from actors.embedded.sweep import sweep_ephemeral
from actors.embedded.use import use_servers
from actors.embedded.watch import watch
from actors.keyrings import MasterFiles
from actors.roles.playbook import Playbook, PlaybookError, load_playbooks
from actors.runtime.blobs import collect_blobs
from actors.runtime.commit import OwnershipLost
from actors.runtime.kind import Kind, Performer
from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.nats_bus import FORK_STREAM_BYTES_MAX, SCHEMA, STREAM_BYTES_MAX, NatsBus, root_of, utc_now
from actors.runtime.ports import BusUnavailable
from actors.runtime.supervisor import Runtime, running
from actors.services.metrics import ServiceMetrics
from actors.services.router import effects as router
from actors.services.router import offline
from actors.services.router.provider import Provider, ProviderError
from actors.services.router.select import BadChoice, Choice, open_provider
from actors.services.tools import effects as tools
from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.host_tools import host_tools
from actors.services.tools.runner import ProgramRunner
from actors.services.tools.sandbox.base import SandboxReport
from actors.services.tools.sandbox.detect import detect
from actors.signing import anchored
from eventstore.keyring import Keyring
from eventstore.postgres.store import PostgresStore
from eventstore.store import NoSuchLog, StoreError
from projections.errors import ProjectionError, ViewBehind
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from protocol.subjects import BadSubject, check_token

OSV_URL = "https://api.osv.dev"

log = structlog.get_logger("host")


class HostError(Exception):
    """Why the company cannot run. `code`: "usage" (settings), "running" (another one holds the folder),
    "unavailable"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Settings:
    """What a company runs on. Empty URLs mean the embedded servers. `metrics_port` None: the usual one if it is free,
    else a free one; 0: a free one."""

    state: Path | None = None
    ephemeral: bool = False
    project: str = "default"
    nats_url: str = ""
    postgres_url: str = ""
    schema: str = SCHEMA
    advisories_url: str = OSV_URL
    provider: str = offline.NAME
    model: str = ""
    provider_url: str = ""
    metrics_port: int | None = None
    master_key: str = ""
    signing_key: str = ""

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """TROUPE_STATE, TROUPE_PROJECT, TROUPE_NATS_URL, TROUPE_POSTGRES_URL, TROUPE_SCHEMA, TROUPE_ADVISORIES_URL,
        TROUPE_PROVIDER, TROUPE_MODEL, TROUPE_PROVIDER_URL, TROUPE_METRICS_PORT, TROUPE_MASTER_KEY, TROUPE_SIGNING_KEY
        (names of files); then `overrides`. Keys are no part of settings."""
        environment = os.environ
        state = environment.get("TROUPE_STATE", "")
        try:
            settings = cls(
                state=Path(state) if state else None,
                project=environment.get("TROUPE_PROJECT", "") or "default",
                nats_url=environment.get("TROUPE_NATS_URL", ""),
                postgres_url=environment.get("TROUPE_POSTGRES_URL", ""),
                schema=environment.get("TROUPE_SCHEMA", "") or SCHEMA,
                advisories_url=environment.get("TROUPE_ADVISORIES_URL", OSV_URL),
                provider=environment.get("TROUPE_PROVIDER", "") or offline.NAME,
                model=environment.get("TROUPE_MODEL", ""),
                provider_url=environment.get("TROUPE_PROVIDER_URL", ""),
                metrics_port=port_in(environment, "TROUPE_METRICS_PORT"),
                master_key=environment.get("TROUPE_MASTER_KEY", ""),
                signing_key=environment.get("TROUPE_SIGNING_KEY", ""),
            )
            settings = replace(settings, **overrides)
            check_token("project", settings.project)
        except (BadSubject, BadPort) as error:
            raise HostError("usage", str(error)) from error
        return settings

    @property
    def root(self) -> str:
        """The first token of every subject."""
        return root_of(self.schema)

    @property
    def embedded(self) -> tuple[str, ...]:
        """The servers this company needs from its own folder."""
        return tuple(name for name, url in (("postgres", self.postgres_url), ("nats", self.nats_url)) if not url)


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


@asynccontextmanager
async def company(settings: Settings) -> AsyncGenerator[Company]:
    """Run a company until the block ends. HostError when it cannot start or must stop."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_host_errors())
        if settings.ephemeral:
            await sweep_ephemeral()
        folder = _folder(stack, settings)
        await stack.enter_async_context(folder.locked())
        meters, lines_lost = company_registry()
        redactor = stack.enter_context(logging_into(folder.company_log, lines_lost.inc))
        playbooks = load_playbooks(tools=CATALOGUE.keys())
        choice = Choice(settings.provider, settings.model, settings.provider_url)
        provider = await stack.enter_async_context(open_provider(choice, os.environ, casting.scripts(playbooks)))
        servers = await stack.enter_async_context(use_servers(folder, settings.embedded))
        nats_url, nats_token = settings.nats_url or servers.nats_url, servers.nats_token
        dsn = settings.postgres_url or servers.postgres_dsn
        redactor.learn(nats_token)
        redactor.learn_url(nats_url)
        redactor.learn_url(dsn)
        stack.enter_context(logged_errors())
        store = await stack.enter_async_context(PostgresStore.open(dsn, settings.schema))
        keyring = await MasterFiles(folder.path, settings.master_key).keyring(store)
        fork = await store.forks.this()
        # Commands for an earlier fork of that name are none of this one's business.
        anew, room = fork is not None and fork.resumed_at is None, FORK_STREAM_BYTES_MAX if fork else STREAM_BYTES_MAX
        bus = await stack.enter_async_context(NatsBus.open(nats_url, nats_token, settings.root, room, anew))
        await store.forks.resume()
        queries = Queries(store, store.pool)
        host_ports = host_tools(store, queries, settings.advisories_url, utc_now)
        tool_ports = tools.Ports(store, CATALOGUE, folder.workspaces, ProgramRunner().run, host_ports)
        kinds, performers = assemble(playbooks, tool_ports, provider, ServiceMetrics(meters, CATALOGUE), keyring)
        group = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(group.cancel_scope.cancel)
        projector = Projector(store, store.pool, VIEWS)
        group.start_soon(projector.run)
        group.start_soon(collect_blobs, store)
        group.start_soon(watch, folder, settings.embedded, bus.refusal)
        await stack.enter_async_context(anchored(store, bus, settings.schema, folder.path, settings.signing_key))
        alone = not settings.postgres_url  # Else another company may be alive on this log: its leases run out first.
        process = running(store, bus, kinds, performers, utc_now, alone, RuntimeMetrics(meters, kinds), keyring, fork)
        runtime = await stack.enter_async_context(process)
        shown = company_monitoring(meters, store, bus, queries, projector, runtime, settings.metrics_port)
        metrics_url = f"{await stack.enter_async_context(shown)}/metrics"
        sandbox = _describe(await detect())
        await _views_built(queries)
        log.info("host.ready", project=settings.project, pid=os.getpid(), metrics=metrics_url, sandbox=sandbox)
        yield Company(
            settings, folder, nats_url, nats_token, dsn, servers.started, store, queries, sandbox, runtime, metrics_url,
            keyring,
        )  # fmt: skip


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
        stack.enter_context(_host_errors())
        dsn = settings.postgres_url
        if not dsn:
            folder = _folder(stack, settings)
            servers = await stack.enter_async_context(use_servers(folder, ("postgres",)))
            dsn = servers.postgres_dsn
        there = settings.schema != SCHEMA
        store = await stack.enter_async_context(PostgresStore.open(dsn, settings.schema, must_exist=there))
        if views:
            await Projector(store, store.pool, VIEWS).catch_up()
        yield store, Queries(store, store.pool)


def _folder(stack: AsyncExitStack, settings: Settings) -> StateFolder:
    folder = stack.enter_context(StateFolder.ephemeral()) if settings.ephemeral else StateFolder.open(settings.state)
    return of_settings(folder, settings)


def of_settings(folder: StateFolder, settings: Settings) -> StateFolder:
    """The part of a state folder that belongs to the company of that log."""
    return folder if settings.schema == SCHEMA else folder.of(settings.schema)


def _describe(sandbox: SandboxReport) -> str:
    """One line for people: the sandbox in use and, when it is not the best one, why."""
    tried = "; ".join(f"{kind}: {why}" for kind, why in sandbox.tried)
    return f"{sandbox.kind}: {sandbox.detail}" + (f" ({tried})" if tried else "")


@contextmanager
def _host_errors() -> Generator[None]:
    """What the rooms below raise, as HostError; an error that task groups wrapped comes out as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        _raise(_only(group), group)
    except (EmbeddedError, StoreError, BusUnavailable, OwnershipLost, PlaybookError, PortTaken) as error:
        _raise(error, error)
    except (BadChoice, ProviderError) as error:
        _raise(error, error)


def _only(error: BaseException) -> BaseException:
    """The one error inside nested groups, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup):
        inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
        if len(inner) > 1:
            break
        error = inner[0]
    return cast("BaseException", error)


def _raise(error: BaseException, cause: BaseException) -> NoReturn:
    match error:
        case FolderLocked():
            raise HostError("running", str(error)) from cause
        case PlaybookError() | ForeignFolder() | BadChoice() | NoSuchLog():
            raise HostError("usage", str(error)) from cause
        case ProviderError(kind=kind):
            raise HostError("unavailable" if kind == "unavailable" else "usage", str(error)) from cause
        case EmbeddedError() | StoreError() | BusUnavailable() | OwnershipLost() | ProjectionError() | PortTaken():
            raise HostError("unavailable", str(error)) from cause
        case _:
            raise error


def assemble(
    playbooks: dict[str, Playbook], tool_ports: tools.Ports, provider: Provider, metered: ServiceMetrics,
    keyring: Keyring | None = None,
) -> tuple[dict[str, Kind[Any]], dict[str, Performer]]:  # fmt: skip
    """Every kind of actor and every performer of the company."""
    offered = casting.router_roles(playbooks)
    router_ports = router.Ports(tool_ports.store, metered.metered_provider(provider), offered, keyring=keyring)
    performers = [metered.metered_tools(tools.performer(tool_ports)), router.performer(router_ports)]
    return casting.kinds(playbooks), {performer.kind: performer for performer in performers}
