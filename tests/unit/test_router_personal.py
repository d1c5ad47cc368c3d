"""Personal text before a provider: shown for one request, and whatever comes of it is forgotten with its subject."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from actors.services.router.effects import Ports, Role, perform
from actors.services.router.provider import Completion, ProviderError, ToolCall
from eventstore.errors import SubjectGone
from eventstore.keyring import Keyring
from eventstore.memory.store import MemoryStore
from protocol.personal import ERASED, is_sealed
from protocol.router import Added, CompletionWork, RecordAnswer, ResultAdded, StoredTurn, TextAdded
from protocol.tools import StoredResult
from tests.kit.keys import Vault, sealed
from tests.kit.units import NOON
from tests.unit.test_router_perform import CALL, TOOLS, Scripted, said

MARK, OTHER = "anna is allergic", "ben is on leave"


async def ask(
    provider: Scripted, store: MemoryStore, keyring: Keyring | None, adds: Sequence[Added], conversation: str = ""
) -> RecordAnswer:
    ports = Ports(store, provider, {"tester": Role("You test.", TOOLS)}, keyring=keyring)
    return await perform(ports, CALL, CompletionWork("tester", 1, tuple(adds), "tester@1", conversation))


async def stored(store: MemoryStore, sha256: str) -> bytes:
    content = await store.blobs.get("demo", sha256)
    assert content is not None
    return content


def quoting(text: str, **args: Any) -> Completion:
    calls = (ToolCall("c0", "tests.run", args), ToolCall("c1", "docs.check"))
    return Completion(text, calls, "scripted", "m1", 10, 2, "written by m1", 0.5)


async def test_it_is_opened_for_the_request_and_the_answer_is_sealed() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    brief = TextAdded(f"Task: greet\n- {await sealed(keyring, 'p1', MARK)}\n- {await sealed(keyring, 'p2', OTHER)}")
    provider = Scripted(quoting(f"I read: {MARK}", note=MARK))
    answer = await ask(provider, store, keyring, [brief])
    assert provider.asked[0].messages[0].text == f"Task: greet\n- {MARK}\n- {OTHER}"
    assert MARK not in repr(answer)
    (first, second) = answer.tool_calls
    assert first.args.keys() == {"sealed"}
    assert is_sealed(first.args["sealed"])
    assert second.args == {}, "what has no words needs no seal"
    assert answer.text_bytes == len(f"I read: {MARK}")
    link = await stored(store, answer.conversation)
    text = await stored(store, answer.text)
    assert MARK.encode() not in link + text
    assert await keyring.open_bytes("demo", text) == f"I read: {MARK}".encode()
    assert msgspec.json.decode(link, type=StoredTurn).adds == (brief,), "the conversation is stored unopened"

    adds = [ResultAdded("c0", "tests.run", "tools/t1@1", ""), ResultAdded("c1", "docs.check", "tools/t1@2", "")]
    provider = Scripted(said("# Report"))
    report = await ask(provider, store, keyring, adds, answer.conversation)
    _, assistant, *_ = provider.asked[0].messages
    assert (assistant.text, assistant.tool_calls[0].args) == (f"I read: {MARK}", {"note": MARK})
    await keyring.forget("demo", "p1", NOON)
    for sha256 in (answer.text, report.text):
        assert await keyring.open_bytes("demo", await stored(store, sha256)) is None
    provider = Scripted(said("# Report"))
    after = await ask(provider, store, keyring, adds, answer.conversation)
    first_message, assistant, *_ = provider.asked[0].messages
    assert first_message.text == f"Task: greet\n- {ERASED}\n- {OTHER}"
    assert (assistant.text, assistant.tool_calls[0].args) == (ERASED, {})
    await keyring.forget("demo", "p2", NOON)
    assert await keyring.open_bytes("demo", await stored(store, after.text)) is None


async def test_a_conversation_about_nobody_is_stored_as_ever() -> None:
    store = MemoryStore()
    provider = Scripted(quoting("all is well", rules=["x"]))
    answer = await ask(provider, store, Vault().keyring(store), [TextAdded("Task: greet")])
    assert await stored(store, answer.text) == b"all is well"
    assert answer.tool_calls[0].args == {"rules": ["x"]}
    assert await store.keys.listed("demo") == []


async def test_what_looks_sealed_in_a_tools_result_is_not_opened() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    token = await sealed(keyring, "p1", MARK)
    blob = await store.blobs.put("demo", msgspec.json.encode(StoredResult("ok", f"found {token}")))
    first = await ask(Scripted(quoting("")), store, keyring, [TextAdded("Task: greet")])
    provider = Scripted(said("# Report"))
    adds = [ResultAdded("c0", "tests.run", "tools/t1@1", blob), ResultAdded("c1", "docs.check", "tools/t1@2", "")]
    await ask(provider, store, keyring, adds, first.conversation)
    assert MARK not in repr(provider.asked)
    assert token in provider.asked[0].messages[2].text


@pytest.mark.parametrize("kind", ["bad_key", "unavailable"])
async def test_the_providers_words_are_not_kept_when_it_was_shown_something(kind: Any) -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    brief = TextAdded(await sealed(keyring, "p1", MARK))
    provider = Scripted(ProviderError(kind, f"scripted: {MARK} is nothing to say", 0.001))
    if kind == "unavailable":
        with pytest.raises(ProviderError) as caught:
            await ask(provider, store, keyring, [brief])
        assert MARK not in str(caught.value)
        assert caught.value.__suppress_context__
        return
    answer = await ask(provider, store, keyring, [brief])
    assert answer.error.startswith("bad_key: ")
    assert MARK not in answer.error


async def test_a_subject_forgotten_while_the_provider_thinks_makes_the_attempt_fail() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)

    class Slow(Scripted):
        async def complete(self, request: Any) -> Completion:
            await keyring.forget("demo", "p1", NOON)
            return await super().complete(request)

    brief = TextAdded(await sealed(keyring, "p1", MARK))
    with pytest.raises(SubjectGone):
        await ask(Slow(quoting(f"I read: {MARK}")), store, keyring, [brief])


async def test_what_cannot_be_opened_is_shown_sealed() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    token = await sealed(keyring, "p1", MARK)
    cut = token[:-1] + ("A" if token[-1] != "A" else "B")
    provider = Scripted(said("# Report", "tests.run"))
    await ask(provider, store, keyring, [TextAdded(f"- {cut}")])
    assert provider.asked[0].messages[0].text == f"- {cut}"
