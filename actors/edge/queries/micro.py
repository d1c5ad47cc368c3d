"""What makes endpoints a NATS micro service: it is found, described and counted under `$SRV` (`nats micro ls`).

nats-py has one too, but its endpoints answer one request after another, so that one who waits would hold up everybody,
and they tell an asker whatever exception they broke on. Here only the discovery is kept: who serves the endpoints says
what became of each request. The messages are those of NATS' architecture decision record 32.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from protocol.envelope import INBOX_PREFIX, format_time

QUEUE_GROUP = "q"  # The name that all micro services share the work of one endpoint under.
SCHEMAS_LEFT_OUT = "too long for this server's messages"
_REPLIES = (INBOX_PREFIX, "_R_.")  # Inboxes, and what a server makes of those of another account.
_BREAKS = re.compile(r"[\r\n\t]+")
HEADER_LENGTH_MAX = 512


@dataclass(frozen=True)
class Endpoint:
    """One endpoint as it is described. `metadata` is text by name."""

    name: str
    subject: str
    metadata: Mapping[str, str]


class _Stats(msgspec.Struct):
    """The endpoint's row in STATS. Times are in nanoseconds."""

    name: str
    subject: str
    queue_group: str = QUEUE_GROUP
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    average_processing_time: int = 0
    data: None = None


class Micro:
    """One instance of a service. `name` is letters, digits, - and _; `version` a semantic version."""

    def __init__(
        self, name: str, version: str, description: str, endpoints: Sequence[Endpoint], started: datetime
    ) -> None:
        self.id = token_hex(11)
        self._identity: dict[str, Any] = {"name": name, "id": self.id, "version": version, "metadata": {}}
        self._description, self._endpoints = description, tuple(endpoints)
        self._started = format_time(started)
        self._stats = {each.name: _Stats(each.name, each.subject) for each in endpoints}

    @property
    def ping_subject(self) -> str:
        """Where this very instance answers."""
        return f"$SRV.PING.{self._identity['name']}.{self.id}"

    async def listen(self, client: Client) -> None:
        """Answer discovery on that connection for as long as it lives."""
        name = self._identity["name"]
        for verb, answer in (("PING", self._ping), ("INFO", self.info), ("STATS", self._stated)):

            async def tell(message: Msg, answer: Any = answer) -> None:
                if is_inbox(message.reply):
                    await client.publish(message.reply, answer(client.max_payload))

            for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{self.id}"):
                await client.subscribe(subject, cb=tell)

    def count(self, endpoint: str, seconds: float, error: str = "") -> None:
        """A request at that endpoint was answered; `error`: with one."""
        stats = self._stats[endpoint]
        stats.num_requests += 1
        stats.processing_time += int(seconds * 1e9)
        stats.average_processing_time = stats.processing_time // stats.num_requests
        if error:
            stats.num_errors += 1
            stats.last_error = error

    def _ping(self, _: int) -> bytes:
        return self._said("ping")

    def info(self, bytes_max: int) -> bytes:
        """What INFO says, in at most that many bytes if that is possible."""
        full = self._described({each.name: dict(each.metadata) for each in self._endpoints})
        if len(full) <= bytes_max:
            return full
        # Who looks for services must find this one also on a server that takes small messages only.
        return self._described({each.name: dict.fromkeys(each.metadata, SCHEMAS_LEFT_OUT) for each in self._endpoints})

    def _described(self, metadata: Mapping[str, Mapping[str, str]]) -> bytes:
        endpoints = [
            {"name": e.name, "subject": e.subject, "queue_group": QUEUE_GROUP, "metadata": metadata[e.name]}
            for e in self._endpoints
        ]
        return self._said("info", description=self._description, endpoints=endpoints)

    def _stated(self, _: int) -> bytes:
        return self._said("stats", started=self._started, endpoints=list(self._stats.values()))

    def _said(self, what: str, **more: Any) -> bytes:
        return msgspec.json.encode({"type": f"io.nats.micro.v1.{what}_response", **self._identity, **more})


def is_inbox(reply: str) -> bool:
    """Whether an answer may go there: who asks must not be able to have us publish on any subject they like."""
    return reply.startswith(_REPLIES)


def error_headers(code: int, message: str) -> dict[str, str]:
    """The headers of an answer that is an error."""
    said = _BREAKS.sub(" ", message).strip()[:HEADER_LENGTH_MAX]
    return {"Nats-Service-Error": said, "Nats-Service-Error-Code": str(code)}
