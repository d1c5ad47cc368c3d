"""The bus on a real NATS: what is promised of the road, also when the server dies."""

import secrets
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime

import anyio
import pytest
from nats.js.errors import APIError

from actors.embedded.servers import Servers
from actors.runtime.nats_bus import NatsBus
from actors.runtime.ports import BusUnavailable, CommandFeed, FeedLost, StoredMessage
from protocol.envelope import from_headers
from protocol.subjects import Address, command_subject, dead_subject, parse_stored_subject, partition_of
from tests.kit.company import PATIENCE_S, fresh_root, own_bus
from tests.kit.stack import Stack

T1 = Address("demo", "task", "t1")


@pytest.fixture
async def bus(servers: Servers) -> AsyncGenerator[NatsBus]:
    async with own_bus(servers) as opened:
        yield opened


async def put(bus: NatsBus, body: bytes = b"{}", to: Address = T1, **headers: str) -> int:
    """Publish and see it stored; its sequence."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    stream = bus.client.jetstream()
    return (await stream.publish(command_subject(to, bus.root), body, headers=named or None)).seq


async def read(feed: CommandFeed, count: int) -> list[StoredMessage]:
    messages: list[StoredMessage] = []
    with anyio.fail_after(PATIENCE_S):
        while len(messages) < count:
            messages.extend(await feed.next())
    return messages


def addresses() -> Iterator[Address]:
    yield from (Address("p" * n, "k", f"n{n}") for n in range(1, 40))
    yield from (Address("demo", "task", secrets.token_hex(n)) for n in range(1, 60))
    yield Address("a" * 128, "b" * 128, "c" * 128)


async def test_partitions_are_those_that_nats_computes(bus: NatsBus) -> None:
    wanted = list(addresses())
    for address in wanted:
        await bus.client.publish(command_subject(address, bus.root), b"{}")
    messages = await read(await bus.open_feed(0), len(wanted))
    assert [parse_stored_subject(m.subject, bus.root) for m in messages] == [(partition_of(a), a) for a in wanted]


async def test_a_hand_typed_message_needs_no_header(bus: NatsBus) -> None:
    await put(bus, b'{"type":"task.submit.v1","title":"x"}')
    (message,) = await read(await bus.open_feed(0), 1)
    assert message.body == b'{"type":"task.submit.v1","title":"x"}'
    assert message.headers == {}
    assert message.identity(bus.stream) == message.witness(bus.stream)


async def test_headers_come_through_whatever_is_in_them(bus: NatsBus) -> None:
    await put(bus, ce_id="c1", Troupe_Reply_To="_INBOX.a.b", Status="409", Description="consumer deleted")
    await put(bus, ce_id="läuft")
    await put(bus, ce_id="tools/t1@3.0")
    await put(bus, ce_id="timer:late:1")
    messages = await read(await bus.open_feed(0), 4)
    assert from_headers(messages[0].headers).reply_to == "_INBOX.a.b"
    assert messages[0].identity(bus.stream) == "c1", "a header named Status is no word of the server's"
    for message in messages[1:]:
        assert message.identity(bus.stream) == message.witness(bus.stream), "an id that could be mistaken for ours"


async def test_the_witness_is_the_same_from_the_feed_and_from_the_stream(bus: NatsBus) -> None:
    """To the microsecond, for many: a rounding somewhere would show in one of two."""
    for n in range(60):
        await put(bus, ce_id=f"c{n}" if n % 2 else "")
    messages = await read(await bus.open_feed(0), 60)
    assert [m.sequence for m in messages] == list(range(1, 61))
    for message in messages:
        assert await bus.witness_at(message.sequence) == message.witness(bus.stream)
    assert abs((datetime.now(UTC) - messages[-1].at).total_seconds()) < PATIENCE_S
    assert await bus.witness_at(61) == ""


async def test_a_feed_begins_after_the_cursor_and_goes_on(bus: NatsBus) -> None:
    for _ in range(5):
        await put(bus)
    feed = await bus.open_feed(3)
    assert [m.sequence for m in await read(feed, 2)] == [4, 5]
    last = await put(bus)
    assert [m.sequence for m in await read(feed, 1)] == [last]
    await feed.close()
    with pytest.raises(FeedLost):
        await feed.next()


async def test_a_long_stream_comes_in_order_without_a_gap(bus: NatsBus) -> None:
    total = 3_000  # Several pulls.
    for n in range(total):
        await bus.client.publish(command_subject(T1, bus.root), b"%d" % n)
    messages = await read(await bus.open_feed(0), total)
    assert [m.body for m in messages] == [b"%d" % n for n in range(total)]


async def test_a_message_lost_between_server_and_feed_breaks_the_feed_and_is_read_again(bus: NatsBus) -> None:
    """A slow consumer drops silently; the consumer's own count shows it."""
    feed = await bus.open_feed(0)
    listening = vars(bus.client)["_heard"]
    await put(bus, b"1")
    assert [m.body for m in await read(feed, 1)] == [b"1"]
    (sid, heard), dropped = next(iter(listening.items())), 0

    def drop_one(*frame: bytes) -> None:
        nonlocal dropped
        dropped += 1
        if dropped > 1:
            heard(*frame)

    listening[sid] = drop_one
    await put(bus, b"2")
    await put(bus, b"3")
    with pytest.raises(FeedLost, match="1 messages were dropped before sequence 3"):
        await read(feed, 1)
    assert [m.body for m in await read(await bus.open_feed(1), 2)] == [b"2", b"3"]


async def test_a_consumer_that_is_gone_breaks_the_feed(bus: NatsBus) -> None:
    feed = await bus.open_feed(0)
    stream = bus.client.jetstream()
    for consumer in await stream.consumers_info(bus.stream):
        await stream.delete_consumer(bus.stream, consumer.name)
    with anyio.fail_after(PATIENCE_S), pytest.raises(FeedLost, match="NATS says 409"):
        await feed.next()


async def test_a_purge_keeps_the_witness(bus: NatsBus) -> None:
    for _ in range(10):
        await put(bus)
    witness = await bus.witness_at(7)
    await bus.purge_below(7)
    assert await bus.witness_at(6) == ""
    assert await bus.witness_at(7) == witness
    assert [m.sequence for m in await read(await bus.open_feed(0), 4)] == [7, 8, 9, 10]


async def test_single_messages_are_erased_where_they_are_there(bus: NatsBus) -> None:
    for _ in range(10):
        await put(bus)
    witness = await bus.witness_at(7)
    await bus.erase([5, 6, 8, 99])
    assert await bus.witness_at(7) == witness, "what is not to be erased is not touched"
    assert [m.sequence for m in await read(await bus.open_feed(0), 7)] == [1, 2, 3, 4, 7, 9, 10]
    await bus.purge_below(3)
    await bus.erase([1, 5])  # They are gone already.


async def test_a_feed_holds_the_partitions_it_was_opened_for(bus: NatsBus) -> None:
    addresses = [Address("demo", "counter", f"c{n}") for n in range(40)]
    for address in addresses:
        await bus.client.jetstream().publish(command_subject(address, bus.root), b"{}")
    wanted = [3, 17, 40, 41, 42]
    expected = [n + 1 for n, address in enumerate(addresses) if partition_of(address) in wanted]
    assert 0 < len(expected) < len(addresses)
    feed = await bus.open_feed(0, wanted)
    assert [m.sequence for m in await read(feed, len(expected))] == expected


async def test_a_full_stream_tells_the_publisher_and_keeps_what_it_has(servers: Servers) -> None:
    async with own_bus(servers, stream_bytes_max=20_000) as bus:
        kept = [await put(bus, b"x" * 1_000) for _ in range(10)][-1]
        with pytest.raises(APIError, match="maximum bytes exceeded"):
            await put(bus, b"x" * 12_000)
        assert [m.sequence for m in await read(await bus.open_feed(0), kept)] == list(range(1, kept + 1))
        await bus.purge_below(kept)
        assert await put(bus, b"room again") == kept + 1


async def test_ids_are_not_the_streams_business(bus: NatsBus) -> None:
    """Two projects may use one id at once: the stream's own dedupe must not swallow either."""
    first = await put(bus, to=Address("a", "task", "t1"), ce_id="same")
    second = await put(bus, to=Address("b", "task", "t1"), ce_id="same")
    assert second == first + 1


async def test_a_stream_of_somebody_else_is_told_apart(servers: Servers, bus: NatsBus) -> None:
    with pytest.raises(BusUnavailable, match=f"{bus.stream} exists with other settings"):
        async with NatsBus.open(servers.nats_url, servers.nats_token, bus.root, stream_bytes_max=1_000):
            pass


async def test_many_doorbells_at_once_arrive(bus: NatsBus) -> None:
    receivers = [Address("demo", "task", f"t{n}") for n in range(1_500)]
    feed = await bus.open_feed(0)
    await bus.ring(receivers)
    messages = await read(feed, len(receivers))
    assert [parse_stored_subject(m.subject, bus.root)[1] for m in messages] == receivers
    assert all(m.headers == {"Troupe-Outbox": "1"} for m in messages)


async def test_replies_effects_and_dead_letters_reach_who_listens(servers: Servers, bus: NatsBus) -> None:
    rung = anyio.Event()
    async with own_bus(servers, bus.root) as other:
        await bus.on_effects(["tool"], rung.set)
        dead = await other.client.subscribe(dead_subject(T1, bus.root))
        inbox = other.client.new_inbox()
        replies = await other.client.subscribe(inbox)
        await other.client.flush()
        await bus.client.flush()
        await other.ring_effects(["completion", "tool"])
        await bus.bury(T1, b"body", {"Troupe-Error": "KeyError:\nläuft\r\nnicht"})
        await bus.reply(inbox, b"answer")
        with anyio.fail_after(PATIENCE_S):
            await rung.wait()
            buried = await dead.next_msg(PATIENCE_S)
            assert (await replies.next_msg(PATIENCE_S)).data == b"answer"
        assert buried.data == b"body"
        assert buried.headers == {"Troupe-Error": "KeyError: läuft  nicht"}


async def test_a_reply_that_cannot_be_sent_disturbs_nobody(bus: NatsBus) -> None:
    await bus.reply("_INBOX.a b c", b"a subject that would break the protocol")
    await bus.reply("_INBOX.a", b"x" * 2_000_000)
    assert await put(bus) == 1


async def test_nobody_there_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.nats_client.CONNECT_S_MAX", 0.3)
    with anyio.fail_after(PATIENCE_S), pytest.raises(BusUnavailable, match="is nats-server running"):
        async with NatsBus.open("nats://127.0.0.1:1"):
            pass


async def test_a_wrong_token_is_told(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.nats_client.CONNECT_S_MAX", 2.0)
    with pytest.raises(BusUnavailable, match=r"cannot connect to NATS at .*: .*(Authorization|Connection)"):
        async with NatsBus.open(servers.nats_url, "wrong"):
            pass


async def test_a_killed_server_breaks_the_feed_and_nothing_is_skipped(stack: Stack) -> None:
    root = fresh_root()
    async with own_bus(stack.servers, root) as bus:
        feed = await bus.open_feed(0)
        before = [await put(bus, b"%d" % n) for n in range(3)]
        assert [m.sequence for m in await read(feed, 3)] == before
        await stack.restart("nats")
        with pytest.raises(FeedLost):
            await read(feed, 1)
        feed = await reopened(bus, 2)
        after = [await put(bus, b"%d" % n) for n in range(3, 6)]
        assert [m.sequence for m in await read(feed, 4)] == [3, *after]


async def test_a_lost_stream_is_made_anew_and_has_other_witnesses(stack: Stack) -> None:
    root = fresh_root()
    async with own_bus(stack.servers, root) as bus:
        for n in range(3):
            await put(bus, ce_id=f"c{n}")
        old = [await bus.witness_at(n) for n in (1, 2, 3)]
        await stack.lose_jetstream()
        feed = await reopened(bus, 0)
        for n in range(3):
            await put(bus, ce_id=f"c{n}")
        assert [m.identity(bus.stream) for m in await read(feed, 3)] == ["c0", "c1", "c2"]
        new = [await bus.witness_at(n) for n in (1, 2, 3)]
        assert not set(old) & set(new), "the same ids at the same places, and yet not the same stream"


async def test_a_connection_that_nats_py_gave_up_is_made_anew(stack: Stack) -> None:
    """An error that the client does not know closes it for good."""
    rung = anyio.Event()
    async with own_bus(stack.servers, fresh_root()) as bus:
        await bus.on_effects(["tool"], lambda: rung.set())
        feed, given_up = await bus.open_feed(0), bus.client
        await given_up._process_err("'Something Nobody Has Heard Of'")  # pyright: ignore[reportPrivateUsage]
        with anyio.fail_after(PATIENCE_S), pytest.raises(FeedLost):
            await feed.next()
        await reopened(bus, 0)
        assert bus.client is not given_up
        await bus.ring_effects(["tool"])
        with anyio.fail_after(PATIENCE_S):
            await rung.wait()


async def reopened(bus: NatsBus, after: int) -> CommandFeed:
    """As the intake does: until it opens."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            try:
                return await bus.open_feed(after)
            except BusUnavailable:
                await anyio.sleep(0.05)
