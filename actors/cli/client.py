"""Asks over NATS, as any program would: publish a command, wait for the Reply on an inbox named in a header.

A command is published again under the same id until its Reply comes, since a publish may be lost on the way; the
company refuses what it knows. No Reply by the deadline means that the outcome is *unknown*: NoReply says so.
"""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import msgspec
import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.cli.exits import Exit, Stop
from actors.cli.ids import new_id
from protocol.codec import encode
from protocol.envelope import Envelope, format_time, to_headers
from protocol.message import Command, tag_of
from protocol.reply import Reply
from protocol.subjects import ROOT, Address, command_subject

CONNECT_TIMEOUT_S = 5.0
ASK_TIMEOUT_S = 15.0
RESEND_S = 3.0  # A commit takes milliseconds; after this long the message or the company is lost, not slow.
SOURCE = "troupe-cli"

_FAILED = (nats.errors.Error, OSError, TimeoutError)


class Unreachable(Exception):
    """NATS cannot be reached; the message says where and why."""


class NoReply(Exception):
    """Nobody answered in time. Whether the command was, or will be, carried out is unknown."""


class Asker:
    """One NATS connection. Make one with `open`."""

    def __init__(self, client: Client, root: str = ROOT) -> None:
        self._client, self._root = client, root

    @property
    def root(self) -> str:
        """The first token of the company's subjects."""
        return self._root

    @property
    def client(self) -> Client:
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
            yield cls(client, root)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CONNECT_TIMEOUT_S):
                await client.close()

    async def command(self, address: Address, command: Command, timeout_s: float = ASK_TIMEOUT_S) -> Reply:
        """Send a command and wait for its Reply; NoReply after `timeout_s`."""
        return await self.ask(address, encode(command), tag_of(command), timeout_s)

    async def ask(self, address: Address, body: bytes, type_: str = "", timeout_s: float = ASK_TIMEOUT_S) -> Reply:
        """The same with the body as it is."""
        now = datetime.now(UTC)
        inbox = self._client.new_inbox()
        envelope = Envelope(
            id=new_id(),
            time=format_time(now),
            source=SOURCE,
            reply_to=inbox,
            deadline=format_time(now + timedelta(seconds=timeout_s)),
        )
        headers = to_headers(envelope, type_, str(address))
        refusals: list[str] = []  # What the stream said when it stored the command, "" when it did.
        try:
            replies = await self._client.subscribe(inbox, max_msgs=1)
            stored = await self._client.subscribe(self._client.new_inbox(), cb=_noting(refusals))
            with anyio.move_on_after(timeout_s):
                while True:
                    await self._client.publish(command_subject(address, self._root), body, stored.subject, headers)
                    try:
                        answer = await replies.next_msg(timeout=RESEND_S)
                    except nats.errors.TimeoutError:
                        continue
                    return msgspec.json.decode(answer.data, type=Reply)
        except _FAILED as error:
            raise NoReply(
                f"the connection broke before {address} answered ({error}): its outcome is unknown"
            ) from error
        raise NoReply(_silence(address, timeout_s, refusals))

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


class _AckError(msgspec.Struct):
    description: str = ""


class _Ack(msgspec.Struct):
    error: _AckError | None = None


def _noting(refusals: list[str]) -> Callable[[Msg], Awaitable[None]]:
    """Hears how the stream took each publish: nothing rests on its word, but it tells one silence from another."""

    async def note(message: Msg) -> None:
        try:
            error = msgspec.json.decode(message.data, type=_Ack).error
        except msgspec.DecodeError:
            refusals.append("no stream takes it; is a company running on this NATS? Start one with `troupe dev`")
            return
        refusals.append("" if error is None else error.description or "it did not say why")

    return note


def _silence(address: Address, timeout_s: float, refusals: list[str]) -> str:
    if refusals and all(refusals):
        return f"NATS did not store the command for {address}, so it was not accepted: {refusals[-1]}"
    heard = "" if refusals else ", nor a word from NATS that it stored the command (is its disk full?)"
    return (
        f"no answer from {address} within {timeout_s:g} s{heard}: its outcome is unknown. Is a company running on this "
        "NATS? Start one with `troupe dev`, and look with `troupe task list` before sending again"
    )


def _place(url: str) -> str:
    """`url` without the user, password or token in it."""
    parts = urlsplit(url)
    return url.replace(f"//{parts.netloc}", f"//{parts.netloc.rpartition('@')[2]}", 1)
