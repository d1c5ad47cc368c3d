"""The promises of named leases. A time to live of -1 s is one that has run out: no test waits for a clock."""

from uuid import uuid4

import anyio
import pytest

from eventstore.leases import LEASE_NAME_LENGTH_MAX, NamedLease
from eventstore.store import BadInput, EventStore

GONE_S = -1.0
LONG_S = 3600.0
CONTENDERS = 12


async def test_a_name_is_one_owners_until_its_lease_ends_or_is_given_back(store: EventStore) -> None:
    one, two = uuid4(), uuid4()
    mine = await store.leases.take("mirror", one, LONG_S)
    assert (mine.name, mine.owner, mine.epoch) == ("mirror", one, 1)
    assert LONG_S - 60 < mine.expires_in_s <= LONG_S
    seen = await store.leases.take("mirror", two, LONG_S)
    assert (seen.owner, seen.epoch) == (one, 1), "whoever asks in vain hears who has it"
    assert (await store.leases.take("other", two, LONG_S)).owner == two, "each name has its own owner"
    await store.leases.give_back("mirror", two)  # Not his: nothing happens.
    assert (await store.leases.take("mirror", two, LONG_S)).owner == one
    await store.leases.give_back("mirror", one)
    taken = await store.leases.take("mirror", two, LONG_S)
    assert (taken.owner, taken.epoch) == (two, 2)


async def test_only_a_change_of_hands_begins_an_epoch(store: EventStore) -> None:
    one, two = uuid4(), uuid4()
    await store.leases.take("mirror", one, GONE_S)
    again = await store.leases.take("mirror", one, GONE_S)
    assert (again.owner, again.epoch) == (one, 1), "nobody had it in between"
    assert again.expires_in_s < 0
    taken = await store.leases.take("mirror", two, LONG_S)
    assert (taken.owner, taken.epoch) == (two, 2)
    assert (await store.leases.take("mirror", one, LONG_S)).owner == two


async def test_of_many_that_reach_for_it_one_has_it(store: EventStore) -> None:
    heard: list[NamedLease] = []
    owners = [uuid4() for _ in range(CONTENDERS)]

    async def reach(n: int) -> None:
        heard.append(await store.leases.take("mirror", owners[n], LONG_S))

    async with anyio.create_task_group() as group:
        for n in range(CONTENDERS):
            group.start_soon(reach, n)
    final = (await store.leases.take("mirror", uuid4(), LONG_S)).owner
    assert final in owners
    assert {lease.owner for lease in heard} == {final}
    assert {lease.epoch for lease in heard} == {1}


@pytest.mark.parametrize("name", ["", "a\0b", "n" * (LEASE_NAME_LENGTH_MAX + 1)])
async def test_a_name_that_no_store_can_hold_is_refused(store: EventStore, name: str) -> None:
    with pytest.raises(BadInput):
        await store.leases.take(name, uuid4(), LONG_S)
