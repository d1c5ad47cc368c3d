"""Publishes events of the log again, onto a subject of somebody's own.

- A message is one event: the body is the event's bytes as they are stored (sealed text stays sealed), the headers are
  those of the mirror, with the project in `ce-id`, so that it is unique, and the position in `Troupe-Position`.
- The company's own subjects are refused, for each event: what is published again must never be taken for a command.
- Where a stream takes the subject, only its acknowledgement counts. Elsewhere the server's word that it has read the
  message is all there is: nobody may have heard it.
- Messages go out in the order of the log, without waiting for one another, IN_FLIGHT_MAX or WINDOW_BYTES_MAX of them at
  most. `settle` returns once each of them is taken.
"""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

import anyio
import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.runtime.mirrored import IN_FLIGHT_MAX, mirrored
from actors.runtime.nats_mirror import ACK_S_MAX, REQUEST_TIMEOUT_S, WINDOW_BYTES_MAX
from actors.runtime.ports import BusUnavailable
from eventstore.store import Recorded
from protocol.subjects import ROOT, Address, BadSubject, event_subject

REPLAYS = "replay"  # `<root>.replay.>` is left for events that are published again.
SUBJECT_LENGTH_MAX = 1_024  # Characters.
SUBJECTS_KEPT_MAX = 4_096
PLACEHOLDERS = ("project", "kind", "id", "event")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[!-)+-\-/-=?-~]+")  # Printable ASCII without ".", "*" and ">".
_NO_RESPONDERS = "503"
_FAILED = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)


class NotTaken(Exception):
    """An event was not taken; the message says which, why, and what to do next."""


class _Error(msgspec.Struct):
    description: str = ""


class _Ack(msgspec.Struct):
    stream: str = ""
    error: _Error | None = None


class _Names(msgspec.Struct):
    streams: tuple[str, ...] | None = None
    error: _Error | None = None


_acks = msgspec.json.Decoder(_Ack)
_names = msgspec.json.Decoder(_Names)


class Target:
    """Where events go: a subject in which {project}, {kind}, {id} and {event} stand for the event's own."""

    def __init__(self, template: str, root: str = ROOT) -> None:
        """BadSubject for one that can be no subject, or that is the company's own."""
        self.template, self._root = template, root
        unknown = [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise BadSubject(f"the subject {template!r} has the placeholder {{{unknown[0]}}}; there are {known}")
        self._check(_PLACEHOLDER.sub("x", template))
        self._made = lru_cache(SUBJECTS_KEPT_MAX)(self._make)

    @property
    def wildcard(self) -> str:
        """Every subject it may come to."""
        return ".".join("*" if "{" in token else token for token in self.template.split("."))

    def subject_of(self, recorded: Recorded) -> str:
        """The subject of that event. BadSubject when it would be the company's own."""
        return self._made(recorded.address, recorded.type)

    def _make(self, address: Address, type_: str) -> str:
        event = event_subject(address, type_).rpartition(".")[2]
        own = {"project": address.project, "kind": address.kind, "id": address.name, "event": event}
        return self._check(_PLACEHOLDER.sub(lambda found: own[found[1]], self.template))

    def _check(self, subject: str) -> str:
        tokens = subject.split(".")
        if len(subject) > SUBJECT_LENGTH_MAX or not all(_TOKEN.fullmatch(token) for token in tokens):
            raise BadSubject(
                f"{subject!r} is no subject to publish on: use words of printable ASCII between dots, without * and >"
            )
        if tokens[0].startswith("$") or tokens[0] == "_INBOX":
            raise BadSubject(f"{subject!r} is the bus's own: events are not published there")
        ours = tokens[0] in (self._root, ROOT) or tokens[0].startswith(f"{ROOT}-")
        if ours and (len(tokens) < len((ROOT, REPLAYS, "x")) or tokens[1] != REPLAYS):
            raise BadSubject(
                f"{subject!r} is the company's own, where an event could be taken for a command or for the log itself: "
                f"use {tokens[0]}.{REPLAYS}.… or a first word of your own"
            )
        return subject


@dataclass(frozen=True, slots=True)
class Taker:
    """A stream that takes messages on these subjects. `identity` is another one when it was made anew."""

    name: str
    identity: str
    subjects: tuple[str, ...]


async def takers(client: Client, wildcard: str) -> tuple[Taker, ...]:
    """The streams that take, and acknowledge, anything published on subjects like this; by name. BusUnavailable."""
    try:
        asked = msgspec.json.encode({"subject": wildcard})
        answer = _names.decode((await client.request("$JS.API.STREAM.NAMES", asked, REQUEST_TIMEOUT_S)).data)
        found: list[Taker] = []
        for name in sorted(answer.streams or ()):
            info = await client.jetstream(timeout=REQUEST_TIMEOUT_S).stream_info(name)
            if not info.config.no_ack:
                found.append(Taker(name, f"{name} of {info.created}", tuple(info.config.subjects or ())))
        return tuple(found)
    except nats.errors.NoRespondersError:
        return ()  # A server without JetStream.
    except (*_FAILED, msgspec.DecodeError) as error:
        raise BusUnavailable(
            f"cannot ask NATS which stream takes {wildcard}: {error or type(error).__name__}"
        ) from error


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a stream's or a subscription's `pattern` means."""
    wanted, given = pattern.split("."), subject.split(".")
    for n, part in enumerate(wanted):
        if part == ">":
            return len(given) > n
        if n >= len(given) or part not in ("*", given[n]):
            return False
    return len(wanted) == len(given)


def message_headers(recorded: Recorded, root: str = ROOT) -> dict[str, str]:
    """The headers of an event that is published again."""
    headers = mirrored(recorded, root).headers
    reference = headers["ce-id"]
    return {
        **headers,
        "ce-id": f"{recorded.address.project}/{reference}",
        "ce-subject": reference,
        "Troupe-Position": str(recorded.position),
    }


class Republisher:
    """Publishes on one connection. Open with `async with Republisher.open(...)`. `acknowledged` events were taken by a
    stream, `handed` ones by the server only."""

    def __init__(self, client: Client, target: Target, takers: tuple[Taker, ...], inbox: str) -> None:
        self.target, self.takers = target, takers
        self.acknowledged = self.handed = 0
        self._client, self._inbox = client, inbox
        self._open: dict[
            int, tuple[str, int]
        ] = {}  # Subject and bytes, by position, of what waits for a stream's word.
        self._open_bytes = 0
        self._unread = 0  # Messages without a stream that the server may not have read yet.
        self._refusal: NotTaken | None = None
        self._stirred = anyio.Event()
        self._taken = lru_cache(SUBJECTS_KEPT_MAX)(self._is_taken)

    @classmethod
    @asynccontextmanager
    async def open(cls, client: Client, target: Target) -> "AsyncGenerator[Republisher]":
        """BusUnavailable."""
        made = cls(client, target, await takers(client, target.wildcard), client.new_inbox())
        try:
            subscription = await client.subscribe(f"{made._inbox}.*", cb=made._heard)
        except _FAILED as error:
            raise BusUnavailable(f"cannot subscribe to NATS: {error or type(error).__name__}") from error
        try:
            yield made
        finally:
            if client.is_connected:
                await subscription.unsubscribe()

    async def put(self, recorded: Recorded) -> None:
        """Publish an event. NotTaken, of this or an earlier one; BadSubject."""
        subject, position = self.target.subject_of(recorded), recorded.position
        await self._until(lambda: self._room)
        reply = ""
        if self._taken(subject):
            reply = f"{self._inbox}.{position}"
            self._open[position] = subject, len(recorded.body)
            self._open_bytes += len(recorded.body)
        else:
            self._unread += 1
        try:
            await self._client.publish(subject, recorded.body, reply, message_headers(recorded))
        except (*_FAILED, ValueError) as error:
            raise self._not_taken(position, subject, f"{type(error).__name__}: {error}") from error
        if self._unread >= IN_FLIGHT_MAX:
            await self._flush()

    async def settle(self) -> None:
        """Return once everything that was published is taken. NotTaken."""
        await self._until(lambda: not self._open)
        await self._flush()

    @property
    def _room(self) -> bool:
        return len(self._open) < IN_FLIGHT_MAX and self._open_bytes < WINDOW_BYTES_MAX

    def _is_taken(self, subject: str) -> bool:
        return any(matches(pattern, subject) for taker in self.takers for pattern in taker.subjects)

    async def _flush(self) -> None:
        if not self._unread:
            return
        try:
            await self._client.flush(timeout=int(ACK_S_MAX))
        except _FAILED as error:
            raise NotTaken(
                f"NATS did not say that it has what was published ({error or type(error).__name__})"
            ) from error
        self.handed, self._unread = self.handed + self._unread, 0

    async def _until(self, enough: Callable[[], bool]) -> None:
        """Wait for acknowledgements until there are enough. NotTaken."""
        while self._refusal is None and not enough():
            self._stirred = anyio.Event()
            with anyio.move_on_after(ACK_S_MAX) as waiting:
                await self._stirred.wait()
            if waiting.cancelled_caught:
                position, (subject, _) = next(iter(self._open.items()))
                raise self._not_taken(position, subject, f"no acknowledgement for {ACK_S_MAX:g} s")
        if self._refusal is not None:
            raise self._refusal

    async def _heard(self, message: Msg) -> None:
        position = int(message.subject.rpartition(".")[2])
        if position not in self._open:
            return
        why = self._refused(message)
        if not why:
            self._open_bytes -= self._open.pop(position)[1]
            self.acknowledged += 1
        elif self._refusal is None:
            self._refusal = self._not_taken(position, self._open[position][0], why)
        self._stirred.set()

    def _refused(self, message: Msg) -> str:
        """Why the message is not stored ("": it is)."""
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            return "no stream takes it any more"
        try:
            ack = _acks.decode(message.data)
        except msgspec.DecodeError as error:
            return f"the answer is no acknowledgement: {error}"
        return "" if ack.error is None else f"the stream refuses it: {ack.error.description}"

    def _not_taken(self, position: int, subject: str, why: str) -> NotTaken:
        return NotTaken(
            f"the event at position {position} was not taken on {subject}: {why}. Mend that and run it again"
        )
