"""A running company seen from outside: its metrics agree with its log, its readiness with the truth."""

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.cli.client import Asker
from actors.edge.monitoring.ports import PORT_PREFERRED
from actors.embedded.records import read_records
from actors.host import Company, HostError, Settings, company
from eventstore.store import Recorded, Selection
from protocol.memory import Recalled
from protocol.message import tag_of
from protocol.registry import RegisterAgent
from protocol.router import CompletionGiven
from protocol.subjects import PARTITIONS, Address
from protocol.task import SubmitTask
from protocol.tools import ToolReturned
from tests.kit import repositories
from tests.kit.views import SIGNAL_S

NOWHERE = "http://127.0.0.1:9"  # No test asks a service of the world.
RUN_S_MAX = 180.0

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@asynccontextmanager
async def running(state: Path, metrics_port: int | None = 0) -> AsyncGenerator[Company]:
    async with company(Settings(state=state, advisories_url=NOWHERE, metrics_port=metrics_port)) as run:
        yield run


async def get(url: str) -> tuple[int, bytes, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read(), answer.headers["Content-Type"]


async def scrape(run: Company) -> Samples:
    status, body, content_type = await get(run.metrics_url)
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def readiness(run: Company) -> tuple[int, dict[str, Any]]:
    status, body, _ = await get(run.metrics_url.replace("/metrics", "/readyz"))
    return status, json.loads(body)


def by_label(samples: Samples, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The non-zero values of one metric, by the values of those labels."""
    return {
        tuple(dict(found)[label] for label in labels): value
        for (metric, found), value in samples.items()
        if metric == name and value
    }


async def until(happened: Callable[[dict[str, Any]], bool], run: Company) -> tuple[int, dict[str, Any]]:
    with anyio.fail_after(SIGNAL_S):
        while True:
            status, body = await readiness(run)
            if happened(body):
                return status, body
            await anyio.sleep(0.05)


async def review(run: Company, repo: Path) -> list[Recorded]:
    """Let the company review `repo`; every event of its log."""
    async with Asker.open(run.nats_url, run.nats_token) as asker:
        await asker.command(Address("default", "task", "t1"), SubmitTask("review", str(repo)))
        refused = await asker.ask(Address("default", "nosuch", "t2"), b'{"type":"task.submit.v1","title":"x"}')
        assert refused.outcome == "refused"
    with anyio.fail_after(RUN_S_MAX):
        while True:
            task = await run.queries.task("default", "t1")
            if task is not None and task.task.status in ("completed", "failed"):
                break
            await run.store.wait_beyond(await run.store.head(), 1.0)
    await run.drain()
    await at_rest(run)
    events: list[Recorded] = []
    while page := await run.store.read(len(events), selection=Selection()):
        events += page
    return events


async def at_rest(run: Company) -> None:
    """Until no send waits for its actor and no effect for its worker: nothing more can happen but by a timer."""
    with anyio.fail_after(SIGNAL_S):
        while await run.store.pool.fetchval("select exists (select from outbox) or exists (select from effects)"):
            await anyio.sleep(0.02)


async def test_the_metrics_of_a_run_are_those_of_its_log_and_every_line_is_json(tmp_path: Path) -> None:
    repo = repositories.empty_one_commit(tmp_path / "repo")
    async with running(tmp_path / "state") as run:
        before = await scrape(run)
        events = await review(run, repo)
        await run.queries.at_least(len(events))
        samples = await scrape(run)
        late = await run.store.read(len(events))
    assert not late, "the log had come to rest"
    assert by_label(before, "troupe_events_written_total", "kind") == {}

    written = by_label(samples, "troupe_events_written_total", "kind")
    assert written == {(kind,): n for kind, n in Counter(e.address.kind for e in events).items()}
    # A unit whose command came twice is sent, loses, and is sent again without it.
    assert samples[("troupe_commit_events_sum", ())] >= len(events)
    assert samples[("troupe_log_position", ())] == len(events)
    assert set(by_label(samples, "troupe_view_position", "view").values()) == {len(events)}
    assert by_label(samples, "troupe_view_lag_events", "view") == {}
    tools = [msgspec.json.decode(e.body, type=ToolReturned) for e in events if e.type == tag_of(ToolReturned)]
    assert by_label(samples, "troupe_tool_runs_total", "tool", "role", "status") == Counter(
        (returned.tool, returned.role, returned.status) for returned in tools
    )
    given = [e for e in events if e.type == tag_of(CompletionGiven)]
    answered = [msgspec.json.decode(e.body, type=CompletionGiven) for e in given]
    assert by_label(samples, "troupe_llm_requests_total", "provider", "role", "outcome") == Counter(
        ("offline", completion.role, "ok") for completion in answered
    )
    recalls = [msgspec.json.decode(e.body, type=Recalled) for e in events if e.type == tag_of(Recalled)]
    assert by_label(samples, "troupe_memory_queries_total", "outcome") == Counter(
        ("hit" if recall.memories else "miss",) for recall in recalls
    )
    for name in ("troupe_outbox_sends", "troupe_partitions_free", "troupe_commands_open", "troupe_asks_open"):
        assert samples[name, ()] == 0, name
    assert samples["troupe_workers_alive", ()] == samples["troupe_backlog_readable", ()] == 1
    assert samples[("troupe_leases_gained_total", (("outcome", "clean"),))] == PARTITIONS
    effects = by_label(samples, "troupe_effects_total", "effect", "outcome")
    assert effects == {("completion", "done"): len(given), ("tool", "done"): len(tools)}
    assert by_label(samples, "troupe_effects_running", "effect") == {}
    commands = by_label(samples, "troupe_commands_total", "kind", "outcome")
    assert commands[("task", "accepted")] == 2  # submitted and concluded
    assert commands[("unknown", "refused")] == 1
    settled = sum(count for (_, outcome), count in commands.items() if outcome != "known")
    assert samples[("troupe_command_commit_seconds_count", ())] == settled
    check_log(tmp_path / "state/logs/company.log", run, events)


def check_log(path: Path, run: Company, events: list[Recorded]) -> None:
    text = path.read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line for line in lines if not {"correlation", "event", "level", "logger", "timestamp"} <= line.keys()] == []
    ended = [line for line in lines if line["event"] == "effects.ended"]
    outcomes = [e for e in events if e.type in (tag_of(ToolReturned), tag_of(CompletionGiven))]
    assert len(ended) == len(outcomes)
    assert {line["correlation"] for line in ended} == {"t1"}
    assert all(line["actor"].startswith("default/") and line["effect"] for line in ended)
    assert {line["correlation"] for line in lines if line["event"] == "commit.refused"} == {"t2"}
    assert {line["correlation"] for line in lines if line["event"] == "host.ready"} == {""}
    assert run.nats_token not in text
    assert run.postgres_dsn not in text


async def test_a_stopped_nats_makes_the_company_unready_until_it_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as run:
        status, body = await until(lambda body: body["status"] == "ready", run)
        assert (status, set(body["checks"])) == (200, {"nats", "postgres", "views", "leases", "progress"})
        pid = read_records(run.folder)["nats"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            status, body = await until(lambda body: not body["checks"]["nats"]["ok"], run)
            assert (status, body["status"]) == (503, "not ready")
            assert body["checks"]["nats"]["reason"]
            assert body["checks"]["postgres"]["ok"]
            # It lives all the same, and says so.
            assert (await get(run.metrics_url.replace("/metrics", "/healthz")))[0] == 200
            assert ("troupe_intake_reopens_total", ()) in await scrape(run)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (await until(lambda body: body["status"] == "ready", run))[0] == 200


async def test_a_view_that_had_to_stop_makes_the_company_unready(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as run:
        await until(lambda body: body["status"] == "ready", run)
        await run.store.pool.execute("alter table event_counts rename to mislaid")
        async with Asker.open(run.nats_url, run.nats_token) as asker:
            await asker.command(Address("default", "registry", "main"), RegisterAgent("a-1", "tester", 1))
        status, body = await until(lambda body: not body["checks"]["views"]["ok"], run)
        assert status == 503
        assert "event_counts" in body["checks"]["views"]["reason"]


async def test_a_taken_port_is_replaced_unless_it_was_asked_for(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", PORT_PREFERRED))
        except OSError:
            pass  # Somebody else holds it: just as good.
        else:
            holder.listen()
        async with running(tmp_path / "state", metrics_port=None) as run:
            port = int(run.metrics_url.removesuffix("/metrics").rsplit(":", 1)[1])
            assert port != PORT_PREFERRED
            assert (await get(run.metrics_url))[0] == 200
        with pytest.raises(HostError, match=f"metrics port {PORT_PREFERRED}.*TROUPE_METRICS_PORT") as refused:
            async with running(tmp_path / "state", metrics_port=PORT_PREFERRED):
                pass
    assert refused.value.code == "unavailable"
    failed = [
        json.loads(line)
        for line in (tmp_path / "state/logs/company.log").read_text("utf-8").splitlines()
        if '"company.failed"' in line
    ]
    assert [line["logger"] for line in failed] == ["monitoring"]
    assert "PortTaken" in failed[0]["exception"]
