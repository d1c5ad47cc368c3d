"""The edge: what comes from outside leaves it sealed, refused, or as it was."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest
from msgspec import structs

from actors.runtime.mailboxes import from_message
from actors.runtime.sealing import Sealer
from actors.runtime.turn import Pending
from actors.services.memory.effects import KIND as MEMORY
from actors.services.task.effects import KIND as TASK
from eventstore.memory.store import MemoryStore
from protocol.codec import encode
from protocol.memory import PERSONAL_TEXT_LENGTH_MAX, Remember
from protocol.message import Command
from protocol.personal import ERASED, is_sealed
from protocol.subjects import Address
from protocol.task import SubmitTask
from tests.kit.counting import COUNTER, Add
from tests.kit.keys import FAR, Vault
from tests.kit.units import NOON

KINDS: dict[str, Any] = {kind.name: kind for kind in (TASK, MEMORY, COUNTER)}
MARK = "anna@example.org"


def came(
    body: bytes | Command, kind: str = "task", project: str = "demo", at: datetime = FAR, **headers: str
) -> Pending:
    content = body if isinstance(body, bytes) else encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_message(KINDS, Address(project, kind, "a1"), "c1", 1, 0, named, content, at, NOON)


def submitted(contact: str = MARK, person: str = "p1") -> Pending:
    return came(SubmitTask("greet", "", person, contact))


async def test_personal_text_goes_on_sealed_in_struct_and_bytes() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    (passed,) = await Sealer(keyring).seal([submitted()])
    command = passed.command
    assert isinstance(command, SubmitTask)
    assert passed.refusal is None
    assert is_sealed(command.contact)
    assert (command.title, command.person) == ("greet", "p1")
    assert msgspec.json.decode(passed.body, type=SubmitTask) == command
    assert await keyring.open_text("demo", command.contact) == MARK
    assert MARK not in repr(passed)


async def test_a_field_nobody_declared_is_not_kept() -> None:
    body = b'{"type":"task.submit.v1","title":"greet","contct":"anna@example.org"}'
    (passed,) = await Sealer(Vault().keyring(MemoryStore())).seal([came(body)])
    assert passed.command == SubmitTask("greet")
    assert MARK.encode() not in passed.body


async def test_the_same_again_is_sealed_alike_and_order_is_kept() -> None:
    sealer = Sealer(Vault().keyring(MemoryStore()))
    page = [submitted(), came(Add(1), "counter"), submitted("ben", "p2"), submitted(), came(b"{", "task")]
    passed = await sealer.seal(page)
    assert [pending.type for pending in passed] == [pending.type for pending in page]
    assert passed[0] == passed[3]
    assert passed[0] != passed[2]
    assert passed[0] == (await sealer.seal([submitted()]))[0]


async def test_what_is_not_personal_passes_untouched() -> None:
    store = MemoryStore()
    sealer = Sealer(Vault().keyring(store))
    for pending in (came(Add(1), "counter"), came(Remember("s", "tester", "t", "nobody's words"), "memory")):
        (passed,) = await sealer.seal([pending])
        assert passed == pending
    assert await store.keys.listed("demo") == []


@pytest.mark.parametrize(
    ("pending", "code"),
    [
        (submitted(person=""), "no-person"),
        (submitted(person="anna@example.org"), "bad-person"),
        (submitted("x" * 501), "too-long"),
        (came(Remember("s", "r", "t", MARK * 100, "p1"), "memory"), "too-long"),
        (submitted("sealed:v1:" + "0" * 32 + ":" + "A" * 60), "bad-seal"),
        (submitted("to sealed:v1:x"), "bad-seal"),
        (came(b'{"type":"task.submit.v1","title":"\\u0073ealed:v1:x anna@example.org"}'), "bad-seal"),
        (came(Add(1), "unknown"), "unknown-kind"),
        (came(b"anna@example.org"), "malformed"),
        (came(b'{"type":"task.submit.v1","title":1,"contact":"anna@example.org"}'), "malformed"),
        (came(b'{"type":"task.submit.v1","title":"x","person":"p1","contact":"anna@example.org"}',
              ce_time="nonsense"), "bad-header"),
        (came(b'{"type":"task.conclude.v1","outcome":"completed","summary":"anna@example.org"}'), "internal"),
    ],
)  # fmt: skip
async def test_what_is_refused_on_its_way_in_leaves_no_words(pending: Pending, code: str) -> None:
    store, vault = MemoryStore(), Vault()
    (passed,) = await Sealer(vault.keyring(store)).seal([pending])
    assert passed.refusal is not None
    assert passed.refusal.code == code
    assert passed.command is None
    trace = msgspec.json.decode(passed.body)
    assert trace["withheld_bytes"] == len(pending.body)
    assert trace["fingerprint"] == await vault.keyring(store).fingerprint("demo", pending.body)
    assert MARK not in repr(structs.replace(passed, address=pending.address))
    assert not [key for key in await store.keys.listed("demo") if code != "unknown"]


async def test_a_value_that_is_none_of_the_allowed_ones_is_not_quoted() -> None:
    kinds = {"task": replace(TASK, external=TASK.commands)}
    body = b'{"type":"task.conclude.v1","outcome":"anna@example.org"}'
    pending = from_message(kinds, Address("demo", "task", "a1"), "c1", 1, 0, {}, body, FAR, NOON)
    assert pending.refusal is not None
    assert MARK not in pending.refusal.message
    assert "$.outcome" in pending.refusal.message


async def test_what_was_on_its_way_when_its_subject_was_forgotten_is_erased() -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    sealer = Sealer(keyring)
    await sealer.seal([submitted()])
    done = await keyring.forget("demo", "p1", NOON)
    assert done is not None
    early = came(SubmitTask("greet", "", "p1", MARK), at=done.at)
    erased, other, later = await sealer.seal([early, submitted(person="p2"), submitted()])
    assert erased.command == SubmitTask("greet", "", "p1", ERASED)
    assert MARK.encode() not in erased.body
    for pending in (other, later):
        assert isinstance(pending.command, SubmitTask)
        assert await keyring.open_text("demo", pending.command.contact) == MARK


async def test_without_a_master_key_personal_text_is_refused_and_the_rest_goes_on() -> None:
    store = MemoryStore()
    await Vault().keyring(store).begin()
    for keyring in (None, Vault().keyring(store)):
        refused, other = await Sealer(keyring).seal([submitted(), came(Add(1), "counter")])
        assert refused.refusal is not None
        assert refused.refusal.code == "cannot-seal"
        assert MARK.encode() not in refused.body
        assert other.refusal is None


async def test_projects_have_keys_of_their_own() -> None:
    store = MemoryStore()
    sealer = Sealer(Vault().keyring(store))
    body = encode(SubmitTask("greet", "", "p1", MARK))
    ours, theirs = await sealer.seal([came(body), came(body, project="other")])
    assert isinstance(ours.command, SubmitTask)
    assert isinstance(theirs.command, SubmitTask)
    assert ours.command.contact.split(":")[2] != theirs.command.contact.split(":")[2]
    assert (len(await store.keys.listed("demo")), len(await store.keys.listed("other"))) == (1, 1)


async def test_the_longest_text_fits_as_often_as_a_recall_may_ask() -> None:
    from actors.services.memory.core import State, decide, evolve
    from eventstore.records import EVENT_BYTES_MAX
    from protocol.memory import RECALL_LIMIT_MAX, Recall

    sealer = Sealer(Vault().keyring(MemoryStore()))
    state = State()
    for n in range(RECALL_LIMIT_MAX):
        text = f"{n:04}" + "\U0001f600" * (PERSONAL_TEXT_LENGTH_MAX - 4)
        (passed,) = await sealer.seal([came(Remember("s", "r", "t", text, "p1"), "memory")])
        assert isinstance(passed.command, Remember)
        for event in decide(state, passed.command):
            state = evolve(state, event)  # type: ignore[arg-type]
    (recalled,) = decide(state, Recall("s", "r", "other", RECALL_LIMIT_MAX))
    assert len(recalled.memories) == RECALL_LIMIT_MAX  # type: ignore[attr-defined]
    assert len(encode(recalled)) < EVENT_BYTES_MAX
