"""Reads over a real NATS: found and described as a micro service, answered, refused in types, alive after restarts."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import msgspec
import nats
import nats.errors
import pytest
from jsonschema import Draft202012Validator
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats
from prometheus_client import CollectorRegistry

from actors.edge.queries import service as service_module
from actors.edge.queries.service import QueryService, queries_served
from actors.embedded.servers import Servers
from eventstore.postgres.store import PostgresStore
from projections.asking import Asking
from protocol.query import Answer, Fault
from protocol.subjects import query_subject
from tests.kit.company import PATIENCE_S, fresh_root
from tests.kit.notes_view import BEGIN, LISTINGS, Notes, note, ordered, places, some_notes
from tests.kit.servers import drop_database, fresh_database
from tests.kit.stack import Stack

MIB = 1024**2


@dataclass
class Room:
    """A service with its table, and somebody who asks."""

    service: QueryService
    notes: Notes
    client: Client
    root: str
    registry: CollectorRegistry

    async def request(self, body: bytes, view: str = "notes") -> Msg:
        return await self.client.request(query_subject(view, self.root), body, timeout=PATIENCE_S)

    async def ask(self, view: str = "notes", **fields: Any) -> Answer:
        said = await self.request(msgspec.json.encode({"project": "demo"} | fields), view)
        assert said.headers is None, said.headers
        return msgspec.json.decode(said.data, type=Answer)

    async def fault(self, body: bytes | dict[str, Any], view: str = "notes") -> tuple[int, Fault]:
        asked = body if isinstance(body, bytes) else msgspec.json.encode({"project": "demo"} | body)
        said = await self.request(asked, view)
        assert said.headers is not None
        fault = msgspec.json.decode(said.data, type=Fault)
        assert "\n" not in said.headers["Nats-Service-Error"]
        assert fault.message.split()[0] in said.headers["Nats-Service-Error"]
        assert fault.view == view
        return int(said.headers["Nats-Service-Error-Code"]), fault

    async def found(self, verb: str, count: int = 1, name: str | None = None) -> list[Any]:
        """What that many instances say to a word of discovery."""
        inbox = self.client.new_inbox()
        heard = await self.client.subscribe(inbox)
        await self.client.publish(f"$SRV.{verb}.{name or service_module.service_name(self.root)}", b"", reply=inbox)
        try:
            return [json.loads((await heard.next_msg(timeout=PATIENCE_S)).data) for _ in range(count)]
        finally:
            await heard.unsubscribe()

    def counted(self, outcome: str, view: str = "notes") -> float | None:
        return self.registry.get_sample_value("troupe_queries_total", {"view": view, "outcome": outcome})


@asynccontextmanager
async def a_room(servers: Servers, dsn: str) -> AsyncGenerator[Room]:
    url, token, root, registry = servers.nats_url, servers.nats_token, fresh_root(), CollectorRegistry()
    client = await nats.connect(url, token=token)
    try:
        async with PostgresStore.open(dsn) as store:
            notes, asking = await Notes.made(store), Asking(store.pool)
            async with queries_served(url, token, root, asking, registry, BEGIN, LISTINGS) as service:
                yield Room(service, notes, client, root, registry)
    finally:
        await client.close()


Enter = Callable[[], AbstractAsyncContextManager[Room]]


@pytest.fixture
def enter(servers: Servers, database: str) -> Enter:
    return lambda: a_room(servers, database)


async def test_it_is_found_and_described(enter: Enter) -> None:
    async with enter() as room:
        (ping,) = map(ServicePing.from_dict, await room.found("PING"))
        assert (ping.name, ping.id, ping.version) == (f"{room.root}-query", room.service.micro.id, "1.0.0")
        (said,) = await room.found("INFO", name=f"{ping.name}.{ping.id}")
        info = ServiceInfo.from_dict(said)
        assert [(each.name, each.subject, each.queue_group) for each in info.endpoints] == [
            ("notes", f"{room.root}.query.notes", "q"), ("notes-days", f"{room.root}.query.notes.days", "q"),
        ]  # fmt: skip
        assert said["type"] == "io.nats.micro.v1.info_response"
        notes = info.endpoints[0].metadata
        assert all(isinstance(value, str) for value in notes.values())
        schemas = {name: json.loads(value) for name, value in notes.items()}
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)

        await room.notes.put([note(n, detail={"n": n}) for n in range(3)])
        request, response = (Draft202012Validator(schemas[f"{side}_schema"]) for side in ("request", "response"))
        asked = {"project": "demo", "where": {"status": "open"}, "limit": 2, "since": "2026-01-31T12:00:00Z"}
        request.validate(asked)
        answered = json.loads((await room.request(json.dumps(asked).encode())).data)
        response.validate(answered)
        assert [row["place"] for row in answered["rows"]] == [2, 1]
        for wrong in ({"where": {"nope": "1"}}, {"limit": 0}, {"project": 1}, {"nope": 1}):
            assert not request.is_valid(asked | wrong)
            await room.fault(json.dumps(asked | wrong).encode())
        assert not response.is_valid(answered | {"rows": [{"place": "x"}]})


async def test_every_answer_is_counted(enter: Enter) -> None:
    async with enter() as room:
        await room.notes.put([note(1)])
        await room.ask()
        await room.fault({"limit": 0})
        await room.fault({}, view="nope.nope")
        (said,) = await room.found("STATS")
        notes, days = ServiceStats.from_dict(said).endpoints
        assert (notes.num_requests, notes.num_errors, days.num_requests) == (2, 1, 0)
        assert notes.processing_time >= notes.average_processing_time > 0
        assert (notes.last_error or "").startswith("400:")
        assert (room.counted("ok"), room.counted("bad-limit"), room.counted("unknown-view", "unknown")) == (1, 1, 1)
        assert room.registry.get_sample_value("troupe_query_seconds_count", {"view": "notes"}) == 2


async def test_pages_put_together_are_the_whole(enter: Enter) -> None:
    async with enter() as room:
        there = some_notes(Random(3), 30)
        await room.notes.put(there)
        rows, after = list[Any](), ""
        while True:
            answer = await room.ask(limit=7, after=after)
            rows += answer.rows
            if not (after := answer.next):
                break
        assert [(row["task"], row["place"]) for row in rows] == places(ordered(there))


MISTAKES: tuple[tuple[Any, int, str, str], ...] = (
    (b"", 400, "malformed", "no query"),
    (b"{", 400, "malformed", "truncated"),
    (b"\xff\xfe{}", 400, "malformed", "no query"),
    (b"[1]", 400, "malformed", "object"),
    (b"{}", 400, "bad-project", "missing required field `project`"),
    (b'{"project": "demo", "filter": {}}', 400, "malformed", "unknown field `filter`"),
    (b"[" * 60_000, 400, "malformed", "no query"),
    (b'{"project": "demo", "after": "' + b"x" * 70_000 + b'"}', 400, "malformed", "bytes"),
    ({"project": "a.b"}, 400, "bad-project", "'a.b'"),
    ({"where": {"nope": "1"}}, 400, "unknown-filter", "use task, place, status"),
    ({"where": {"errors": "x"}}, 400, "bad-value", "errors='x'"),
    ({"since": "yesterday"}, 400, "bad-time", "2026-01-31T12:00:00Z"),
    ({"until": "2026-01-31T12:00:00"}, 400, "bad-time", "$.until"),
    ({"after": "x"}, 400, "bad-cursor", "`next`"),
    ({"limit": 501}, 400, "bad-limit", "500"),
    ({"timeout_s": 1e9}, 400, "malformed", "timeout_s"),
    ({"at_least": 7, "timeout_s": 0.05}, 504, "behind", "stands at 5"),
)


async def test_a_mistake_is_answered_in_types(enter: Enter) -> None:
    async with enter() as room:
        await room.notes.stand(5)
        for body, status, code, said in MISTAKES:
            answered, fault = await room.fault(body)
            assert (answered, fault.code) == (status, code), body[:80]
            assert said in fault.message
            assert fault.position == (5 if code == "behind" else None)
        assert room.counted("bad-time") == 2


async def test_a_view_that_is_not_there(enter: Enter) -> None:
    async with enter() as room:
        for view in ("nope", "notes.nope", "notes.days.more"):
            status, fault = await room.fault({}, view=view)
            assert (status, fault.code, fault.allowed) == (404, "unknown-view", ("notes", "notes.days"))
        status, fault = await room.fault({"failed": True, "where": {"status": "x"}}, view="notes.days")
        assert (status, fault.code) == (400, "unknown-filter")


async def test_what_is_too_long_for_a_message_comes_in_more_pages(enter: Enter) -> None:
    async with enter() as room:
        texts = {1: 400_000, 2: 600_000, 3: 600_000, 4: 2 * MIB, 5: 10}
        await room.notes.put(note(n, text="x" * length) for n, length in texts.items())
        found, after, skipped = list[int](), "", 0
        for _ in range(5):
            said = await room.request(msgspec.json.encode({"project": "demo", "after": after}))
            if said.headers is None:
                answer = msgspec.json.decode(said.data, type=Answer)
                found += [row["place"] for row in answer.rows]
                after = answer.next
            else:
                fault = msgspec.json.decode(said.data, type=Fault)
                assert (fault.code, said.headers["Nats-Service-Error-Code"]) == ("too-big", "413")
                skipped, after = skipped + 1, fault.next
            assert len(said.data) <= MIB
            if not after:
                break
        assert (found, skipped) == ([5, 3, 2, 1], 1)


async def test_who_waits_holds_nobody_up_and_too_many_are_told(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    async with enter() as room:
        await room.notes.put([note(1)])
        answers = list[Answer]()

        async def wait() -> None:
            answers.append(await room.ask(at_least=2, timeout_s=PATIENCE_S))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(wait)
            with anyio.fail_after(PATIENCE_S):
                while room.service.under_way < 10:
                    assert (await room.ask()).position == 1
            monkeypatch.setattr(service_module, "REQUESTS_MAX", 10)
            status, fault = await room.fault({})
            assert (status, fault.code, fault.retry_after_s > 0) == (429, "busy", True)
            await room.notes.put([note(2)])
        assert [answer.position for answer in answers] == [2] * 10
        assert (await room.ask()).position == 2


async def test_an_answer_goes_to_an_inbox_and_nowhere_else(enter: Enter) -> None:
    async with enter() as room:
        target = f"{room.root}.cmd.demo.task.t1"
        heard = await room.client.subscribe(target)
        name = service_module.service_name(room.root)
        for subject in (query_subject("notes", room.root), f"$SRV.PING.{name}", f"$SRV.INFO.{name}"):
            await room.client.publish(subject, b'{"project": "demo"}', reply=target)
            await room.client.publish(subject, b'{"project": "demo"}')
        await room.ask()
        assert heard.pending_msgs == 0


async def test_several_share_the_work(enter: Enter, servers: Servers) -> None:
    async with enter() as room:
        await room.notes.put([note(1)])
        url, token = servers.nats_url, servers.nats_token
        asking = Asking(room.notes.store.pool)
        async with queries_served(url, token, room.root, asking, CollectorRegistry(), BEGIN, LISTINGS):
            for _ in range(60):
                await room.ask()
            said = await room.found("STATS", count=2)
        counts = [each["endpoints"][0]["num_requests"] for each in said]
        assert len({each["id"] for each in said}) == 2
        assert (sum(counts), min(counts) > 0) == (60, True)


async def test_who_still_waits_when_it_stops_is_told(enter: Enter, servers: Servers) -> None:
    async with enter() as room:
        await room.notes.put([note(1)])
        root, answered = fresh_root(), list[Fault]()
        subject = query_subject("notes", root)
        asking, registry = Asking(room.notes.store.pool), CollectorRegistry()

        async def wait() -> None:
            said = await room.client.request(
                subject, b'{"project": "demo", "at_least": 9, "timeout_s": 30}', timeout=PATIENCE_S
            )
            answered.append(msgspec.json.decode(said.data, type=Fault))

        async with (
            anyio.create_task_group() as group,
            queries_served(servers.nats_url, servers.nats_token, root, asking, registry, BEGIN, LISTINGS) as service,
        ):
            group.start_soon(wait)
            with anyio.fail_after(PATIENCE_S):
                while not service.under_way:
                    await room.client.request(subject, b'{"project": "demo"}', timeout=PATIENCE_S)
        assert [(fault.code, fault.retry_after_s > 0) for fault in answered] == [("unavailable", True)]


async def test_it_outlives_its_servers_bad_hours(stack: Stack) -> None:
    dsn = await fresh_database(stack.servers)
    try:
        async with a_room(stack.servers, dsn) as room:
            await room.notes.put([note(1)])
            await room.ask()

            stack.kill("postgres")
            with anyio.fail_after(PATIENCE_S):
                while (said := await room.request(b'{"project": "demo", "timeout_s": 2}')).headers is None:
                    pass  # The killed server's sessions live on until they see that it is gone.
            fault = msgspec.json.decode(said.data, type=Fault)
            assert said.headers["Nats-Service-Error-Code"] == "503"
            assert (fault.code, fault.retry_after_s > 0) == ("unavailable", True)
            await stack.start()
            assert (await _in_the_end(room)).position == 1

            await stack.restart("nats")
            assert (await _in_the_end(room)).position == 1
            (ping,) = await room.found("PING")
            assert ping["id"] == room.service.micro.id
    finally:
        await drop_database(stack.servers, dsn)


async def _in_the_end(room: Room) -> Answer:
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                said = await room.client.request(query_subject("notes", room.root), b'{"project": "demo"}', timeout=1)
            except (nats.errors.Error, OSError, TimeoutError):
                await anyio.sleep(timedelta(milliseconds=20).total_seconds())  # A broker rings no bell when it is back.
                continue
            if said.headers is None:
                return msgspec.json.decode(said.data, type=Answer)
