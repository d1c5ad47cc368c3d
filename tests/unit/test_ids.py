"""Ids of commands: well-formed, different, and in the order of time."""

from uuid import RFC_4122, UUID

import pytest

from actors.cli import ids


def test_an_id_is_a_uuid_of_version_7_and_holds_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time_ns", lambda: 1_645_557_742_000 * 1_000_000 + 999_999)
    id_ = UUID(ids.new_id())
    assert str(id_).startswith("017f22e2-79b0-7")  # The example of RFC 9562, A.6.
    assert id_.variant == RFC_4122
    assert id_.version == 7


def test_ids_differ_and_later_ones_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    for milliseconds in (0, 1, 2**40, 2**48 - 1):
        monkeypatch.setattr(ids, "time_ns", lambda at=milliseconds: at * 1_000_000)
        found += sorted({ids.new_id() for _ in range(100)})
    assert len(found) == 400
    assert found == sorted(found)
