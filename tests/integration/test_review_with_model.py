"""The whole company reviews a repository with a model: every role asks, calls its tools, asks again and delivers.

Real NATS, real PostgreSQL, our own HTTP adapters, and a model on this machine that speaks both wire formats.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
import nats
import pytest

from actors import host
from actors.services.router.offline import OfflineProvider, Script
from actors.services.router.provider import Completion, CompletionRequest, Provider, ToolCall
from actors.services.router.select import Choice
from actors.services.tools.catalogue import CATALOGUE
from eventstore.store import Recorded
from projections import model_performance, tool_runs
from projections.fold import folded
from projections.model_performance import PERFORMANCE, Performance
from protocol.message import tag_of
from protocol.role import ROLES, RoleDelivered, ToolAnswered
from protocol.router import CompletionFailed, CompletionGiven
from protocol.subjects import Address, command_subject
from protocol.task import TaskConcluded
from protocol.tools import ToolCalled
from protocol.trace import parse, trace_id
from tests.kit.model_server import KEY, MODELS, ModelServer, model_server
from tests.kit.model_wires import TOKENS_IN, TOKENS_OUT
from tests.kit.repositories import python_passing
from tests.kit.spans import Collected, chains, collector

T = TypeVar("T", bound=msgspec.Struct)
TASK = "review-1"
RUN_S_MAX = 120.0


async def review(settings: host.Settings, repo: Path) -> tuple[list[Recorded], dict[str, str]]:
    """Every event of one review, and the first file of each role's delivery as text."""
    async with host.company(settings) as company:
        client = await nats.connect(company.nats_url, token=company.nats_token)
        command = {"type": "task.submit.v1", "title": "review this repository for release", "repo": str(repo)}
        subject = command_subject(Address(settings.project, "task", TASK))
        await client.publish(subject, json.dumps(command).encode())
        await client.close()
        events: list[Recorded] = []
        position = 0
        with anyio.fail_after(RUN_S_MAX):
            while not any(event.type == "task.concluded.v1" for event in events):
                await company.store.wait_beyond(position, 5.0)
                new = await company.store.read(position)
                position = new[-1].position if new else position
                events += [event for event in new if event.correlation == TASK]
        reports: dict[str, str] = {}
        for event in events:
            if event.type == "role.delivered.v1" and (files := decoded(event, RoleDelivered).files):
                content = await company.store.blobs.get(settings.project, files[0].blob)
                reports[event.address.kind] = (content or b"").decode()
    return events, reports


def decoded(event: Recorded, type_: type[T]) -> T:
    return msgspec.json.decode(event.body, type=type_)


def all_of(events: list[Recorded], type_: type[T]) -> list[T]:
    tag = type_.__struct_config__.tag
    return [decoded(event, type_) for event in events if event.type == tag]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return python_passing(tmp_path / "parcels")


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_thirteen_roles_work_with_a_model(
    name: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY" if name == "openai" else "ANTHROPIC_API_KEY", KEY)
    async with model_server() as server, collector() as spans:
        server.fault("", "error", "bad_arguments")  # Everyday life: one crash, one slip of the model.
        settings = host.Settings(
            state=tmp_path / "state", advisories_url="http://127.0.0.1:9", metrics_port=0,
            provider=name, model=MODELS[0], provider_url=server.url, otlp_url=f"{spans.url}/v1/traces",
        )  # fmt: skip
        events, reports = await review(settings, repo)
    delivered = {
        event.address.kind: decoded(event, RoleDelivered) for event in events if event.type == "role.delivered.v1"
    }
    assert set(delivered) == set(ROLES)
    assert {role: each.outcome for role, each in delivered.items()} == dict.fromkeys(ROLES, "completed")
    label = f"written by the model {MODELS[0]} of the provider {name}"
    assert {each.label for each in delivered.values()} == {label}
    assert all(label in report and "[tools/" in report for report in reports.values())
    (concluded,) = all_of(events, TaskConcluded)
    assert concluded.outcome == "completed"
    assert concluded.verdict, "the playbook's rules were applied, though the model never named one"
    given = all_of(events, CompletionGiven)
    assert {(each.provider, each.model) for each in given} == {(name, MODELS[0])}
    assert sum(each.tokens_in for each in given) == (len(given) + 1) * TOKENS_IN, "the slip was paid as well"
    assert sum(each.tokens_out for each in given) == (len(given) + 1) * TOKENS_OUT
    assert not any(each.priced for each in given), "nobody knows what a model on this machine costs"
    assert len(given) == len(server.asked) - 2
    assert all_of(events, CompletionFailed) == []
    check_figures(events, given)
    check_spans(spans.spans, server, settings.project, name)
    assert KEY not in str([event.body for event in events])
    assert KEY not in (tmp_path / "state/logs/company.log").read_text()


def check_figures(events: list[Recorded], given: list[CompletionGiven]) -> None:
    """What the views make of the run: every completion was measured, every role delivered, every tool returned."""
    days = [row for row in folded(model_performance.VIEW, events)[PERFORMANCE].values() if isinstance(row, Performance)]
    assert {row.model for row in days} == {MODELS[0]}
    assert sum(row.completions for row in days) == sum(row.measured for row in days) == len(given)
    assert sum(row.delivered for row in days) == sum(row.deliveries for row in days) == len(ROLES)
    assert sum(row.tool_calls for row in days) == sum(len(each.tool_calls) for each in given)
    runs = [
        row for row in folded(tool_runs.VIEW, events)[tool_runs.RUNS].values() if isinstance(row, tool_runs.ToolRun)
    ]
    assert {row.call for row in runs} == {event.reference for event in events if event.type == tag_of(ToolCalled)}
    assert not any(row.status == tool_runs.RUNNING or row.called_at is None for row in runs)


def check_spans(spans: list[Collected], server: ModelServer, project: str, name: str) -> None:
    """What a collector was told: the whole task as one trace, each completion and each run of a tool in it, and not a
    word of what was said."""
    of_task = [span for span in spans if span.trace_id == trace_id(project, TASK)]
    roots = [span.name for span in of_task if not span.parent]
    assert roots == [f"process troupe.cmd.{project}.task.{{id}}"]
    assert [wrong for wrong in chains(of_task) if not wrong.startswith(roots[0])] == []
    chats = {span.span_id: span for span in of_task if span.name == f"chat {MODELS[0]}"}
    assert {found.span_id for asked, _ in server.traces if (found := parse(asked))} == chats.keys()
    assert {span.attributes["gen_ai.provider.name"] for span in chats.values()} == {name}
    answered = [span for span in chats.values() if not span.failed]
    assert len(chats) - len(answered) == 1, "the server's crash"
    asked = len(server.asked) - 1
    assert sum(span.attributes["gen_ai.usage.input_tokens"] for span in answered) == asked * TOKENS_IN
    ran = {span.attributes["gen_ai.tool.name"] for span in of_task if span.name.startswith("execute_tool ")}
    assert ran
    assert ran <= CATALOGUE.keys()
    for word in ("review this repository", KEY, "parcels"):
        assert word not in str(spans)


class Meddler:
    """The offline provider, but the tester first reaches for a tool of the developer's."""

    name = "meddler"

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._offline = OfflineProvider(scripts)

    async def complete(self, request: CompletionRequest) -> Completion:
        if request.role != "tester" or any(message.role == "tool" for message in request.messages):
            straight = tuple(m for m in request.messages if m.call_id != "meddle")
            return await self._offline.complete(msgspec.structs.replace(request, messages=straight))
        return Completion("", (ToolCall("meddle", "lint.fix"),), self.name, "m", 0, 0, "written by a meddler")


async def test_a_role_cannot_reach_for_another_roles_tool(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def opened(_: Choice, __: Mapping[str, str], scripts: Mapping[str, Script]) -> AsyncGenerator[Provider]:
        yield Meddler(scripts)

    monkeypatch.setattr(host, "open_provider", opened)
    settings = host.Settings(state=tmp_path / "state", advisories_url="http://127.0.0.1:9", metrics_port=0)
    events, _ = await review(settings, repo)
    assert {each.role for each in all_of(events, ToolCalled) if each.tool == "lint.fix"} == {"developer"}
    (refused,) = [each for each in all_of(events, ToolAnswered) if each.request == "meddle"]
    assert "tester has no tool 'lint.fix'" in refused.summary
    assert all_of(events, TaskConcluded)[0].verdict, "the company goes on"
