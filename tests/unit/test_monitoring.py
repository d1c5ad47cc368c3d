"""Health and readiness with the world replaced: what is not ok says why, and a check that hangs is not waited for."""

import json
from collections.abc import Awaitable, Callable

import aiohttp
import anyio
import nats.errors
import pytest
from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from actors.edge.monitoring import checks
from actors.edge.monitoring.checks import Verdict, examine, leases_check, nats_check, postgres_check, views_check
from actors.edge.monitoring.ports import BadPort, port_in
from actors.edge.monitoring.readiness import ReadinessMetrics
from actors.edge.monitoring.server import Monitored, monitoring
from eventstore.memory.store import MemoryStore
from eventstore.store import StoreUnavailable
from projections import agent_board, task_board
from projections.answers import StandingRow
from projections.errors import ProjectionError
from projections.queries import Queries
from projections.view import View

VIEWS: tuple[View, ...] = (task_board.VIEW, agent_board.VIEW)


def says(reason: str) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        return reason

    return check


async def test_ready_is_when_every_check_is() -> None:
    found = await examine({"a": says(""), "b": says("")})
    assert (found.ready, found.status, list(found.checks)) == (True, "ready", ["a", "b"])
    found = await examine({"a": says(""), "b": says("gone")})
    assert (found.ready, found.status, found.checks["b"]) == (False, "not ready", Verdict(False, "gone"))


async def test_a_check_that_hangs_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECK_S_MAX", 0.05)

    async def hangs() -> str:
        await anyio.sleep_forever()
        return ""

    found = await examine({"slow": hangs, "quick": says("")})
    assert found.checks == {"slow": Verdict(False, "no answer within 0.05 s"), "quick": Verdict(True)}


class Away(MemoryStore):
    async def head(self) -> int:
        raise StoreUnavailable("nobody at home")


async def test_postgres_that_does_not_answer() -> None:
    assert await postgres_check(MemoryStore())() == ""
    assert await postgres_check(Away())() == "nobody at home"


async def test_a_client_without_connection() -> None:
    assert "not connected" in await nats_check(Client, "COMMANDS")()


async def test_a_connection_to_a_silent_server() -> None:
    class Silent(Client):
        @property
        def is_connected(self) -> bool:
            return True

        def jetstream(self, **options: float) -> "Silent":  # pyright: ignore[reportIncompatibleMethodOverride]
            return self

        async def stream_info(self, name: str) -> None:
            raise nats.errors.TimeoutError

    assert "does not answer for the stream COMMANDS" in await nats_check(Silent, "COMMANDS")()


class Standing(Queries):
    """Views that stand where they were put: name, version, events behind, seconds behind, streams left out."""

    def __init__(self, *rows: tuple[str, int, int, float, int]) -> None:
        self._rows = rows

    async def standing(self) -> list[StandingRow]:
        return [
            StandingRow(name, version, 9, lag, lag_s, quarantined, None, None, None)
            for name, version, lag, lag_s, quarantined in self._rows
        ]


class NotThere(Queries):
    def __init__(self) -> None:
        pass

    async def standing(self) -> list[StandingRow]:
        raise StoreUnavailable("nobody at home")


BOARD, AGENTS = task_board.VIEW, agent_board.VIEW


async def test_views_that_follow_lag_or_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "VIEW_LAG_EVENTS_MAX", 2)
    near = (AGENTS.name, AGENTS.version, 2, 59.0, 0)
    assert await views_check(Standing((BOARD.name, BOARD.version, 0, 0.0, 0), near), VIEWS, {})() == ""
    for events, seconds in ((3, 1.0), (1, 61.0)):
        late = await views_check(Standing((BOARD.name, BOARD.version, events, seconds, 0), near), VIEWS, {})()
        assert late == f"task_board is {events} events and {seconds:.0f} s behind, limits 2 events and 60 s"
    older = Standing((BOARD.name, BOARD.version + 1, 0, 0.0, 0), near)
    assert await views_check(older, VIEWS, {})() == "not built yet: task_board"
    stopped = {"task_board": ProjectionError("cannot fold 3")}
    assert await views_check(Standing(), VIEWS, stopped)() == "cannot fold 3"
    assert await views_check(NotThere(), VIEWS, {})() == "nobody at home"


async def test_streams_that_a_view_leaves_out_are_noted_and_make_nobody_unready() -> None:
    near = (AGENTS.name, AGENTS.version, 0, 0.0, 0)
    check = views_check(Standing((BOARD.name, BOARD.version, 0, 0.0, 3), near), VIEWS, {})
    found = await examine({"views": check})
    assert found.ready
    assert found.checks["views"] == Verdict(True, "", "task_board leaves out 3 streams")


async def test_checks_are_metrics_too() -> None:
    registry, reasons = CollectorRegistry(), {"a": "", "b": "gone"}

    async def now() -> str:
        return reasons["b"]

    ready = ReadinessMetrics(registry, {"a": says(""), "b": now})
    for reason, value in (("gone", 0), ("", 1)):
        reasons["b"] = reason
        await ready.refresh()
        assert registry.get_sample_value("troupe_check_ok", {"check": "a"}) == 1
        assert registry.get_sample_value("troupe_check_ok", {"check": "b"}) == value


async def test_leases_that_ran_out() -> None:
    class Leases:
        fresh = True

    leases = Leases()
    assert await leases_check(leases)() == ""
    leases.fresh = False
    assert "run out" in await leases_check(leases)()


def test_the_port_that_is_asked_for() -> None:
    assert port_in({}, "P") is None
    assert port_in({"P": " "}, "P") is None
    assert port_in({"P": "0"}, "P") == 0
    assert port_in({"P": " 9500 "}, "P") == 9500
    for wrong in ("-1", "65536", "http", "٣", "1.5"):
        with pytest.raises(BadPort, match="P is"):
            port_in({"P": wrong}, "P")


async def test_the_server_answers_its_three_paths_and_no_other() -> None:
    refreshed: list[None] = []

    async def refresh() -> None:
        refreshed.append(None)

    reasons = {"nats": ""}

    async def nats_now() -> str:
        return reasons["nats"]

    shown = Monitored(CollectorRegistry(), {"nats": nats_now}, refresh)
    async with monitoring(shown, 0) as url, aiohttp.ClientSession(url) as session:
        assert url.startswith("http://127.0.0.1:")
        async with session.get("/metrics") as answer:
            assert (answer.status, answer.headers["Cache-Control"], len(refreshed)) == (200, "no-store", 1)
            assert "version=0.0.4" in answer.headers["Content-Type"]
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "alive"})
        async with session.get("/readyz") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "ready")
        reasons["nats"] = "gone"
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert json.loads(await answer.read())["checks"] == {"nats": {"ok": False, "reason": "gone"}}
        for path, method in (("/", "GET"), ("/metrics", "POST"), ("/../etc/passwd", "GET")):
            async with session.request(method, path) as answer:
                assert answer.status in (404, 405)
