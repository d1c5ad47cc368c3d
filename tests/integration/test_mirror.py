"""The mirror on a real NATS: the log and nothing else, in order, whatever happens to stream, server or publisher."""

import secrets
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from uuid import uuid4

import anyio
import nats
import pytest
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from actors.embedded.servers import Servers
from actors.mirroring import MirrorSettings, log_mirrored
from actors.runtime import leading, mirror, nats_client, nats_mirror
from actors.runtime.mirror import LEASE, MirrorMetrics
from actors.runtime.mirrored import Extent, Misplaced, Trimming, mirrored
from actors.runtime.nats_bus import FORK_STREAM_BYTES_MAX, utc_now
from actors.runtime.nats_mirror import NatsEvents
from actors.runtime.ports import BusUnavailable
from eventstore.forking import Fork
from eventstore.memory.store import MemoryStore
from eventstore.postgres.store import PostgresStore
from eventstore.store import NewEvent, StoreUnavailable
from protocol.personal import ERASED, is_sealed
from protocol.subjects import event_subject
from tests.kit.company import PATIENCE_S, own_bus
from tests.kit.keys import FAR, Vault, sealed
from tests.kit.mirrors import WIDE, Mirrors, grow, whole
from tests.kit.stack import Stack
from tests.kit.units import NOON, actor, event

SEVERAL_WINDOWS = 1_250  # Events: more than are in flight at a time, and than are read at once.


@pytest.fixture
async def mirrors(servers: Servers) -> AsyncGenerator[Mirrors]:
    async with own_bus(servers) as bus:
        made = Mirrors(servers, bus.client, bus.root)
        yield made
        try:
            await bus.client.jetstream().delete_stream(made.name)
        except NotFoundError:
            return


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that end soon."""
    monkeypatch.setattr(leading, "LEASE_TTL_S", 0.6)
    monkeypatch.setattr(leading, "RENEW_EVERY_S", 0.2)


async def test_the_stream_is_the_log_event_by_event_and_grows_with_it(mirrors: Mirrors, database: str) -> None:
    async with PostgresStore.open(database) as store:
        await grow(store, SEVERAL_WINDOWS)
        metrics = MirrorMetrics()
        async with mirrors.running(mirrors.of(store, metrics)):
            await mirrors.until(SEVERAL_WINDOWS)
            follower = await mirrors.client.subscribe(f"{mirrors.root}.evt.demo.task.m2.>")
            await grow(store, 3, "m2")
            heard = await follower.next_msg(PATIENCE_S)
            assert heard.subject == f"{mirrors.root}.evt.demo.task.m2.noted-v1", "as soon as it is committed"
            messages = await mirrors.check(store)
        assert metrics.registry.get_sample_value("troupe_mirror_events_total") == SEVERAL_WINDOWS + 3
        assert metrics.registry.get_sample_value("troupe_mirror_rebuilds_total") == 1, "made once"
    last = messages[-1]
    assert last.headers["ce-id"] == "task/m2@3"
    assert last.headers["ce-source"] == "demo/task/m2"
    assert last.headers["ce-type"] == "task.noted.v1"
    assert (last.headers["Troupe-Correlation"], last.headers["Troupe-Causation"]) == ("run", "c1")
    assert datetime.fromisoformat(last.headers["ce-time"]) == NOON + timedelta(microseconds=2)


async def test_the_next_publisher_goes_on_where_the_last_one_ended(mirrors: Mirrors) -> None:
    store = MemoryStore()
    await grow(store, 5)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
    await grow(store, 5)
    metrics = MirrorMetrics()
    async with mirrors.running(mirrors.of(store, metrics)):
        await mirrors.check(store)
    assert metrics.registry.get_sample_value("troupe_mirror_events_total") == 5
    assert metrics.registry.get_sample_value("troupe_mirror_rebuilds_total") == 0


async def test_a_stream_that_was_deleted_is_made_anew(mirrors: Mirrors) -> None:
    store = MemoryStore()
    await grow(store, 7)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
        await mirrors.client.jetstream().delete_stream(mirrors.name)
        await grow(store, 2)
        await mirrors.check(store)


async def test_an_idle_mirror_notices_that_its_stream_is_gone(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LOOK_EVERY_S", 0.05)
    store = MemoryStore()
    await grow(store, 7)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
        await mirrors.client.jetstream().delete_stream(mirrors.name)
        await mirrors.check(store)


async def test_what_somebody_else_put_behind_the_last_event_is_thrown_out(mirrors: Mirrors) -> None:
    store = MemoryStore()
    await grow(store, 4)
    subject = event_subject(actor("m1"), "task.noted.v1", mirrors.root)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
        await mirrors.client.jetstream().publish(subject, b'{"n":666}')
        await grow(store, 3)
        await mirrors.check(store)
    await mirrors.client.jetstream().publish(subject, b'{"n":666}')
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)


async def test_the_mirror_of_another_log_is_made_anew(mirrors: Mirrors) -> None:
    theirs, ours = MemoryStore(), MemoryStore()
    await grow(theirs, 9)
    await grow(ours, 8)
    await ours.append(actor("m1"), [event(77)])
    async with mirrors.running(mirrors.of(theirs)):
        await mirrors.check(theirs)
    async with mirrors.running(mirrors.of(ours)):
        messages = await mirrors.check(ours)
    assert messages[-1].body == b'{"n":77}'
    shorter = MemoryStore()
    await grow(shorter, 2)
    async with mirrors.running(mirrors.of(shorter)):
        await mirrors.check(shorter)


async def test_a_restart_of_the_server_and_the_loss_of_its_disk_cost_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_mirror, "ACK_S_MAX", 0.5)
    store = MemoryStore()
    await grow(store, 600)
    client = await nats.connect(
        stack.servers.nats_url, token=stack.servers.nats_token, max_reconnect_attempts=-1, reconnect_time_wait=0.1,
        error_cb=_ignored,
    )  # fmt: skip
    mirrors = Mirrors(stack.servers, client, f"t{secrets.token_hex(5)}")
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
        stack.kill("nats")
        await grow(store, 600)
        await stack.start()
        await mirrors.check(store)
        await stack.lose_jetstream()
        await grow(store, 5)
        await mirrors.check(store)
    await client.close()


async def test_one_of_two_publishes_and_the_other_takes_over_when_it_stops(mirrors: Mirrors, quick: None) -> None:
    store, one, two = MemoryStore(), MirrorMetrics(), MirrorMetrics()
    await grow(store, 3)
    async with mirrors.running(mirrors.of(store, two)) as _:
        await mirrors.check(store)
        async with mirrors.running(mirrors.of(store, one)):
            await grow(store, 3)
            await mirrors.check(store)
            leading = [m.registry.get_sample_value("troupe_mirror_leading") for m in (one, two)]
            assert leading == [0, 1]
    assert (await store.leases.take(LEASE, uuid4(), 0.1)).epoch == 2, "it was given back, and had changed hands never"
    async with mirrors.running(mirrors.of(store, one)):
        await grow(store, 3)
        await mirrors.check(store)
    assert one.registry.get_sample_value("troupe_mirror_events_total") == 3


async def test_a_killed_publisher_is_followed_within_its_lease(mirrors: Mirrors, quick: None) -> None:
    store = MemoryStore()
    await grow(store, 3)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
    dead = uuid4()
    assert (await store.leases.take(LEASE, dead, 0.4)).owner == dead
    await grow(store, 3)
    async with mirrors.running(mirrors.of(store)):
        assert await mirrors.last() == 3, "while the lease runs nobody else publishes"
        await mirrors.check(store)
    taken = await store.leases.take(LEASE, dead, 0.1)
    assert taken.epoch > 2


async def test_two_that_both_believe_to_be_the_one_make_neither_gap_nor_repetition(mirrors: Mirrors) -> None:
    """As after a freeze: the lease keeps them apart, but nothing rests on it."""
    store = MemoryStore()
    rivals = [mirrors.of(store) for _ in range(2)]
    async with anyio.create_task_group() as group:
        for rival in rivals:
            group.start_soon(rival._serve)  # pyright: ignore[reportPrivateUsage]
        for n in range(12):
            await grow(store, 70, f"r{n}")
        await mirrors.check(store)
        group.cancel_scope.cancel()


async def test_a_log_that_was_there_before_is_mirrored_from_where_trimming_would_have_left_it(
    mirrors: Mirrors,
) -> None:
    store = MemoryStore()
    await grow(store, 500)
    narrow = Trimming(WIDE.age_s, 64 * 1024)
    async with mirrors.running(mirrors.of(store, trimming=narrow)):
        await mirrors.until(500)
        messages = await mirrors.read()
    first = messages[0].sequence
    assert [m.sequence for m in messages] == list(range(first, 501))
    assert 300 < first < 450
    assert messages[0].body == (await store.read(first - 1, 1))[0].body
    await grow(store, 500)  # Far more than is kept: what is there would be pushed out by it.
    metrics = MirrorMetrics()
    async with mirrors.running(mirrors.of(store, metrics, narrow)):
        await mirrors.until(1_000)
    published = metrics.registry.get_sample_value("troupe_mirror_events_total")
    assert published is not None
    assert published < 250


async def test_what_is_too_old_is_not_mirrored(mirrors: Mirrors) -> None:
    now = utc_now() - timedelta(days=9)
    store = MemoryStore(lambda: now)
    await grow(store, 300)
    now = utc_now()
    await grow(store, 20)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store, first=301)


async def test_settings_of_an_existing_stream_follow_ours_and_not_the_operators(mirrors: Mirrors) -> None:
    store = MemoryStore()
    await grow(store, 20)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.check(store)
    less = Trimming(3_600.0, 1024 * 1024)
    async with mirrors.running(mirrors.of(store, trimming=less)):
        await grow(store, 1)
        await mirrors.check(store)
    config = (await mirrors.client.jetstream().stream_info(mirrors.name)).config
    assert (config.max_age, config.max_bytes) == (less.age_s, less.bytes_max)
    assert config.deny_delete
    assert config.deny_purge


async def test_a_store_that_is_away_is_waited_for(mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "RETRY_S_MAX", 0.1)
    store = Faltering()
    await grow(store, 10)
    async with mirrors.running(mirrors.of(store)):
        await mirrors.until(10)
        assert store.failures == 0
        await mirrors.check(store)


async def test_what_is_sealed_stays_sealed_and_forgotten(mirrors: Mirrors) -> None:
    store = MemoryStore()
    keyring = Vault().keyring(store)
    secret = "Anna Example, 4 Example Street"
    text = await sealed(keyring, "p1", secret)
    assert is_sealed(text)
    await store.append(actor("m1"), [NewEvent("task.noted.v1", b'{"who":"%s"}' % text.encode(), NOON, "run", "c1")])
    async with mirrors.running(mirrors.of(store)):
        (message,) = await mirrors.check(store)
    assert secret.encode() not in message.body
    assert text.encode() in message.body
    assert await keyring.open_json("demo", message.body) == b'{"who":"%s"}' % secret.encode()
    assert await keyring.forget("demo", "p1", FAR) is not None
    assert ERASED.encode() in await keyring.open_json("demo", message.body), "the copy is of no use to anybody now"


async def test_a_company_has_a_mirror_unless_it_is_switched_off(mirrors: Mirrors, servers: Servers) -> None:
    store, registry = MemoryStore(), CollectorRegistry()
    await grow(store, 3)
    to = (servers.nats_url, servers.nats_token, mirrors.root)
    async with log_mirrored(store, MirrorSettings(on=False), *to, registry):
        assert await mirrors.last() == -1
    fork = Fork("f", "troupe", 0, NOON, live=False, created_at=NOON)
    async with log_mirrored(store, MirrorSettings(), *to, registry, fork):
        await mirrors.check(store)
    config = (await mirrors.client.jetstream().stream_info(mirrors.name)).config
    assert config.max_bytes == FORK_STREAM_BYTES_MAX, "there may be many forks"
    assert registry.get_sample_value("troupe_mirror_events_total") == 3


async def test_the_publisher_tells_a_wrong_place_from_a_server_that_is_away(
    mirrors: Mirrors, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_mirror, "ACK_S_MAX", 0.2)
    monkeypatch.setattr(nats_client, "CONNECT_S_MAX", 0.2)
    store = MemoryStore()
    await grow(store, 4)
    messages = [mirrored(each, mirrors.root) for each in await whole(store)]
    async with NatsEvents.open(servers.nats_url, servers.nats_token, mirrors.root, WIDE) as stream:
        assert await stream.extent() is None
        with pytest.raises(Misplaced, match="no stream"):
            await stream.put(messages)
        await stream.begin(3)
        assert await stream.extent() == Extent(3, 2)
        with pytest.raises(Misplaced):
            await stream.put(messages[:2])
        await stream.put(messages[2:])
        with pytest.raises(Misplaced):
            await stream.put(messages[2:])
        assert await stream.extent() == Extent(3, 4)
        assert await stream.likeness_at(4) == messages[3].likeness != await stream.likeness_at(3)
        assert await stream.likeness_at(5) == await stream.likeness_at(6)
        await stream.remove()
        await stream.remove()
        await stream.client.close()
        with pytest.raises(BusUnavailable):
            await stream.put(messages)
    with pytest.raises(BusUnavailable):
        async with NatsEvents.open("nats://127.0.0.1:9", "", mirrors.root, WIDE):
            pass


class Faltering(MemoryStore):
    """Away for the first reads."""

    failures = 3

    async def head(self) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the server is away")
        return await super().head()


async def _ignored(_: Exception) -> None:
    """The server is killed on purpose."""
