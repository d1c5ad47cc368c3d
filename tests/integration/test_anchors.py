"""Anchors on a real NATS: kept where nobody purges them, and contradicted by whoever writes the log anew."""

from collections.abc import AsyncGenerator

import anyio
import nats
import pytest
from nats.js.errors import APIError

from actors.embedded.servers import Servers
from actors.runtime import anchors
from actors.runtime.anchors import Anchored, AnchorStream, Notary, notarized, sign_head
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ports import BusUnavailable
from eventstore.heads import Signer, new_key
from eventstore.memory.store import MemoryStore
from protocol.subjects import anchor_subject
from tests.kit.chains import LAST, write_log
from tests.kit.company import PATIENCE_S, own_bus
from tests.kit.units import actor, event


@pytest.fixture
async def bus(servers: Servers) -> AsyncGenerator[NatsBus]:
    async with own_bus(servers) as opened:
        yield opened
        await opened.client.jetstream().delete_stream(f"ANCHORS_{opened.root}")


@pytest.fixture
def stream(bus: NatsBus) -> AnchorStream:
    return AnchorStream(lambda: bus.client, "troupe", bus.root)


@pytest.fixture
async def log() -> MemoryStore:
    store = MemoryStore()
    await write_log(store)
    return store


SIGNER = Signer.from_pem(new_key())


async def until_kept(stream: AnchorStream, count: int) -> list[bytes]:
    with anyio.fail_after(PATIENCE_S):
        while len(lines := await stream.read()) < count:  # The stream rings no bell.
            await anyio.sleep(0.01)
    return lines


async def test_the_head_is_anchored_at_the_start_as_it_grows_and_at_the_end(
    log: MemoryStore, stream: AnchorStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchors, "ANCHOR_EVERY_S", 0.01)
    async with notarized(log, stream, SIGNER, utc_now):
        await until_kept(stream, 1)
        await log.append(actor("x"), [event(1)])
        await until_kept(stream, 2)
        monkeypatch.setattr(anchors, "ANCHOR_EVERY_S", 3600.0)
        await log.append(actor("x"), [event(2)])
    found = Anchored(await stream.read(), SIGNER.key)
    assert [head.position for head in found.heads] == [LAST, LAST + 1, LAST + 2]
    assert found.foreign == 0
    assert await found.against(log) is None
    async with notarized(log, stream, SIGNER, utc_now):
        pass
    positions = [head.position for head in Anchored(await stream.read(), SIGNER.key).heads]
    assert positions[-2:] == [LAST + 2, LAST + 2], "another company says so again, once"
    assert len(positions) == 4


async def test_nobody_deletes_or_purges_an_anchor(log: MemoryStore, stream: AnchorStream, bus: NatsBus) -> None:
    await Notary(log, stream, SIGNER, utc_now).anchor()
    jetstream = bus.client.jetstream()
    with pytest.raises(APIError):
        await jetstream.purge_stream(stream.name)
    with pytest.raises(APIError):
        await jetstream.delete_msg(stream.name, 1)
    assert len(await stream.read()) == 1


async def test_a_log_written_anew_or_cut_off_contradicts_its_anchors(log: MemoryStore, stream: AnchorStream) -> None:
    notary = Notary(log, stream, SIGNER, utc_now)
    await notary.anchor()
    await log.append(actor("x"), [event(1)])
    await notary.anchor()
    found = Anchored(await stream.read(), SIGNER.key)
    anew = MemoryStore()
    await write_log(anew)
    assert (await anew.audit.verify()).broken is None
    wrong = await found.against(anew)
    assert wrong is not None
    assert wrong.position == LAST
    tables = log._tables  # pyright: ignore[reportPrivateUsage]
    del tables.events[LAST:], tables.links[-1], tables.streams[actor("x")]
    assert (await log.audit.verify()).broken is None
    wrong = await found.against(log)
    assert wrong is not None
    assert wrong.position == LAST + 1


async def test_what_others_put_among_the_anchors_does_not_count(
    log: MemoryStore, stream: AnchorStream, bus: NatsBus
) -> None:
    await Notary(log, stream, SIGNER, utc_now).anchor()
    stranger = Signer.from_pem(new_key())
    foreign = await sign_head(log, stranger, "troupe", utc_now)
    mine = await sign_head(log, SIGNER, "troupe", utc_now)
    assert foreign is not None
    assert mine is not None
    forged = mine.line().replace(b'"position":13', b'"position":12')
    for line in (b"nonsense", foreign.line(), forged):
        await bus.client.jetstream().publish(anchor_subject("troupe", bus.root), line)
    other = AnchorStream(lambda: bus.client, "other", bus.root)
    await Notary(log, other, SIGNER, utc_now).anchor()
    found = Anchored(await stream.read(), SIGNER.key)
    assert (len(found.heads), found.foreign) == (1, 3)
    assert len(await other.read()) == 1


async def test_an_empty_log_has_nothing_to_anchor_and_a_bus_without_anchors_has_none(
    stream: AnchorStream, bus: NatsBus
) -> None:
    await Notary(MemoryStore(), stream, SIGNER, utc_now).anchor()
    assert await stream.read() == []
    store = MemoryStore()
    await store.append(actor(), [event(1)])
    await Notary(store, stream, SIGNER, utc_now).anchor()  # So that the fixture has a stream to remove.


async def test_an_outage_is_waited_out(log: MemoryStore, servers: Servers, stream: AnchorStream, bus: NatsBus) -> None:
    dying = await nats.connect(servers.nats_url, token=servers.nats_token)
    await dying.close()
    now = dying
    flaky = AnchorStream(lambda: now, "troupe", bus.root)
    notary = Notary(log, flaky, SIGNER, utc_now)
    await notary.anchor()
    with pytest.raises(BusUnavailable):
        await flaky.read()
    now = bus.client
    await notary.anchor()
    assert len(await stream.read()) == 1
