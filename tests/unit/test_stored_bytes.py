"""What was stored is readable for ever: samples of every released tag, byte for byte as they were stored.

Lines are only ever added to the files in tests/golden/stored. `<module>.events.ndjson` is, in its order, the history of
one stream, so that it can be folded.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventstore.store import Recorded
from projections.fold import folded
from projections.queries import VIEWS
from projections.view import View
from protocol.codec import encode, read_tag
from protocol.message import Command, Event, tag_of
from protocol.retired import vocabulary_of
from protocol.schemas import messages
from protocol.subjects import Address
from tests.kit.company_kinds import company_kinds

STORED = Path(__file__).parents[1] / "golden" / "stored"
COMMANDS: tuple[type[Command], ...] = tuple(cls for _, commands, _ in messages() for cls in commands)
EVENTS: tuple[type[Event], ...] = tuple(cls for _, _, events in messages() for cls in events)
SIDES = {"commands": vocabulary_of(COMMANDS), "events": vocabulary_of(EVENTS)}
CURRENT = {tag_of(cls) for cls in (*COMMANDS, *EVENTS)}


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def files(side: str) -> list[Path]:
    return sorted(STORED.glob(f"*.{side}.ndjson"))


def samples() -> list[tuple[str, bytes]]:
    return [(side, line) for side in SIDES for path in files(side) for line in lines(path)]


@pytest.mark.parametrize(("side", "line"), samples())
def test_every_stored_sample_is_read(side: str, line: bytes) -> None:
    tag = read_tag(line)
    vocabulary = SIDES[side]
    assert tag in vocabulary, (
        f"{tag} was released and is in logs, but nothing reads it any more: "
        f"add an Upcast from it to RETIRED in protocol/{tag.split('.')[0]}.py"
    )
    message = vocabulary.decode(line, tag)
    if tag in CURRENT:
        assert encode(message) == line, f"{tag} is released: its bytes must stay as they are; give the new shape a tag"


@pytest.mark.parametrize("side", SIDES)
def test_every_tag_has_a_sample(side: str) -> None:
    stored = {read_tag(line) for path in files(side) for line in lines(path)}
    missing = sorted(tag for tag in SIDES[side].tags if tag not in stored)
    assert not missing, (
        f"no stored sample of {', '.join(missing)}: add a line with its bytes to tests/golden/stored/<module>.{side}."
        "ndjson, as the codec's encode() writes them; for events where a history of the stream would have it"
    )


@pytest.mark.parametrize("path", files("events"), ids=lambda path: path.name)
def test_every_stored_history_folds(path: Path) -> None:
    history = lines(path)
    tags = {read_tag(line) for line in history}
    reading = [kind for kind in company_kinds().values() if tags <= kind.event_vocabulary.tags]
    # The runtime's own streams and those about people have no actor.
    assert reading or path.name in ("runtime.events.ndjson", "subject.events.ndjson"), f"no kind reads all of {tags}"
    for kind in reading:
        before = state = kind.initial(Address("demo", kind.name, "t1"))
        for line in history:
            event = kind.event_vocabulary.decode(line, read_tag(line))
            state = kind.evolve(state, event)
            kind.react(state, event)
        assert state != before or kind.name == "memory"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_reads_every_stored_event(view: View) -> None:
    """What a view picks it can read; what it does not know it passes over."""
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    log: list[Recorded] = []
    for path in files("events"):
        address = Address("demo", path.name.split(".")[0], "t1")
        for version, line in enumerate(lines(path), start=1):
            log.append(Recorded(len(log) + 1, address, version, read_tag(line), at, "t1", "c1", line))
    assert any(folded(view, log).values())
