"""What follows from a question: the completion as an effect, its answer back to the role.

`perform` loads the conversation from its blobs, asks the provider and stores what the turn added as one more link;
personal text is opened for the request only, and what comes of it is sealed again (personal.py). The
idempotency key travels to the provider; a completion killed with its worker may be paid twice, and only one is
recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import anyio
import msgspec

from actors.runtime.blobs import keep_blob
from actors.runtime.kind import Effect, EffectCall, Kind, Performer, Reaction, Send
from actors.services.router.core import Events, State, decide, evolve, initial
from actors.services.router.personal import Confidence, calls_of
from actors.services.router.provider import (
    ChatMessage,
    Completion,
    CompletionRequest,
    Provider,
    ProviderError,
    ToolDefinition,
)
from eventstore.keyring import Keyring
from eventstore.store import EventStore
from protocol import router
from protocol.codec import encode
from protocol.envelope import format_time
from protocol.role import RecordCompletion
from protocol.tools import StoredResult

CONCURRENT_MAX = 8
ATTEMPTS_MAX = 6
TIMEOUT_S = 720.0  # Longer than a provider takes for an answer and asks to be left alone after a refusal.
FINDINGS_SHOWN_MAX = 100  # What a model is shown of a long list; the whole is in the blob.
LINKS_MAX = 200  # Turns of one conversation.
REMINDER = "You have not called these tools yet: {tools}. Call them now; write the report when they have answered."


@dataclass(frozen=True)
class Role:
    """What the router needs to know of a role: its instructions and the tools it may call."""

    system: str
    tools: tuple[ToolDefinition, ...]


@dataclass(frozen=True)
class Ports:
    """`model` is the one to ask ("": the provider's default)."""

    store: EventStore
    provider: Provider
    roles: Mapping[str, Role]
    model: str = ""
    keyring: Keyring | None = None


def react(state: State, event: Events) -> tuple[Reaction, ...]:
    match event:
        case router.CompletionAsked(role=role, turn=turn, adds=adds, playbook=playbook):
            work = router.CompletionWork(role, turn, adds, playbook, state.sessions[role].conversation)
            return (Effect("completion", work, "repeatable"),)
        case router.CompletionGiven(role=role, turn=turn):
            answer = RecordCompletion(turn, event.tool_calls, event.text, event.text_bytes, event.label)
            return (Send(role, state.task, answer),)
        case router.CompletionFailed(role=role, turn=turn, error=error):
            return (Send(role, state.task, RecordCompletion(turn, error=error)),)
        case _:
            assert_never(event)


async def perform(ports: Ports, call: EffectCall, work: router.CompletionWork) -> router.RecordAnswer:
    """Ask the provider on. What can never succeed is an answer with an error; what may is raised and tried again.

    A provider that asks to be left alone is, for as long as it says: the place among CONCURRENT_MAX stays taken, so
    that fewer ask meanwhile.
    """
    role = ports.roles[work.role]
    links = await _links(ports.store, call.address.project, work.conversation)
    system = links[0].system if links else role.system
    messages: list[ChatMessage] = []
    for link in links:
        messages.extend([await _message(ports.store, call.address.project, added) for added in link.adds])
        messages.append(ChatMessage("assistant", link.text, calls_of(link.tool_calls)))
    messages.extend([await _message(ports.store, call.address.project, added) for added in work.adds])
    confidence = await Confidence.of(ports.keyring, call.address.project, messages)
    shown = tuple(map(confidence.shown, messages))
    request = CompletionRequest(
        work.role, ports.model, system, shown, role.tools, call.correlation,
        idempotency_key=_idempotency_key(call), trace=call.trace,
    )  # fmt: skip
    asked_at = anyio.current_time()
    try:
        completion = await _complete(ports.provider, request)
    except ProviderError as said:
        seconds = _seconds_since(asked_at)
        error = confidence.without_words(said)
        if error.kind == "unavailable":
            await anyio.sleep(error.retry_after_s)
            raise error from None
        return _failed(ports, work, f"{error.kind}: {error.message}", seconds)
    seconds = _seconds_since(asked_at)
    answered, requests = await confidence.kept(completion)
    link = router.StoredTurn(work.adds, work.conversation, "" if links else system, answered, requests)
    conversation = await keep_blob(ports.store, call.address.project, encode(link))
    said = completion.text.encode()
    kept = await confidence.kept_bytes(said) if said else b""
    text = await keep_blob(ports.store, call.address.project, kept) if kept else ""
    if kept == said:  # What had to be sealed is shown to nobody.
        for line in said.splitlines(keepends=True):
            call.tap.emit(line)
    return router.RecordAnswer(
        work.role, work.turn, conversation, requests, text, len(said), completion.provider,
        completion.model, completion.tokens_in, completion.tokens_out, completion.label,
        cost_micros=round((completion.cost_usd or 0.0) * 1e6), priced=completion.cost_usd is not None, seconds=seconds,
    )  # fmt: skip


def _idempotency_key(call: EffectCall) -> str:
    """The same for every attempt at an effect, and for no other: keys of effects are unique in their project only, and
    a new log may have the same ones again."""
    return f"{call.address.project}/{call.key}/{format_time(call.at)}"


async def _complete(provider: Provider, request: CompletionRequest) -> Completion:
    """The next turn. A model that reports before it has called all its tools is reminded of them, once a turn."""
    first = await provider.complete(request)
    called = {call.tool for message in request.messages for call in message.tool_calls}
    left = [tool.name for tool in request.tools if tool.name not in called]
    if first.tool_calls or not left:
        return first
    said = (ChatMessage("assistant", first.text), ChatMessage("user", REMINDER.format(tools=", ".join(left))))
    key = request.idempotency_key and f"{request.idempotency_key}:reminded"
    second = await provider.complete(
        msgspec.structs.replace(request, messages=(*request.messages, *said), idempotency_key=key)
    )
    # Who still has nothing to call stands by the report.
    priced = first.cost_usd is not None and second.cost_usd is not None
    return msgspec.structs.replace(
        second if second.tool_calls else first,
        tokens_in=first.tokens_in + second.tokens_in,
        tokens_out=first.tokens_out + second.tokens_out,
        cost_usd=(first.cost_usd or 0.0) + (second.cost_usd or 0.0) if priced else None,
    )


async def _links(store: EventStore, project: str, last: str) -> list[router.StoredTurn]:
    """The conversation's turns, first to last."""
    links: list[router.StoredTurn] = []
    while last:
        if len(links) >= LINKS_MAX:
            raise LookupError(f"the conversation that ends in blob {last} has more than {LINKS_MAX} turns")
        content = await store.blobs.get(project, last)
        if content is None:
            raise LookupError(f"a turn of the conversation is not in the blob store: {last}")
        link = msgspec.json.decode(content, type=router.StoredTurn)
        links.append(link)
        last = link.previous
    return links[::-1]


async def _message(store: EventStore, project: str, added: router.Added) -> ChatMessage:
    match added:
        case router.TextAdded(text=text):
            return ChatMessage("user", text)
        case router.ResultAdded(request=request, tool=tool, call=reference, result=blob, summary=summary):
            content = await store.blobs.get(project, blob) if blob else None
            shown: dict[str, object] = {"call": reference, "tool": tool}
            if content is None:
                shown |= {"status": "failed", "summary": summary or "the tool left no result"}
            else:
                result = msgspec.json.decode(content, type=StoredResult)
                shown |= {
                    "status": result.status,
                    "summary": result.summary,
                    "facts": result.facts,
                    "findings": result.findings[:FINDINGS_SHOWN_MAX],
                    "findings_total": len(result.findings),
                    "files": [file.path for file in result.files],
                }
            return ChatMessage("tool", encode(shown).decode(), call_id=request)
        case _:
            assert_never(added)


def give_up(ports: Ports, call: EffectCall, work: router.CompletionWork, error: str) -> router.RecordAnswer:
    """How long the attempts took is not known here."""
    return _failed(ports, work, f"no completion (attempt {call.attempt}): {error}")


def _failed(ports: Ports, work: router.CompletionWork, error: str, seconds: float = 0.0) -> router.RecordAnswer:
    return router.RecordAnswer(
        work.role, work.turn, provider=ports.provider.name, model=ports.model, error=error, seconds=seconds
    )


def _seconds_since(started: float) -> float:
    """To the microsecond."""
    return round(anyio.current_time() - started, 6)


def performer(ports: Ports) -> Performer:
    return Performer(
        kind="completion",
        work=router.CompletionWork,
        perform=partial(perform, ports),
        give_up=partial(give_up, ports),
        concurrent_max=CONCURRENT_MAX,
        attempts_max=ATTEMPTS_MAX,
        timeout_s=TIMEOUT_S,
    )


KIND = Kind(
    name="router",
    commands=router.COMMANDS,
    events=router.EVENTS,
    retired=router.RETIRED,
    state=State,
    initial=initial,
    decide=decide,
    evolve=evolve,
    react=react,
)
