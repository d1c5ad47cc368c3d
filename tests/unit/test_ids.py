"""Ids of commands: well-formed, different, and in the order of time."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import RFC_4122, UUID

from actors.runtime.ids import new_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_and_holds_its_time() -> None:
    id_ = UUID(new_id(EPOCH + timedelta(milliseconds=1_645_557_742_000, microseconds=999), Random(1)))
    assert str(id_).startswith("017f22e2-79b0-7")  # The example of RFC 9562, A.6.
    assert id_.variant == RFC_4122
    assert id_.version == 7


def test_ids_differ_and_later_ones_sort_later() -> None:
    chance = Random(2)
    found: list[str] = []
    for milliseconds in (0, 1, 2**40, 2**47):
        at = EPOCH + timedelta(milliseconds=milliseconds)
        found += sorted({new_id(at, chance) for _ in range(100)})
    assert len(found) == 400
    assert found == sorted(found)


def test_the_same_chance_draws_the_same_id() -> None:
    assert new_id(EPOCH, Random(3)) == new_id(EPOCH, Random(3))
