"""`troupe replay --to-subject` on a real NATS and PostgreSQL: what arrives there, and where the next run goes on."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import anyio
import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import NotFoundError

from actors.cli.exits import Exit
from actors.cli.main import main
from actors.cli.replay import pages
from actors.cli.replaying.options import Onto, Which
from actors.cli.replaying.publish import publish
from actors.embedded.servers import Servers
from actors.runtime import replays
from actors.runtime.replays import Choice, Consumer, InUse, OtherChoice, forget_consumers, held
from actors.settings import Settings
from eventstore.postgres.store import PostgresStore
from eventstore.store import Append, NewEvent, Selection, StreamWrite
from protocol.subjects import Address
from tests.kit.command_line import ROOT
from tests.kit.company import PATIENCE_S
from tests.kit.servers import drop_database, fresh_database
from tests.kit.units import NOON

EVENTS = 12
KILLED_EVENTS, RATE, KILLED_AT = 240, 150, 90  # At that rate something was written down by then.


@dataclass
class Room:
    """A log of its own, and subjects that no other test uses. `word` is their first token."""

    database: str
    nats_url: str
    word: str

    @property
    def consumer(self) -> str:
        return f"c-{self.word}"

    def run(self, *arguments: str) -> int:
        return main(["replay", "--to-subject", f"{self.word}.{{kind}}.{{id}}.{{event}}", *arguments])

    def in_nats(self, work: Any) -> Any:
        """What `work` comes to with a connection."""

        async def connected() -> Any:
            client = await nats.connect(self.nats_url)
            try:
                return await work(client)
            finally:
                await client.close()

        return anyio.run(connected)

    def make_stream(self, subjects: str = ">", **options: Any) -> None:
        async def make(client: Client) -> None:
            config = StreamConfig(name=self.word, subjects=[f"{self.word}.{subjects}"], **options)
            await client.jetstream().add_stream(config)

        self.in_nats(make)

    def remove_stream(self) -> None:
        async def remove(client: Client) -> None:
            await client.jetstream().delete_stream(self.word)

        self.in_nats(remove)

    def stored(self) -> list[tuple[str, dict[str, str], bytes]]:
        """Subject, headers and body of each message in the stream."""

        async def read(client: Client) -> list[tuple[str, dict[str, str], bytes]]:
            stream = client.jetstream()
            state = (await stream.stream_info(self.word)).state
            messages = [await stream.get_msg(self.word, n) for n in range(1, state.last_seq + 1)]
            return [(str(m.subject), cast("dict[str, str]", m.headers or {}), m.data or b"") for m in messages]

        return self.in_nats(read)

    def positions(self) -> list[int]:
        return [int(headers["Troupe-Position"]) for _, headers, _ in self.stored()]

    def append(self, count: int) -> None:
        async def more() -> None:
            async with PostgresStore.open(self.database) as store:
                await fill(store, count)

        anyio.run(more)


async def fill(store: PostgresStore, count: int) -> None:
    """Events of two actors in turn, a second apart; spaces in the bytes, which must stay."""
    head, appends = await store.head(), list[Append]()
    for n in range(head + 1, head + count + 1):
        kind = "task" if n % 3 == 0 else "tools"
        body = b'{"type": "%s.noted.v1", "n":  %d}' % (kind.encode(), n)
        event = NewEvent(f"{kind}.noted.v1", body, NOON + timedelta(seconds=n), "t1", f"c{n}")
        appends.append(Append((StreamWrite(Address("demo", kind, "t1"), (event,)),), f"n{n}"))
    await store.append_all(appends)


async def filled(servers: Servers, database: str) -> Room:
    async with PostgresStore.open(database) as store:
        await fill(store, EVENTS)
    address = servers.nats_url.removeprefix("nats://")
    return Room(database, f"nats://{servers.nats_token}@{address}", f"r{secrets.token_hex(5)}")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def common(servers: Servers) -> AsyncGenerator[Room]:
    """A log that nobody writes to."""
    dsn = await fresh_database(servers)
    yield await filled(servers, dsn)
    await drop_database(servers, dsn)


@pytest_asyncio.fixture(loop_scope="session")
async def growing(servers: Servers, database: str) -> Room:
    """A log to write to."""
    return await filled(servers, database)


@pytest.fixture
def room(common: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Room]:
    yield from _entered(replace(common, word=f"r{secrets.token_hex(5)}"), monkeypatch, tmp_path)


@pytest.fixture
def own(growing: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Room]:
    yield from _entered(growing, monkeypatch, tmp_path)


def _entered(room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Room]:
    """The command line's environment points there."""
    monkeypatch.setenv("TROUPE_POSTGRES_URL", room.database)
    monkeypatch.setenv("TROUPE_NATS_URL", room.nats_url)
    monkeypatch.setenv("TROUPE_STATE", str(tmp_path / "state"))
    for name in ("TROUPE_PROJECT", "TROUPE_SCHEMA"):
        monkeypatch.delenv(name, raising=False)
    yield room

    async def remove(client: Client) -> None:
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(room.word)

    room.in_nats(remove)


def test_every_event_arrives_as_it_is_stored(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.make_stream()
    assert room.run("--json") == Exit.OK
    heard = capfd.readouterr()
    assert json.loads(heard.out) == {
        "subject": f"{room.word}.{{kind}}.{{id}}.{{event}}",
        "acknowledged": EVENTS,
        "handed": 0,
        "streams": [room.word],
        "position": EVENTS,
    }
    assert f"acknowledged by the stream {room.word}" in heard.err
    messages = room.stored()
    assert room.positions() == list(range(1, EVENTS + 1))
    subject, headers, body = messages[2]
    assert (subject, body) == (f"{room.word}.task.t1.noted-v1", b'{"type": "task.noted.v1", "n":  3}')
    assert headers["ce-id"] == "demo/task/t1@1"
    assert headers["ce-subject"] == "task/t1@1"
    assert (headers["ce-type"], headers["Troupe-Causation"]) == ("task.noted.v1", "c3")


def test_a_choice_of_events_is_published_from_the_end_as_well(room: Room) -> None:
    room.make_stream()
    assert room.run("--actor", "task/t1", "--from", "4", "--backward") == Exit.OK
    assert room.positions() == [12, 9, 6]
    assert room.run("--type", "task.noted.v1", "--type", "other.v1", "--correlation", "t1", "--to", "6") == Exit.OK
    assert room.positions()[3:] == [3, 6]
    assert room.run("--project", "nobody") == Exit.OK
    assert len(room.positions()) == 5


def test_the_next_run_goes_on_behind_what_was_acknowledged(own: Room, capfd: pytest.CaptureFixture[str]) -> None:
    own.make_stream()
    assert own.run("--consumer", own.consumer, "--to", "5") == Exit.OK
    assert "nothing is kept of the consumer" in capfd.readouterr().err
    assert own.run("--consumer", own.consumer) == Exit.OK
    assert "goes on behind position 5" in capfd.readouterr().err
    assert own.run("--consumer", own.consumer) == Exit.OK
    assert own.positions() == list(range(1, EVENTS + 1)), "nothing was left to do"
    own.append(3)
    assert own.run("--consumer", own.consumer) == Exit.OK
    assert own.positions() == list(range(1, EVENTS + 4))


def test_a_name_stands_for_one_choice(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.make_stream()
    assert room.run("--consumer", room.consumer, "--kind", "task") == Exit.OK
    capfd.readouterr()
    assert room.run("--consumer", room.consumer) == Exit.USAGE
    said = capfd.readouterr().err.splitlines()[-1]
    assert f"stands at position {EVENTS} of something else (kind task)" in said
    assert "--anew" in said
    assert room.positions() == [3, 6, 9, 12]
    assert room.run("--consumer", room.consumer, "--anew", "--from", "11") == Exit.OK
    assert room.run("--consumer", room.consumer, "--from", "11") == Exit.OK
    assert room.positions() == [3, 6, 9, 12, 11, 12]


def test_a_stream_that_was_made_anew_is_not_gone_on_with(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.make_stream()
    assert room.run("--consumer", room.consumer, "--to", "4") == Exit.OK
    room.remove_stream()
    room.make_stream()
    capfd.readouterr()
    assert room.run("--consumer", room.consumer) == Exit.USAGE
    said = capfd.readouterr().err.splitlines()[-1]
    assert "what was acknowledged may be gone" in said
    assert "with --from 5 behind that" in said
    assert room.positions() == []
    assert room.run("--consumer", room.consumer, "--anew") == Exit.OK
    assert room.positions() == list(range(1, EVENTS + 1))


async def test_where_no_stream_listens_who_is_there_hears_it(
    common: Room, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(state=tmp_path, postgres_url=common.database, nats_url=common.nats_url)
    word = f"r{secrets.token_hex(5)}"
    client = await nats.connect(common.nats_url)
    try:
        subscription = await client.subscribe(f"{word}.>")
        await client.flush()
        onto = Onto(f"{word}.x", consumer=f"c-{word}")
        assert await publish(settings, Which(), Selection(), onto, pages) == Exit.OK
        heard = [(await subscription.next_msg(PATIENCE_S)).data for _ in range(EVENTS)]
        assert await publish(settings, Which(), Selection(), onto, pages) == Exit.OK
    finally:
        await client.close()
    assert heard[0] == b'{"type": "tools.noted.v1", "n":  1}'
    said = capfd.readouterr().err
    assert "no stream takes it, so only who listens now hears it" in said
    assert f"0 acknowledged by a stream, {EVENTS} handed to the server" in said
    assert f"goes on behind position {EVENTS}" in said


def test_a_stream_that_takes_a_part_acknowledges_that_part(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.make_stream("task.>")
    assert room.run() == Exit.OK
    assert room.positions() == [3, 6, 9, 12]
    assert "4 acknowledged by a stream, 8 handed to the server" in capfd.readouterr().err


def test_an_event_that_is_not_taken_is_named_and_comes_first_next_time(
    room: Room, capfd: pytest.CaptureFixture[str]
) -> None:
    room.make_stream(max_msgs=7, discard=DiscardPolicy.NEW)
    assert room.run("--consumer", room.consumer) == Exit.UNAVAILABLE
    said = capfd.readouterr().err.splitlines()[-1]
    assert "the event at position 8 was not taken" in said
    assert "maximum messages exceeded" in said

    async def make_room(client: Client) -> None:
        stream = client.jetstream()
        config = (await stream.stream_info(room.word)).config
        await stream.update_stream(config.evolve(max_msgs=1_000))

    room.in_nats(make_room)
    assert room.run("--consumer", room.consumer) == Exit.OK
    assert sorted(set(room.positions())) == list(range(1, EVENTS + 1))


async def test_one_run_at_a_time_has_the_name(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "LEASE_TTL_S", 0.6)
    monkeypatch.setattr(replays, "RENEW_EVERY_S", 0.1)
    async with PostgresStore.open(database) as store:
        async with held(store.leases, "one"):
            with pytest.raises(InUse, match="another run has the consumer one"):
                async with held(store.leases, "one"):
                    pytest.fail("both run")
            async with held(store.leases, "two"):
                pass
        async with held(store.leases, "one"):
            pass  # It was given back.
        dead = await store.leases.take("replay/one", uuid4(), 0.3)
        async with held(store.leases, "one"):
            assert (await store.leases.take("replay/one", uuid4(), 0.3)).epoch > dead.epoch, "once its lease had ended"
        with pytest.raises(BaseExceptionGroup) as lost:
            await _frozen(store)
        assert lost.group_contains(InUse, match="has taken the consumer one")


async def _frozen(store: PostgresStore) -> None:
    """For longer than its lease, which another run has taken."""
    async with held(store.leases, "one"):
        holder = (await store.leases.take("replay/one", uuid4(), 0.3)).owner
        assert holder is not None
        await store.leases.give_back("replay/one", holder)
        await store.leases.take("replay/one", uuid4(), 30.0)
        await anyio.sleep_forever()


async def test_of_two_frozen_ones_the_bucket_believes_one(servers: Servers) -> None:
    client = await nats.connect(servers.nats_url, token=servers.nats_token)
    name, choice = f"c{secrets.token_hex(5)}", Choice("a.b")
    try:
        first = await Consumer.open(client, "troupe", name, choice)
        second = await Consumer.open(client, "troupe", name, choice)
        await first.save(3)
        with pytest.raises(InUse, match="another run has moved the consumer"):
            await second.save(2)
        await first.save(4)
        assert (await Consumer.open(client, "troupe", name, choice)).position == 4
        assert (await Consumer.open(client, "troupe", name, choice, anew=True)).position is None
    finally:
        await client.close()


async def test_a_log_that_ends_before_the_position_is_another_one(common: Room, tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, postgres_url=common.database, nats_url=common.nats_url)
    word = f"r{secrets.token_hex(5)}"
    client = await nats.connect(common.nats_url)
    try:
        ahead = await Consumer.open(client, "troupe", word, Choice(f"{word}.x"))
        await ahead.save(EVENTS + 1)
        with pytest.raises(OtherChoice, match=f"stands at position {EVENTS + 1} and the log ends at {EVENTS}"):
            await publish(settings, Which(), Selection(), Onto(f"{word}.x", consumer=word), pages)
        again = Onto(f"{word}.x", consumer=word, anew=True)
        assert await publish(settings, Which(), Selection(), again, pages) == Exit.OK
        await forget_consumers(client, f"none-{word}")
    finally:
        await client.close()


async def test_what_is_committed_later_follows(growing: Room, tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, postgres_url=growing.database, nats_url=growing.nats_url)
    onto, which = Onto(f"{growing.word}.x"), Which(follow=True, last=EVENTS + 2)
    client, heard = await nats.connect(growing.nats_url), list[int]()
    try:
        subscription = await client.subscribe(f"{growing.word}.>")
        await client.flush()
        async with PostgresStore.open(growing.database) as store, anyio.create_task_group() as group:
            group.start_soon(publish, settings, which, Selection(), onto, pages)
            with anyio.fail_after(PATIENCE_S):
                while len(heard) < EVENTS + 2:
                    message = await subscription.next_msg(PATIENCE_S)
                    heard.append(int(cast("dict[str, str]", message.headers)["Troupe-Position"]))
                    if len(heard) >= EVENTS:
                        await fill(store, 1)
    finally:
        await client.close()
    assert heard == list(range(1, EVENTS + 3))


def test_killed_in_the_middle_it_goes_on_and_leaves_nothing_out(own: Room, capfd: pytest.CaptureFixture[str]) -> None:
    """kill -9 in a process of its own, then a clean stop in another one; the third run ends it."""
    own.append(KILLED_EVENTS - EVENTS)
    own.make_stream()
    arguments = ["replay", "--to-subject", f"{own.word}.x", "--consumer", own.consumer]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for word, wanted, code in ((signal.SIGKILL, KILLED_AT, -9), (signal.SIGTERM, 2 * KILLED_AT, 130)):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.kit.replay_child", *arguments, "--rate", str(RATE)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            own.in_nats(partial(_stored, stream=own.word, wanted=wanted))
            process.send_signal(word)
            said = process.communicate(timeout=PATIENCE_S)[1]
        finally:
            process.kill()
            process.wait()
        assert process.returncode == code, said
    assert behind(said) > KILLED_AT / 2, "what was acknowledged before the kill was known"
    stopped_at = own.positions()[-1]
    capfd.readouterr()
    assert main(arguments) == Exit.OK
    assert behind(capfd.readouterr().err) == stopped_at, "a clean stop writes down all that is taken"
    positions = own.positions()
    assert list(dict.fromkeys(positions)) == list(range(1, KILLED_EVENTS + 1)), "in order, for who drops repetitions"
    assert len(positions) < 2 * KILLED_EVENTS


def behind(said: str) -> int:
    """Where a run says that it goes on."""
    return int(said.partition("goes on behind position ")[2].split()[0])


async def _stored(client: Client, stream: str, wanted: int) -> None:
    """Until the stream has so many messages."""
    with anyio.fail_after(PATIENCE_S):
        while (await client.jetstream().stream_info(stream)).state.messages < wanted:
            await anyio.sleep(0.02)  # A stream rings no bell.
