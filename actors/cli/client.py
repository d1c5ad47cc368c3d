"""How the command line asks: a connection that is not made again, and words for people.

The asking itself is actors/runtime/client.py: under one id until the Reply comes, and NoReply says that the outcome is
*unknown*.
"""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import nats
import nats.errors
from nats.aio.client import Client as Connection

from actors.cli.exits import Exit, Stop
from actors.runtime.client import ASK_S, Client, NoReply, TooBig, Unreachable
from protocol.codec import encode
from protocol.message import Command
from protocol.reply import Reply
from protocol.subjects import ROOT, Address
from protocol.trace import TraceContext

__all__ = ["Asker", "NoReply", "Unreachable"]

CONNECT_TIMEOUT_S = 5.0
SOURCE = "troupe-cli"
WHAT_NOW = (
    "Is a company running on this NATS? Start one with `troupe dev`, "
    "and look with `troupe task list` before sending again"
)

_FAILED = (nats.errors.Error, OSError, TimeoutError)


class Asker:
    """One NATS connection. Make one with `open`."""

    def __init__(self, client: Connection, root: str, company: Client) -> None:
        self._client, self._root, self._company = client, root, company

    @property
    def root(self) -> str:
        """The first token of the company's subjects."""
        return self._root

    @property
    def client(self) -> Connection:
        """The connection itself, for what is no ask."""
        return self._client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str = "", root: str = ROOT) -> "AsyncGenerator[Self]":
        """Connect to the company whose subjects begin with `root`. Unreachable when that fails within
        CONNECT_TIMEOUT_S."""
        options: dict[str, Any] = {"token": token} if token else {}
        reasons: list[Exception] = []

        async def remember(error: Exception) -> None:
            reasons[:] = [error]  # Once connected, what it would report, the failing call raises.

        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                client = await nats.connect(
                    url,
                    name=SOURCE,
                    allow_reconnect=False,
                    # Whatever the option above says, a first connection is tried again up to this often.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=math.ceil(CONNECT_TIMEOUT_S),
                    error_cb=remember,
                    **options,
                )
        except _FAILED as error:
            why = reasons[-1] if reasons else error
            said = str(why) or f"no answer within {CONNECT_TIMEOUT_S:g} s"
            raise Unreachable(f"cannot reach NATS at {_place(url)} ({type(why).__name__}: {said})") from error
        try:
            async with Client.on(client, root, SOURCE) as company:
                yield cls(client, root, company)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CONNECT_TIMEOUT_S):
                await client.close()

    async def command(self, address: Address, command: Command, timeout_s: float = ASK_S) -> Reply:
        """Send a command and wait for its Reply; NoReply after `timeout_s`, NotStored (it is Unreachable) at once,
        Stop(USAGE) for one that NATS would not take."""
        return await self.ask(address, encode(command), timeout_s)

    def new_trace(self) -> TraceContext:
        """A trace that begins here."""
        return self._company.new_trace()

    async def ask(
        self, address: Address, body: bytes, timeout_s: float = ASK_S, trace: TraceContext | None = None
    ) -> Reply:
        """The same with the body as it is, in that trace."""
        try:
            return await self._company.ask(address, body, timeout_s, trace=trace)
        except TooBig as error:
            raise Stop(Exit.USAGE, str(error)) from error
        except NoReply as error:
            raise NoReply(f"{error}. {WHAT_NOW}") from error

    async def publish(self, subject: str, body: bytes) -> None:
        """Publish without any header, and see that the server has it. Unreachable when it has not; Stop(USAGE) when it
        would not take a message of that size."""
        if len(body) > self._client.max_payload:
            raise Stop(Exit.USAGE, f"the message has {len(body)} bytes, NATS takes at most {self._client.max_payload}")
        try:
            await self._client.publish(subject, body)
            await self._client.flush(timeout=math.ceil(CONNECT_TIMEOUT_S))
        except (*_FAILED, ValueError) as error:
            raise Unreachable(f"cannot publish on {subject} ({type(error).__name__}: {error})") from error


def _place(url: str) -> str:
    """`url` without the user, password or token in it."""
    parts = urlsplit(url)
    return url.replace(f"//{parts.netloc}", f"//{parts.netloc.rpartition('@')[2]}", 1)
