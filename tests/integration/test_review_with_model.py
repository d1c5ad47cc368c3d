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
from eventstore.store import Recorded
from protocol.role import ROLES, RoleDelivered, ToolAnswered
from protocol.router import CompletionFailed, CompletionGiven
from protocol.subjects import Address, command_subject
from protocol.task import TaskConcluded
from protocol.tools import ToolCalled
from tests.kit.model_server import KEY, MODELS, model_server
from tests.kit.model_wires import TOKENS_IN, TOKENS_OUT
from tests.kit.repositories import python_passing

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
    async with model_server() as server:
        server.fault("", "error", "bad_arguments")  # Everyday life: one crash, one slip of the model.
        settings = host.Settings(
            state=tmp_path / "state", advisories_url="http://127.0.0.1:9", metrics_port=0,
            provider=name, model=MODELS[0], provider_url=server.url,
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
    assert KEY not in str([event.body for event in events])
    assert KEY not in (tmp_path / "state/logs/company.log").read_text()


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
