"""Every kind's state survives being written and read back, so that a snapshot of it is as good as its history."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.runtime.kind import Kind
from protocol.codec import encode, read_tag
from protocol.message import tag_of
from protocol.subjects import Address
from tests.kit.board_run import small_run
from tests.kit.company_kinds import company_kinds

GOLDEN = Path(__file__).parents[1] / "golden"
STATES = GOLDEN / "states.json"
KINDS = company_kinds()

History = list[tuple[str, bytes]]  # Tag and body.


def stored_histories() -> Iterator[tuple[str, History]]:
    for path in sorted((GOLDEN / "stored").glob("*.events.ndjson")):
        yield path.name, [(read_tag(line), line) for line in path.read_bytes().splitlines()]


def run_histories() -> Iterator[tuple[Address, History]]:
    streams: dict[Address, History] = {}
    for happened in small_run():
        streams.setdefault(happened.address, []).append((tag_of(happened.event), encode(happened.event)))
    return iter(streams.items())


def cases() -> list[tuple[Kind[Any], Address, History]]:
    """Every history with every kind that can read it."""
    stored = [
        (kind, Address("demo", kind.name, "t1"), history)
        for _, history in stored_histories()
        for kind in KINDS.values()
        if {tag for tag, _ in history} <= kind.event_vocabulary.tags
    ]
    run = [
        (KINDS[address.kind], address, history)
        for address, history in run_histories()
        if address.kind in KINDS and {tag for tag, _ in history} <= KINDS[address.kind].event_vocabulary.tags
    ]
    return [*stored, *run]


def evolved(kind: Kind[Any], state: Any, event: tuple[str, bytes]) -> Any:
    tag, body = event
    return kind.evolve(state, kind.event_vocabulary.decode(body, tag))


def test_every_kind_may_have_snapshots_and_a_history_to_prove_them() -> None:
    assert {kind.name for kind in KINDS.values() if kind.state is None} == set()
    assert {kind.name for kind, _, _ in cases()} == set(KINDS)
    schemas = {kind.name: kind.state_schema for kind in KINDS.values()}
    assert all(schemas.values())
    assert schemas["tester"] == schemas["architect"] != schemas["orchestrator"]


@pytest.mark.parametrize(("kind", "address", "history"), cases(), ids=lambda value: getattr(value, "name", ""))
def test_a_state_is_read_back_as_it_was_at_every_moment(kind: Kind[Any], address: Address, history: History) -> None:
    assert kind.state is not None
    state = kind.initial(address)
    for version, event in enumerate(["", *history]):
        state = evolved(kind, state, event) if isinstance(event, tuple) else state
        read = msgspec.json.decode(encode(state), type=kind.state)
        assert read == state, f"after version {version}"
        for later in history[version:]:  # And what happens next is the same to both.
            read = evolved(kind, read, later)
        whole = kind.initial(address)
        for each in history:
            whole = evolved(kind, whole, each)
        assert read == whole


def test_what_events_come_to_is_known_by_its_version() -> None:
    """A snapshot made by an earlier `evolve` must not pass for one made by this."""
    now: dict[str, Any] = {}
    for name, history in stored_histories():
        for kind in KINDS.values():
            if {tag for tag, _ in history} <= kind.event_vocabulary.tags:
                state = kind.initial(Address("demo", kind.name, "t1"))
                for event in history:
                    state = evolved(kind, state, event)
                now[f"{kind.name} {name}"] = {
                    "state_version": kind.state_version,
                    "events": _digest([body.decode() for _, body in history]),
                    "state": _digest(state),
                }
    known = json.loads(STATES.read_text("utf-8"))
    for what, found in now.items():
        before = known.get(what, {})
        same_question = {**found, "state": ""} == {**before, "state": ""}
        assert not same_question or found == before, (
            f"{what}: the same events come to another state. Raise the kind's state_version, "
            "so that older snapshots are not used, and write the new digests"
        )
    assert now == known, f"write this to {STATES.name}:\n{json.dumps(now, indent=1)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
