"""Answers reads of the views on `<root>.query.<view>`, as a NATS micro service on a connection of its own.

- Every request with an inbox gets one answer: an Answer, or a Fault with the headers of a micro service's error. Only
  a request that was under way when the process was killed, or when its connection broke, gets none: its asker's own
  time-out ends it, and it may simply be asked again.
- Any number of processes share the work (one queue group). The connection comes back by itself; while PostgreSQL is
  away the answer is `unavailable`.
- Nothing grows with the askers: at most REQUESTS_MAX are under way, the next is told `busy`; an answer that one message
  could not take has fewer rows and a `next`.
- Personal text leaves as it is stored, sealed: there is no way to have it opened here.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from time import perf_counter

import anyio
import anyio.abc
import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from prometheus_client import CollectorRegistry

from actors.edge.queries.metrics import OK, QueryMetrics
from actors.edge.queries.micro import QUEUE_GROUP, Endpoint, Micro, error_headers, is_inbox
from actors.edge.queries.schemas import metadata
from actors.runtime.nats_client import RECONNECT_WAIT_S, connect
from eventstore.store import StoreUnavailable
from projections.asking import Asking, read_query
from projections.errors import BadQuery, QueryBehind, ViewMissing
from projections.listing import Listing
from projections.listings import LISTINGS, listing_of
from projections.selecting import cursor
from protocol.query import Answer, Fault, FaultCode
from protocol.subjects import query_subject

VERSION = "1.0.0"  # Of what may be asked and is answered.
REQUESTS_MAX = 256  # Under way at once, most of them waiting for a position.
REQUEST_BYTES_MAX = 64 * 1024
STOP_S = 1.0  # How long requests under way may still take when the service stops.
RETRY_AFTER_S = 1.0
LISTEN_TIMEOUT_S = 5.0  # For the server to have heard of us; after that the connection is made anew.

log = structlog.get_logger("queries")
_FAILED = (nats.errors.Error, TimeoutError, OSError)
_STATUS: dict[FaultCode, int] = {
    "unknown-view": 404, "too-big": 413, "busy": 429, "internal": 500, "missing": 503, "unavailable": 503,
    "behind": 504,
}  # fmt: skip
_BAD = 400  # All others are the asker's.
_STOPS = "this server stops: ask again, another one or its successor answers"


def service_name(root: str) -> str:
    """What the service of that installation is called in `nats micro ls`."""
    return f"{root}-query"


class QueryService:
    """The service of one process. `run` it."""

    def __init__(
        self, url: str, token: str, root: str, asking: Asking, listings: Mapping[str, Listing],
        registry: CollectorRegistry, now: datetime,
    ) -> None:  # fmt: skip
        self._url, self._token, self._root = url, token, root
        self._asking, self._listings, self._metrics = asking, listings, QueryMetrics(registry, listings.keys())
        self._under_way: set[anyio.CancelScope] = set()
        self._one_less = anyio.Event()
        self._subscription: Subscription | None = None
        endpoints = [
            Endpoint(endpoint_name(name), query_subject(name, root), metadata(listing))
            for name, listing in listings.items()
        ]
        said = "Reads of the company's views: rows of one project, by filter, time and page."
        self.micro = Micro(service_name(root), VERSION, said, endpoints, now)

    @property
    def under_way(self) -> int:
        """Requests that have no answer yet."""
        return len(self._under_way)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Serve until cancelled; started once the server has heard of it."""
        started = False
        async with anyio.create_task_group() as group:
            while True:
                gone = anyio.Event()
                try:
                    client = await self._connect(gone)
                except _FAILED as error:
                    log.warning("queries.no_connection", error=f"{type(error).__name__}: {error}")
                    await anyio.sleep(RECONNECT_WAIT_S)
                    continue
                try:
                    await self._listen(client, group)
                    if not started:
                        started = True
                        task_status.started()
                    await gone.wait()
                    log.warning("queries.closed", error=str(client.last_error))
                except _FAILED as error:
                    log.warning("queries.connection_lost", error=f"{type(error).__name__}: {error}")
                finally:
                    await self._leave(client)
                await anyio.sleep(RECONNECT_WAIT_S)

    async def _connect(self, gone: anyio.Event) -> Client:
        async def reconnected() -> None:
            log.info("queries.reconnected")

        async def disconnected() -> None:
            log.info("queries.disconnected")

        async def closed() -> None:
            gone.set()

        async def failed(error: Exception) -> None:
            log.info("queries.nats_error", error=f"{type(error).__name__}: {error}")

        return await connect(
            self._url, self._token, reconnected=reconnected, disconnected=disconnected, closed=closed, failed=failed
        )

    async def _listen(self, client: Client, group: anyio.abc.TaskGroup) -> None:
        async def heard(message: Msg) -> None:
            # In a task of its own: nats-py hands out the next message when this returns.
            group.start_soon(self._handle, client, message)

        await self.micro.listen(client)
        # One subscription for all, so that who asks for a view that is not there is told so.
        self._subscription = await client.subscribe(query_subject(">", self._root), queue=QUEUE_GROUP, cb=heard)
        # nats-py's flush overtakes subscriptions; what is asked behind them does not: answered, the server has them.
        await client.request(self.micro.ping_subject, b"", timeout=LISTEN_TIMEOUT_S)

    async def _leave(self, client: Client) -> None:
        """Take no more, have those under way answered, and hang up."""
        with anyio.CancelScope(shield=True):
            if self._subscription is not None and not client.is_closed:
                with suppress(*_FAILED):
                    await self._subscription.unsubscribe()
            await self._idle(STOP_S)
            for scope in self._under_way:
                scope.cancel()
            await self._idle(STOP_S)
            with anyio.move_on_after(STOP_S):
                await client.close()

    async def _idle(self, timeout_s: float) -> None:
        with anyio.move_on_after(timeout_s):
            while self._under_way:
                self._one_less = anyio.Event()
                await self._one_less.wait()

    async def _handle(self, client: Client, message: Msg) -> None:
        if not is_inbox(message.reply):
            return
        began = perf_counter()
        name = message.subject.removeprefix(query_subject("", self._root))
        outcome: bytes | Fault = Fault("unavailable", _STOPS, name, retry_after_s=RETRY_AFTER_S)
        scope = anyio.CancelScope()
        with anyio.CancelScope(shield=True):  # Who ends the service ends this too, but not in silence: see _leave.
            if len(self._under_way) >= REQUESTS_MAX:
                outcome = Fault("busy", f"{REQUESTS_MAX} reads are under way", name, retry_after_s=RETRY_AFTER_S)
                await self._reply(client, message.reply, name, began, outcome)
                return
            self._under_way.add(scope)
            try:
                with scope:
                    outcome = await self._outcome(name, message.data, client.max_payload)
                await self._reply(client, message.reply, name, began, outcome)
            finally:
                self._under_way.discard(scope)
                self._one_less.set()

    async def _outcome(self, name: str, body: bytes, bytes_max: int) -> bytes | Fault:
        try:
            listing = listing_of(name, self._listings)
            if len(body) > REQUEST_BYTES_MAX:
                raise BadQuery(Fault("malformed", f"a query has at most {REQUEST_BYTES_MAX} bytes", name))
            answer = await self._asking.ask(listing, read_query(body))
            return fitted(listing, answer, bytes_max)
        except BadQuery as error:
            return msgspec.structs.replace(error.fault, view=name)
        except QueryBehind as error:
            return Fault("behind", str(error), name, position=error.position, retry_after_s=RETRY_AFTER_S)
        except ViewMissing as error:
            return Fault("missing", str(error), name)
        except StoreUnavailable as error:
            return Fault("unavailable", str(error), name, retry_after_s=RETRY_AFTER_S)
        except Exception as error:  # Whatever one question breaks on, the others are answered.
            log.error("queries.broken", view=name, error=f"{type(error).__name__}: {error}", exc_info=error)
            return Fault("internal", "the server could not answer this; its log says why", name)

    async def _reply(self, client: Client, inbox: str, name: str, began: float, outcome: bytes | Fault) -> None:
        code, said, headers = OK, "", None
        if isinstance(outcome, Fault):
            code, status = outcome.code, _STATUS.get(outcome.code, _BAD)
            said, headers = f"{status}:{outcome.message}", error_headers(status, outcome.message)
        seconds = perf_counter() - began
        self._metrics.answered(name, code, seconds)
        if name in self._listings:
            self.micro.count(endpoint_name(name), seconds, said)
        try:
            body = outcome if isinstance(outcome, bytes) else msgspec.json.encode(outcome)
            await client.publish(inbox, body, headers=headers)
        except (*_FAILED, ValueError) as error:
            log.info("queries.unanswered", view=name, error=f"{type(error).__name__}: {error}")


def endpoint_name(listing: str) -> str:
    """A listing's name as NATS lets an endpoint be called."""
    return listing.replace(".", "-")


def fitted(listing: Listing, answer: Answer, bytes_max: int) -> bytes:
    """The answer in at most `bytes_max` bytes: with all its rows, or with fewer and a `next`. BadQuery when not even
    one row fits."""
    whole = msgspec.json.encode(answer)
    if len(whole) <= bytes_max:
        return whole
    kept, taken = list[msgspec.Raw](), 0
    for row in answer.rows:
        raw = msgspec.json.encode(row)
        taken += len(raw)
        if taken > bytes_max:
            break
        kept.append(msgspec.Raw(raw))
    while kept:  # What is around the rows takes room too.
        last = answer.rows[len(kept) - 1]
        fewer = Answer(answer.view, answer.position, tuple(kept), cursor(listing, last))
        if len(body := msgspec.json.encode(fewer)) <= bytes_max:
            return body
        kept.pop()
    said = f"one row of {listing.name} takes more than the {bytes_max} bytes of a message: read it with `troupe query`"
    raise BadQuery(Fault("too-big", said, listing.name, next=cursor(listing, answer.rows[0])))


@asynccontextmanager
async def queries_served(
    url: str, token: str, root: str, asking: Asking, registry: CollectorRegistry, now: datetime,
    listings: Mapping[str, Listing] = LISTINGS,
) -> AsyncGenerator[QueryService]:  # fmt: skip
    """Have the views asked over NATS inside the block; entered once that is possible."""
    service = QueryService(url, token, root, asking, listings, registry, now)
    async with anyio.create_task_group() as group:
        await group.start(service.run)
        try:
            yield service
        finally:
            group.cancel_scope.cancel()
