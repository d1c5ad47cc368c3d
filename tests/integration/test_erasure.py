"""Erasure on real servers: what a company stores of a person, what its views keep, what a crash in between leaves."""

from collections.abc import AsyncGenerator, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from nats.js.errors import NotFoundError

from actors.embedded.servers import Servers
from actors.runtime import commit, services
from actors.runtime.nats_bus import utc_now
from actors.runtime.ports import BusUnavailable
from actors.runtime.supervisor import running
from actors.services.memory.effects import KIND as MEMORY
from actors.services.task.effects import KIND as TASK
from eventstore.keyring import Keyring
from projections.personal import PERSONAL_COLUMNS
from projections.projector import Projector
from projections.queries import VIEWS, Queries
from protocol.codec import encode
from protocol.memory import Remember
from protocol.personal import ERASED, SEALED_PREFIX, is_sealed
from protocol.task import SubmitTask
from tests.kit.company import PATIENCE_S, Company, at
from tests.kit.company import company as open_company
from tests.kit.counting import WORKER
from tests.kit.keys import Vault

T1, MAIN = at("task", "t1"), at("memory", "main")
MARK, KEPT = "anna@example.org", "ben@example.org"
KINDS: dict[str, Any] = {kind.name: kind for kind in (TASK, MEMORY, WORKER, replace(WORKER, name="orchestrator"))}
SUBMIT = SubmitTask("greet", "", "p1", MARK)


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with open_company(servers, database) as company:
        yield company


class House:
    """The company with its keyring."""

    def __init__(self, office: Company) -> None:
        self.office = office
        self.vault = Vault()
        self.keyring: Keyring = self.vault.keyring(office.store)

    def runs(self, **more: Any) -> Any:
        o = self.office
        return running(o.store, o.bus, KINDS, {}, utc_now, True, keyring=self.keyring, **more)

    async def stored(self) -> str:
        """Every value of every table of the schema, bytes as they are."""
        tables = await self.office.sql("select tablename from pg_tables where schemaname = 'troupe'")
        assert {"events", "inbox", "outbox", "timers", "effects", "blobs", "subject_keys"} <= set(tables)
        texts: list[str] = []
        for table in tables:
            for row in await self.office.store.pool.fetch(f'select * from "{table}"'):
                texts += [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in row.values()]
        return "\n".join(texts)

    async def stream(self) -> list[bytes]:
        """The bodies COMMANDS still has."""
        stream = self.office.bus.client.jetstream()
        state = (await stream.stream_info(self.office.bus.stream)).state
        bodies: list[bytes] = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            with suppress(NotFoundError):  # It may be purged while we look.
                bodies.append((await stream.get_msg(self.office.bus.stream, sequence)).data or b"")
        return bodies


@pytest.fixture
def house(office: Company) -> House:
    return House(office)


async def test_no_table_ever_holds_what_is_personal(house: House) -> None:
    o = house.office
    async with house.runs():
        assert (await o.asker.ask(T1, SUBMIT, "k1")).outcome == "accepted"
        assert (await o.asker.ask(T1, SUBMIT, "k2")).outcome == "silent", "the same again under another id"
        assert (await o.asker.ask(T1, SUBMIT, "k1")).known, "the same id again"
        other = SubmitTask("greet", "", "p1", KEPT)
        assert (await o.asker.ask(T1, other)).code == "exists", "another contact is another task"
        remember = Remember("greet", "tester", "t0", f"{MARK} was glad", "p1")
        assert (await o.asker.ask(MAIN, remember)).outcome == "accepted"
        assert (await o.asker.ask(MAIN, remember)).outcome == "silent"
        for nonsense in (MARK.encode(), b'{"type":"task.submit.v1","title":1,"contact":"%s"}' % MARK.encode()):
            assert (await o.asker.ask(T1, nonsense)).code == "malformed"
        assert (await o.asker.ask(T1, SubmitTask("x", "", MARK, MARK))).code == "bad-person"
    assert MARK not in await house.stored()
    (contact,) = await o.bodies(T1, "contact")
    assert is_sealed(contact)
    assert await house.keyring.open_text("demo", contact) == MARK


async def test_a_command_that_breaks_its_actor_is_quarantined_and_buried_sealed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> Any:
        raise ZeroDivisionError("no")

    monkeypatch.setitem(KINDS, "task", replace(TASK, decide=breaks))
    o = house.office
    heard = await o.asker.listen_to(f"{o.bus.root}.dead.>")
    async with house.runs():
        assert (await o.asker.ask(T1, SUBMIT)).outcome == "quarantined"
        buried = await heard.next_msg(timeout=PATIENCE_S)
    assert SEALED_PREFIX.encode() in buried.data
    assert MARK.encode() not in buried.data
    assert MARK not in await house.stored()


async def test_after_a_forgetting_the_chain_stands_and_readers_see_erased(house: House) -> None:
    o = house.office
    async with house.runs():
        await o.asker.ask(T1, SUBMIT)
        await o.asker.ask(at("task", "t2"), SubmitTask("greet", "", "p2", KEPT))
    head = await o.store.head()
    done = await house.keyring.forget("demo", "p1", datetime.now(UTC))
    assert done is not None
    assert done.position == head + 1
    assert (await o.store.audit.verify()).broken is None
    await o.check_log()
    bodies = [event.body for event in await o.store.read(0)]
    opened = [await house.vault.keyring(o.store).open_json("demo", body) for body in bodies]
    assert [body.count(ERASED.encode()) for body in opened] == [1, 0, 0]
    assert KEPT.encode() in opened[1]
    async with house.runs():  # An actor that comes to life again after it still knows its task.
        again = await o.asker.ask(T1, SUBMIT, "k9")
        assert again.outcome == "silent"
        assert (await o.asker.ask(T1, SubmitTask("other"))).code == "exists"


async def test_a_command_on_its_way_through_a_crash_is_forgotten_with_the_rest(house: House) -> None:
    """It stands in COMMANDS while nobody runs; the subject is forgotten; then it is read."""
    o = house.office
    async with house.runs():
        await o.asker.ask(MAIN, Remember("s", "r", "t", "x", "p1"))
    await o.asker.publish(T1, SUBMIT, "late")
    await o.asker.publish(at("task", "t2"), SubmitTask("greet", "", "p2", KEPT), "late2")
    await o.asker.flush()
    await house.keyring.forget("demo", "p1", datetime.now(UTC))
    async with house.runs():
        with anyio.fail_after(PATIENCE_S):
            assert (await o.asker.heard("late")).outcome == "accepted"
            await o.asker.heard("late2")
        later = SubmitTask("greet", "", "p1", MARK)
        assert (await o.asker.ask(at("task", "t3"), later)).outcome == "accepted"
    assert await o.bodies(T1, "contact") == [ERASED]
    for task, text in (("t2", KEPT), ("t3", MARK)):
        (contact,) = await o.bodies(at("task", task), "contact")
        assert await house.keyring.open_text("demo", contact) == text
    assert MARK not in await house.stored()


async def test_the_stream_keeps_no_copy_of_what_is_settled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "ADVANCE_EVERY_S", 0.05)
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(services, "PURGE_EVERY_SWEEPS", 10_000)
    o = house.office
    async with house.runs():
        await o.asker.ask(T1, SUBMIT)
        await o.asker.ask(f"{o.bus.root}.cmd.demo.task.ä", SUBMIT)  # For nobody; still somebody's words.
        with anyio.fail_after(PATIENCE_S):
            while MARK.encode() in b"".join(await house.stream()):
                await anyio.sleep(0.02)
        assert (await o.asker.ask(T1, SUBMIT, "k2")).outcome == "silent", "and the company goes on"
        await o.quiet()
    await o.check_settled()


async def test_what_was_not_erased_before_a_crash_is_erased_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor waits for the erasure, so it is read again, known, and erased."""
    monkeypatch.setattr(commit, "ADVANCE_EVERY_S", 0.05)
    o, erase = house.office, house.office.bus.erase

    async def away(_: Collection[int]) -> None:
        raise BusUnavailable("cut off before it could erase anything")

    monkeypatch.setattr(o.bus, "erase", away)
    async with house.runs():
        await o.asker.ask(T1, SUBMIT, "k1")
    assert MARK.encode() in b"".join(await house.stream())
    monkeypatch.setattr(o.bus, "erase", erase)
    async with house.runs():
        with anyio.fail_after(PATIENCE_S):
            while MARK.encode() in b"".join(await house.stream()):
                await anyio.sleep(0.02)
    async with house.runs():
        assert (await o.asker.ask(T1, SUBMIT, "k1")).known
        assert (await o.asker.ask(at("task", "t2"), SUBMIT)).outcome == "accepted"
        await o.quiet()
    await o.check_settled()
    await o.check_log()


async def test_the_views_keep_sealed_text_in_the_declared_columns_only(house: House) -> None:
    o = house.office
    async with house.runs():
        await o.asker.ask(T1, SUBMIT)
        await o.asker.ask(MAIN, Remember("s", "r", "t", "x", "p1"))
    await Projector(o.store, o.store.pool, VIEWS).catch_up()
    holding: set[tuple[str, str]] = set()
    log_itself = {"events", "inbox", "outbox", "timers", "effects", "subject_keys"}
    for table in await o.sql("select tablename from pg_tables where schemaname = 'troupe'"):
        for row in await o.store.pool.fetch(f'select * from "{table}"'):
            holding |= {(table, column) for column, value in row.items() if SEALED_PREFIX in str(value)}
    declared = {(table, column) for table, columns in PERSONAL_COLUMNS.items() for column in columns}
    assert {each for each in holding if each[0] not in log_itself} == declared
    (row,) = await Queries(o.store, o.store.pool).tasks("demo")
    assert (row.person, is_sealed(row.contact)) == ("p1", True)


async def test_without_a_keyring_personal_commands_are_refused_and_others_go_on(office: Company) -> None:
    async with office.runs(kinds=KINDS):
        assert (await office.asker.ask(T1, SUBMIT)).code == "cannot-seal"
        assert (await office.asker.ask(T1, SubmitTask("greet"))).outcome == "accepted"
    bodies = await office.sql("select body from inbox")
    assert not [body for body in bodies if MARK.encode() in body]
    assert encode({"withheld_bytes": len(encode(SUBMIT))}) in bodies
