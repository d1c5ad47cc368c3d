"""What a company runs on, as the environment and the command line say it, and why one cannot run."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Self, cast

from actors.edge.monitoring.ports import BadPort, PortTaken, port_in
from actors.edge.tracing.export import BadTracing, url_in
from actors.embedded.errors import EmbeddedError, FolderLocked, ForeignFolder
from actors.embedded.folder import StateFolder
from actors.mirroring import BadSetting, MirrorSettings, whole_number
from actors.roles.playbook import PlaybookError
from actors.runtime.activation import CACHE_BYTES_MAX
from actors.runtime.nats_bus import SCHEMA, root_of
from actors.runtime.ports import BusUnavailable
from actors.runtime.supervision import ServiceFailed
from actors.services.router import offline
from actors.services.router.provider import ProviderError
from actors.services.router.select import BadChoice
from eventstore.store import NoSuchLog, StoreError
from projections.errors import ProjectionError
from protocol.subjects import BadSubject, check_token

CACHE_BYTES_MIN = 1024**2
OSV_URL = "https://api.osv.dev"


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
    else a free one; 0: a free one. `otlp_url` is where spans go ("": nowhere)."""

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
    cache_bytes: int = CACHE_BYTES_MAX
    otlp_url: str = ""
    mirror: MirrorSettings = field(default_factory=MirrorSettings)

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """TROUPE_STATE, TROUPE_PROJECT, TROUPE_NATS_URL, TROUPE_POSTGRES_URL, TROUPE_SCHEMA, TROUPE_ADVISORIES_URL,
        TROUPE_PROVIDER, TROUPE_MODEL, TROUPE_PROVIDER_URL, TROUPE_METRICS_PORT, TROUPE_MASTER_KEY, TROUPE_SIGNING_KEY
        (names of files), TROUPE_CACHE_BYTES (memory for actors, of each process), TROUPE_MIRROR and what goes with it
        (mirroring.py), TROUPE_OTLP_URL or OTEL_EXPORTER_OTLP_ENDPOINT (edge/tracing); then `overrides`. Keys are no
        part of settings."""
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
                cache_bytes=whole_number(environment, "TROUPE_CACHE_BYTES", CACHE_BYTES_MIN, CACHE_BYTES_MAX),
                otlp_url=url_in(environment),
                mirror=MirrorSettings.from_environment(environment),
            )
            settings = replace(settings, **overrides)
            check_token("project", settings.project)
        except (BadSubject, BadPort, BadSetting, BadTracing) as error:
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


def of_settings(folder: StateFolder, settings: Settings) -> StateFolder:
    """The part of a state folder that belongs to the company of that log."""
    return folder if settings.schema == SCHEMA else folder.of(settings.schema)


@contextmanager
def host_errors() -> Generator[None]:
    """What the rooms below raise, as HostError; an error that task groups wrapped comes out as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        _raise(_only(group), group)
    except (EmbeddedError, StoreError, BusUnavailable, PlaybookError, PortTaken, ServiceFailed) as error:
        _raise(error, error)
    except (BadChoice, ProviderError, BadTracing) as error:
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
        case PlaybookError() | ForeignFolder() | BadChoice() | BadTracing() | NoSuchLog():
            raise HostError("usage", str(error)) from cause
        case ProviderError(kind=kind):
            raise HostError("unavailable" if kind == "unavailable" else "usage", str(error)) from cause
        case EmbeddedError() | StoreError() | BusUnavailable() | ProjectionError() | PortTaken() | ServiceFailed():
            raise HostError("unavailable", str(error)) from cause
        case _:
            raise error
