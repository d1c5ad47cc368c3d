"""The keys of data subjects and the keyring on them, on both adapters."""

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from eventstore.errors import (
    KeyringError,
    StaleMasterKey,
    StoreError,
    SubjectGone,
    TamperedSeal,
    UnknownKey,
    UnknownMasterKey,
)
from eventstore.keyring import SUBJECTS_MAX, PersonalText
from eventstore.store import EventStore, NewEvent
from eventstore.subject_keys import PROJECT_ITSELF, NewSubjectKey, SubjectKey
from protocol.codec import encode
from protocol.personal import ERASED, is_sealed
from protocol.subject import SubjectForgotten
from protocol.subjects import Address
from tests.kit.keys import FAR, Vault, new_master, sealed
from tests.kit.units import NOON, actor, event

A, B = b"a" * 32, b"b" * 32


def new(id_: str, subject: bytes = A, project: str = "demo", wrapped: bytes = b"w") -> NewSubjectKey:
    return NewSubjectKey(id_, project, subject, wrapped)


def gone(id_: str) -> NewEvent:
    return NewEvent("subject.forgotten.v1", encode(SubjectForgotten(id_)), NOON, "", f"forget:{id_}")


async def test_the_first_master_key_stays_until_it_is_changed(store: EventStore) -> None:
    assert await store.keys.master() == ""
    assert await store.keys.adopt("m1") == "m1"
    assert await store.keys.adopt("m2") == "m1"
    assert await store.keys.master() == "m1"
    await store.keys.change_master("m1", "m2")
    await store.keys.change_master("m1", "m2")
    assert await store.keys.master() == "m2"
    with pytest.raises(StaleMasterKey, match="m2"):
        await store.keys.change_master("m1", "m3")
    await store.keys.change_master("m2", "m1")
    assert await store.keys.master() == "m1", "also back again"


async def test_a_subject_has_one_current_key_whoever_adds_one(store: EventStore) -> None:
    await store.keys.adopt("m1")
    found: list[SubjectKey] = []

    async def add(n: int) -> None:
        subjects = (A, B) if n % 2 else (B, A)
        found.extend(await store.keys.add("m1", [new(f"k{n}-{s[:1].decode()}", s) for s in subjects]))

    async with anyio.create_task_group() as group:
        for n in range(8):
            group.start_soon(add, n)
    assert len(found) == 16
    assert len({key.id for key in found}) == 2
    known = await store.keys.known("demo", [A, B, b"c" * 32])
    assert {subject: each.key.id for subject, each in known.items() if each.key} == {
        key.subject: key.id for key in found
    }


async def test_projects_do_not_share_keys(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("k1"), new("k2", project="other")])
    assert (await store.keys.known("demo", [A]))[A].key is not None
    assert set(await store.keys.by_id("demo", ["k1", "k2"])) == {"k1"}
    assert [key.id for key in await store.keys.listed("other")] == ["k2"]
    assert await store.keys.known("third", [A]) == {}
    assert await store.keys.forget("demo", "k2", gone("k2")) is None


async def test_nothing_is_added_under_a_master_key_that_is_not_current(store: EventStore) -> None:
    with pytest.raises(StaleMasterKey):
        await store.keys.add("m1", [new("k1")])
    await store.keys.adopt("m1")
    await store.keys.change_master("m1", "m2")
    with pytest.raises(StaleMasterKey):
        await store.keys.add("m1", [new("k1")])
    assert await store.keys.by_id("demo", ["k1"]) == {}


async def test_forgetting_destroys_the_key_and_says_so_once(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("k1"), new("k2", B)])
    await store.append(actor("x"), [event()])
    done = await store.keys.forget("demo", "k1", gone("k1"))
    assert done is not None
    assert done.position == 2
    again = await store.keys.forget("demo", "k1", gone("k1"))
    assert again == replace(done, position=0)
    assert await store.keys.forget("demo", "nobody", gone("nobody")) is None
    rows = await store.keys.by_id("demo", ["k1", "k2"])
    assert (rows["k1"].wrapped, rows["k1"].forgotten_at) == (b"", done.at)
    assert (rows["k2"].wrapped, rows["k2"].forgotten_at) == (b"w", None)
    known = (await store.keys.known("demo", [A]))[A]
    assert (known.key, known.forgotten_at) == (None, done.at)
    assert await store.head() == 2
    (said,) = await store.read_stream(Address("demo", "subject", "k1"))
    assert (said.type, said.version, said.body) == ("subject.forgotten.v1", 1, encode(SubjectForgotten("k1")))
    await store.keys.sweep()


async def test_nobody_else_can_say_that_a_subject_was_forgotten(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("k1")])
    stream = Address("demo", "subject", "k1")
    await store.append(stream, [gone("k1")])  # Before: it changes nothing.
    assert (await store.keys.by_id("demo", ["k1"]))["k1"].wrapped == b"w"
    await store.keys.forget("demo", "k1", gone("k1"))
    assert [said.version for said in await store.read_stream(stream)] == [1, 2]
    with pytest.raises(StoreError):
        await store.append(stream, [gone("k1")])


async def test_a_subject_that_comes_back_gets_a_new_key(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("k1")])
    first = await store.keys.forget("demo", "k1", gone("k1"))
    assert first is not None
    assert [key.id for key in await store.keys.add("m1", [new("k2")])] == ["k2"]
    known = (await store.keys.known("demo", [A]))[A]
    assert known.key is not None
    assert (known.key.id, known.forgotten_at) == ("k2", first.at)
    second = await store.keys.forget("demo", "k2", gone("k2"))
    assert second is not None
    assert (await store.keys.known("demo", [A]))[A].forgotten_at == max(first.at, second.at)
    assert [key.id for key in await store.keys.listed("demo")] == ["k2", "k1"]


async def test_the_projects_own_key_is_neither_listed_nor_forgotten(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("own", PROJECT_ITSELF), new("k1")])
    assert await store.keys.forget("demo", "own", gone("own")) is None
    assert [key.id for key in await store.keys.listed("demo")] == ["k1"]
    assert {key.id for key in await store.keys.wrapped_under_others("m2", 9)} == {"k1", "own"}
    assert [key.id for key in await store.keys.wrapped_under_others("m2", 9, subjects_only=True)] == ["k1"]


async def test_keys_are_rewrapped_where_they_still_are(store: EventStore) -> None:
    await store.keys.adopt("m1")
    await store.keys.add("m1", [new("k1"), new("k2", B), new("k3", b"c" * 32)])
    await store.keys.change_master("m1", "m2")
    keys = await store.keys.wrapped_under_others("m2", 9)
    assert {key.id for key in keys} == {"k1", "k2", "k3"}
    assert len(await store.keys.wrapped_under_others("m2", 2)) == 2
    await store.keys.forget("demo", "k2", gone("k2"))
    moved = [replace(key, wrapped=b"new") for key in keys]
    assert await store.keys.rewrap("m2", moved) == 2
    assert await store.keys.rewrap("m2", moved) == 0
    assert await store.keys.wrapped_under_others("m2", 9) == []
    rows = await store.keys.by_id("demo", ["k1", "k2", "k3"])
    assert [rows[id_].wrapped for id_ in ("k1", "k2", "k3")] == [b"new", b"", b"new"]
    assert rows["k1"].master == "m2"


async def test_sealed_text_opens_in_every_process_until_its_subject_is_forgotten(store: EventStore) -> None:
    vault = Vault()
    mine, theirs = vault.keyring(store), vault.keyring(store)
    token, other = await sealed(mine, "p1", "anna@example.org"), await sealed(mine, "p2", "ben@example.org")
    assert is_sealed(token)
    assert await sealed(theirs, "p1", "anna@example.org") == token
    assert await theirs.open_text("demo", f"to {token}, {other}.") == "to anna@example.org, ben@example.org."
    done = await mine.forget("demo", "p1", NOON)
    assert done is not None
    assert done.position == 1
    assert await theirs.open_text("demo", f"to {token}, {other}.") == f"to {ERASED}, ben@example.org."
    again = await theirs.forget("demo", "p1", NOON)
    assert again == replace(done, position=0)
    assert await mine.forget("demo", "p3", NOON) is None
    back = await sealed(theirs, "p1", "anna@example.org")
    assert back != token
    assert await mine.open_text("demo", f"{token} {back}") == f"{ERASED} anna@example.org"


async def test_what_came_in_before_the_forgetting_is_erased(store: EventStore) -> None:
    keyring = Vault().keyring(store)
    await sealed(keyring, "p1", "x")
    done = await keyring.forget("demo", "p1", NOON)
    assert done is not None
    late = [PersonalText("p1", "late", done.at), PersonalText("p2", "kept", done.at), PersonalText("p1", "new", FAR)]
    first, second, third = await keyring.seal("demo", late)
    assert first == ERASED
    assert isinstance(second, str)
    assert isinstance(third, str)
    assert await keyring.open_text("demo", f"{second} {third}") == "kept new"


async def test_json_is_opened_and_stays_what_it_was(store: EventStore) -> None:
    keyring = Vault().keyring(store)
    said = 'a "quoted"\nname \\ é'
    token = await sealed(keyring, "p1", said)
    document = b'{"n":1.0e5, "who": "%s", "list":["- %s;"],"raw":"\xc3\xa9\\u00e9"}' % ((token.encode(),) * 2)
    opened = await keyring.open_json("demo", document)
    quoted = encode(said)[1:-1]
    assert opened == b'{"n":1.0e5, "who": "%s", "list":["- %s;"],"raw":"\xc3\xa9\\u00e9"}' % (quoted, quoted)
    await keyring.forget("demo", "p1", NOON)
    assert ERASED.encode() in await keyring.open_json("demo", document)
    assert await keyring.open_json("demo", b'{"plain":1}') == b'{"plain":1}'


async def test_text_about_several_subjects_needs_them_all(store: EventStore) -> None:
    keyring = Vault().keyring(store)
    tokens = [await sealed(keyring, f"p{n}", "x") for n in range(3)]
    keys = (await keyring.opened("demo", tokens)).keys
    assert len(keys) == 3
    (joint,) = await keyring.seal_under("demo", keys, ["all three"])
    content = await keyring.seal_bytes("demo", keys, b"of all three")
    assert await keyring.seal_bytes("demo", (), b"of nobody") == b"of nobody"
    opened = await keyring.opened("demo", [joint])
    assert (opened.within(joint), opened.keys) == ("all three", keys)
    assert await keyring.open_bytes("demo", content) == b"of all three"
    await keyring.forget("demo", "p1", NOON)
    assert await keyring.open_text("demo", f"{joint}!") == f"{ERASED}!"
    assert await keyring.open_bytes("demo", content) is None
    assert await keyring.open_text("demo", tokens[2]) == "x"
    with pytest.raises(SubjectGone):
        await keyring.seal_under("demo", keys, ["again"])
    with pytest.raises(KeyringError, match=str(SUBJECTS_MAX)):
        await keyring.seal_under("demo", [f"{n:032x}" for n in range(SUBJECTS_MAX + 1)], ["too many"])


async def test_what_cannot_be_opened_is_never_shown_as_erased(store: EventStore) -> None:
    keyring = Vault().keyring(store)
    good = await sealed(keyring, "p1", "kept as it is")
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    foreign = await sealed(keyring, "p1", "of another project", "other")
    for text, error in ((changed, TamperedSeal), (foreign, UnknownKey), (good[:-8] + " x", TamperedSeal)):
        with pytest.raises(error):
            await keyring.open_text("demo", text)
    opened = await keyring.opened("demo", [good, changed, foreign])
    assert opened.within(f"{good} {changed} {foreign}") == f"kept as it is {changed} {foreign}"
    assert len(opened.faults) == 2
    content = await keyring.seal_bytes("demo", opened.keys, b"content")
    with pytest.raises(TamperedSeal):
        await keyring.open_bytes("demo", content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UnknownKey):
        await keyring.open_bytes("other", content)
    with pytest.raises(TamperedSeal, match="no key"):
        await keyring.open_bytes("demo", b"troupe-sealed-bytes/1 nothing\nrest")


async def test_without_its_master_key_nothing_is_sealed_read_or_forgotten_by_name(store: EventStore) -> None:
    vault = Vault()
    token = await sealed(vault.keyring(store), "p1", "kept")
    stranger = Vault().keyring(store)
    uses: list[Callable[[], object]] = [
        stranger.begin,
        lambda: stranger.seal("demo", [PersonalText("p1", "x", FAR)]),
        lambda: stranger.open_text("demo", token),
        lambda: stranger.forget("demo", "p1", NOON),
    ]
    for use in uses:
        with pytest.raises(UnknownMasterKey, match="TROUPE_MASTER_KEY"):
            await use()  # type: ignore[misc]
    (key,) = (await stranger.opened("demo", [token])).keys or {token.split(":")[2]}
    assert await stranger.forget_key("demo", key, NOON) is not None, "by the key's id it can be"
    assert await vault.keyring(store).open_text("demo", token) == ERASED


async def test_the_master_key_changes_under_a_running_process(store: EventStore) -> None:
    old, fresh = new_master(), new_master()
    vault = Vault(old)
    running = vault.keyring(store)
    tokens = [await sealed(running, f"p{n}", f"text {n}") for n in range(5)]
    await running.forget("demo", "p0", NOON)
    vault.masters = (old, fresh)
    assert await vault.keyring(store).rewrap(fresh) == 5, "four subjects and the project itself"
    assert await vault.keyring(store).rewrap(fresh) == 0
    vault.masters = (fresh,)
    tokens.append(await sealed(running, "p5", "text 5"))
    assert await running.open_text("demo", " ".join(tokens)) == f"{ERASED} text 1 text 2 text 3 text 4 text 5"
    assert await sealed(running, "p1", "text 1") == tokens[1], "the same subject, the same key"
    assert await store.keys.wrapped_under_others(fresh.id, 9) == []


async def test_a_change_of_the_master_key_that_was_cut_off_goes_on(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.keyring.REWRAP_KEYS_MAX", 2)
    old, fresh = new_master(), new_master()
    vault = Vault(old, fresh)
    keyring = vault.keyring(store)
    await keyring.begin()
    tokens = [await sealed(keyring, f"p{n}", f"text {n}") for n in range(5)]
    whole, calls = store.keys.rewrap, 0

    async def cut(master: str, keys: list[SubjectKey]) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreError("cut off")
        return await whole(master, keys)

    monkeypatch.setattr(store.keys, "rewrap", cut)
    with pytest.raises(StoreError, match="cut off"):
        await vault.keyring(store).rewrap(fresh)
    assert await vault.keyring(store).open_text("demo", tokens[0]) == "text 0", "readable in between"
    assert await vault.keyring(store).rewrap(fresh) == 4
    vault.masters = (fresh,)
    assert await vault.keyring(store).open_text("demo", " ".join(tokens)) == "text 0 text 1 text 2 text 3 text 4"


async def test_a_lost_master_key_is_given_up_with_all_that_was_under_it(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.keyring.REWRAP_KEYS_MAX", 2)
    lost = Vault().keyring(store)
    tokens = [await sealed(lost, f"p{n}", "x", project) for n in range(5) for project in ("demo", "other")]
    await lost.forget("demo", "p0", NOON)
    stranger = Vault()
    with pytest.raises(UnknownMasterKey):
        await stranger.keyring(store).begin()
    current = await store.keys.master()
    assert await store.keys.abandon(current) == 9
    with pytest.raises(StaleMasterKey):
        await store.keys.abandon("another")
    assert await store.keys.master() == current, "nothing was changed"
    assert await stranger.keyring(store).abandon(NOON) == 9
    assert await stranger.keyring(store).abandon(NOON) == 0
    assert await store.keys.master() == ""
    assert await store.head() == 10
    fresh = stranger.keyring(store)
    back = await sealed(fresh, "p1", "again")
    assert await fresh.open_text("demo", f"{tokens[0]} {tokens[2]} {back}") == f"{ERASED} {ERASED} again"
    assert await store.keys.wrapped_under_others(await store.keys.master(), 9) == []
