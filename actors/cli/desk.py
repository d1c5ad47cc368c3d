"""Where a command meets a company: the one that runs in the state folder, or one of its own for as long as it takes."""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from actors.cli.client import Asker
from actors.cli.exits import Exit, Stop
from actors.cli.opening import Opener, opener_of
from actors.embedded.folder import StateFolder, default_path
from actors.embedded.servers import find_servers
from actors.host import HostError, Settings, company, of_settings, reader
from eventstore.store import Log
from projections.queries import Queries

JOIN_WAIT_S = 0.5
JOIN_ATTEMPTS_MAX = 20  # With find_servers, which waits for servers that are starting, ample.


@dataclass(frozen=True)
class Desk:
    """What a command needs of a company. `own`: it runs in this process and ends with the command."""

    settings: Settings
    folder: StateFolder
    log: Log
    queries: Queries
    nats_url: str
    nats_token: str
    own: bool
    opener: Opener

    @property
    def project(self) -> str:
        return self.settings.project

    def attended(self) -> bool:
        """Whether the company still runs, as far as one can see without its lock."""
        return self.own or company_pid(self.folder) is not None


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncGenerator[Desk]:
    """Join the company of the state folder, or be it. Between the two one may be starting or stopping: then wait."""
    async with AsyncExitStack() as stack:
        for _ in range(JOIN_ATTEMPTS_MAX):
            try:
                own = await stack.enter_async_context(company(settings))
            except HostError as error:
                if error.code != "running":
                    raise
            else:
                opener = Opener(own.keyring)
                yield Desk(settings, own.folder, own.store, own.queries, own.nats_url, own.nats_token, True, opener)
                return
            address = await _nats_address(settings)
            if address is not None:
                log, queries = await stack.enter_async_context(reader(settings))
                opener = opener_of(settings, log)
                yield Desk(settings, state_folder(settings), log, queries, *address, False, opener)
                return
            await anyio.sleep(JOIN_WAIT_S)
        path = state_folder(settings).own
        raise Stop(Exit.UNAVAILABLE, f"a company holds {path} and has no NATS server: see its log, or stop it")


@asynccontextmanager
async def open_asker(settings: Settings) -> AsyncGenerator[Asker]:
    """A connection to the running company; Stop(UNAVAILABLE) when there is none."""
    address = await _nats_address(settings)
    if address is None:
        path = settings.state or default_path()
        raise Stop(Exit.UNAVAILABLE, f"no company runs in {path}: start one with `troupe dev`")
    async with Asker.open(*address, settings.root) as asker:
        yield asker


def state_folder(settings: Settings) -> StateFolder:
    """What belongs to the company of that log in the state folder."""
    return of_settings(StateFolder.open(settings.state), settings)


async def _nats_address(settings: Settings) -> tuple[str, str] | None:
    """URL and token of the running company's NATS. A company that is just starting is waited for."""
    if settings.nats_url:
        return settings.nats_url, ""
    folder = state_folder(settings)
    for _ in range(JOIN_ATTEMPTS_MAX):
        if company_pid(folder) is None:
            return None
        found = await find_servers(folder, want=("nats",))
        if found is not None:
            return found.nats_url, found.nats_token
        await anyio.sleep(JOIN_WAIT_S)
    return None


def company_pid(folder: StateFolder) -> int | None:
    """The process of the folder's company, None when it is gone. After a kill another process may have its number."""
    pid = folder.holder()
    if pid is None:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # It lives, under another user.
    return pid
