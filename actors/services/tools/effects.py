"""What follows from a tool call: the run as an effect, its result back to the role that asked.

`perform` is the only part that touches the world: it runs the tool, stores what it produced by content hash and answers
with references. A run killed with its worker runs again: tools are repeatable, and only a committed return counts.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

import anyio
import msgspec

from actors.runtime.blobs import keep_blob
from actors.runtime.kind import Effect, EffectCall, Kind, Performer, Reaction, Send
from actors.services.tools.catalogue import ToolSpec
from actors.services.tools.core import State, decide, evolve, initial
from eventstore.store import EventStore
from protocol import tools
from protocol.codec import encode
from protocol.envelope import format_time
from protocol.role import RecordToolResult

FACTS_MAX = 64  # Facts travel in events; the whole result is a blob.
FACT_LENGTH_MAX = 500  # Characters of a fact that is text.
SUMMARY_LENGTH_MAX = 500
CONCURRENT_MAX = 2
ATTEMPTS_MAX = 3
TIMEOUT_MARGIN_S = 30.0  # The runner ends a tool at its own limit; this only catches a runner that hangs.

RunProgram = Callable[[ToolSpec, tools.ToolInput], Awaitable[tools.ToolResult]]
RunHost = Callable[[EffectCall, tools.ToolInput], Awaitable[tools.ToolResult]]


@dataclass(frozen=True)
class Ports:
    """What the tools may reach: the blob store, the sandboxed runner, and the few tools that run with ports of the
    host."""

    store: EventStore
    catalogue: Mapping[str, ToolSpec]
    workspaces: Path
    run_program: RunProgram
    host_tools: Mapping[str, RunHost]


def react(
    catalogue: Mapping[str, ToolSpec], state: State, event: tools.ToolCalled | tools.ToolReturned
) -> tuple[Reaction, ...]:
    match event:
        case tools.ToolCalled():
            reference = f"tools/{state.task}@{state.version}"
            spec = catalogue.get(event.tool)
            work = tools.ToolWork(
                reference, event.tool, event.role, event.title, event.repo, event.args, _prior(state, spec)
            )
            return (Effect("tool", work, "repeatable"),)
        case tools.ToolReturned(call=reference):
            called = state.calls[reference].called
            answer = RecordToolResult(
                called.request,
                event.tool,
                reference,
                event.status,
                event.summary,
                event.result,
                event.facts,
                event.files,
            )
            return (Send(event.role, state.task, answer),)
        case _:
            assert_never(event)


def _prior(state: State, spec: ToolSpec | None) -> tuple[tools.PriorRef, ...]:
    """The latest result of each tool that this one builds on."""
    needs = spec.needs if spec is not None else ()
    latest = {
        call.called.tool: tools.PriorRef(call.called.tool, call.reference, call.returned.result)
        for call in state.calls.values()
        if call.returned is not None and call.returned.result and ("*" in needs or call.called.tool in needs)
    }
    return tuple(latest.values())


async def perform(ports: Ports, call: EffectCall, work: tools.ToolWork) -> tools.RecordReturn:
    """Run the tool and store what it produced."""
    started = anyio.current_time()
    spec = ports.catalogue.get(work.tool)
    if spec is None:
        known = ", ".join(sorted(ports.catalogue))
        result = tools.ToolResult("failed", f"there is no tool {work.tool!r}; the tools are {known}")
    else:
        given = await _input(ports, call, work)
        host_tool = ports.host_tools.get(work.tool)
        result = await (ports.run_program(spec, given) if host_tool is None else host_tool(call, given))
    return await _store(ports, call, work, result, round(anyio.current_time() - started, 3))


async def _input(ports: Ports, call: EffectCall, work: tools.ToolWork) -> tools.ToolInput:
    prior: dict[str, tools.Prior] = {}
    for ref in work.prior:
        content = await ports.store.blobs.get(call.address.project, ref.result)
        if content is None:
            raise LookupError(f"the result of {ref.tool} ({ref.call}) is not in the blob store: {ref.result}")
        stored = msgspec.json.decode(content, type=tools.StoredResult)
        prior[ref.tool] = tools.Prior(ref.call, await _whole(ports.store, call.address.project, stored))
    return tools.ToolInput(
        tool=work.tool,
        call=work.call,
        task=call.address.name,
        title=work.title,
        at=format_time(call.at),
        repo=work.repo,
        workspace=str(ports.workspaces / call.address.project / call.address.name),
        args=work.args,
        prior=prior,
    )


async def _whole(store: EventStore, project: str, stored: tools.StoredResult) -> tools.ToolResult:
    """The result with its files' bytes."""
    files: list[tools.ProducedFile] = []
    for ref in stored.files:
        content = await store.blobs.get(project, ref.blob)
        if content is None:
            raise LookupError(f"the file {ref.path} is not in the blob store: {ref.blob}")
        files.append(tools.ProducedFile(ref.path, ref.media_type, content))
    return tools.ToolResult(stored.status, stored.summary, stored.facts, stored.findings, tuple(files), stored.data)


async def _store(
    ports: Ports, call: EffectCall, work: tools.ToolWork, result: tools.ToolResult, seconds: float
) -> tools.RecordReturn:
    project = call.address.project
    files: list[tools.FileRef] = []
    for file in result.files:
        blob = await keep_blob(ports.store, project, file.content)
        files.append(tools.FileRef(file.path, file.media_type, blob, len(file.content)))
    summary = result.summary[:SUMMARY_LENGTH_MAX]
    stored = tools.StoredResult(result.status, summary, result.facts, result.findings, tuple(files), result.data)
    blob = await keep_blob(ports.store, project, encode(stored))
    return tools.RecordReturn(
        call=work.call,
        status=result.status,
        summary=summary,
        result=blob,
        facts={name: _short(value) for name, value in list(result.facts.items())[:FACTS_MAX]},
        files=tuple(files),
        findings=len(result.findings),
        seconds=seconds,
        sandbox=str(result.data.get("sandbox", "")),
    )


def _short(fact: tools.Fact) -> tools.Fact:
    return fact[:FACT_LENGTH_MAX] if isinstance(fact, str) else fact


def give_up(call: EffectCall, work: tools.ToolWork, error: str) -> tools.RecordReturn:
    """No attempt came to anything, or none is wanted any more: the role hears so and goes on without."""
    return tools.RecordReturn(
        work.call, "failed", f"{work.tool} did not end well (attempt {call.attempt}): {error}"[:SUMMARY_LENGTH_MAX]
    )


def kind(catalogue: Mapping[str, ToolSpec]) -> Kind[State]:
    return Kind(
        name="tools",
        commands=tools.COMMANDS,
        events=tools.EVENTS,
        retired=tools.RETIRED,
        state=State,
        initial=initial,
        decide=decide,
        evolve=evolve,
        react=partial(react, catalogue),
    )


def performer(ports: Ports) -> Performer:
    longest_s = max(spec.timeout_s for spec in ports.catalogue.values())
    return Performer(
        kind="tool",
        work=tools.ToolWork,
        perform=partial(perform, ports),
        give_up=give_up,
        concurrent_max=CONCURRENT_MAX,
        attempts_max=ATTEMPTS_MAX,
        timeout_s=longest_s + TIMEOUT_MARGIN_S,
    )
