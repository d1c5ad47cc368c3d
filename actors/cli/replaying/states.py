"""`troupe replay --state KIND ID`: what an actor was at a position, what changed between two. Nothing is written."""

import json
from typing import Any

import msgspec

from actors import casting
from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.opening import opener_of
from actors.cli.replaying.difference import Change, changes
from actors.host import Settings, reader
from actors.roles.playbook import load_playbooks
from actors.runtime.folding import Unfoldable
from actors.runtime.kind import Kind
from actors.runtime.past import Moment, events_between, state_at
from actors.services.tools.catalogue import CATALOGUE
from eventstore.store import EventStore, Recorded, UnknownStream
from protocol.envelope import format_time
from protocol.subjects import Address, BadSubject, check_address

VALUE_LENGTH_MAX = 200  # Characters of a value in a line for people.


class Made(msgspec.Struct, frozen=True):
    """How a state was made: from the snapshot of that version (0: from none), and the events after it."""

    snapshot: int
    events_folded: int


class StateAnswer(msgspec.Struct, frozen=True):
    """What `--state` prints. `position` is the moment that was asked for, `event` the actor's last event up to it."""

    project: str
    kind: str
    id: str
    position: int
    version: int
    event: int
    made: Made
    state: msgspec.Raw


class Between(msgspec.Struct, frozen=True):
    """An event of the actor between two moments."""

    position: int
    event: str
    type: str
    at: str
    causation: str
    body: msgspec.Raw


class DifferenceAnswer(msgspec.Struct, frozen=True):
    """What `--diff` prints: operations that make the state at the first position that at the second."""

    project: str
    kind: str
    id: str
    positions: tuple[int, int]
    versions: tuple[int, int]
    changes: list[Change]
    events: list[Between]


async def show_state(settings: Settings, actor: tuple[str, str], at: int | None, sealed: bool, as_json: bool) -> int:
    """Print the actor's state. Stop: USAGE for a kind or an id that cannot be, NOT_FOUND where there is nothing."""
    address, kind = _actor(settings, *actor)
    async with reader(settings, views=False) as (log, _):
        position = await _position(log, at, "--at")
        moment = await _moment(log, kind, address, position)
        if not moment.version:
            raise await _too_early(log, address, position)
        opener = opener_of(settings, log, sealed)
        state = await opener.document(address.project, moment.state)
        _tell_state(moment, state, as_json)
        return opener.ended()


async def show_difference(
    settings: Settings, actor: tuple[str, str], positions: tuple[int, int], sealed: bool, as_json: bool
) -> int:
    """Print what changed between two positions, and by which events. Stop as `show_state`."""
    address, kind = _actor(settings, *actor)
    first, last = positions
    if not 0 <= first < last:
        raise Stop(Exit.USAGE, f"--diff {first} {last}: give the earlier position first; 0 is before the log began")
    async with reader(settings, views=False) as (log, _):
        await _position(log, last, "--diff")
        before = await _moment(log, kind, address, first)
        after = await _moment(log, kind, address, last)
        if not after.version:
            raise await _too_early(log, address, last)
        opener = opener_of(settings, log, sealed)
        old, new = [msgspec.json.decode(await opener.document(address.project, m.state)) for m in (before, after)]
        events = await opener.events(await events_between(log, before, after))
        answer = DifferenceAnswer(
            address.project, address.kind, address.name, positions, (before.version, after.version),
            list(changes(old, new)), [_between(each) for each in events],
        )  # fmt: skip
        output.data(answer) if as_json else _tell_difference(address, answer)
        return opener.ended()


def _actor(settings: Settings, kind: str, name: str) -> tuple[Address, Kind[Any]]:
    try:
        address = check_address(Address(settings.project, kind, name))
    except BadSubject as error:
        raise Stop(Exit.USAGE, f"--state: {error}") from error
    kinds = casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
    found = kinds.get(kind)
    if found is None:
        raise Stop(Exit.USAGE, f"there is no kind {kind!r} in this version; the kinds are {', '.join(sorted(kinds))}")
    return address, found


async def _position(log: EventStore, asked: int | None, option: str) -> int:
    head = await log.head()
    if asked is None:
        return head
    if asked < 1:
        raise Stop(Exit.USAGE, f"{option} {asked}: positions count from 1")
    if asked > head:
        raise Stop(Exit.NOT_FOUND, f"{option} {asked}: the log's last position is {head}")
    return asked


async def _moment(log: EventStore, kind: Kind[Any], address: Address, position: int) -> Moment:
    try:
        return await state_at(log, kind, address, position)
    except UnknownStream as error:
        raise Stop(
            Exit.NOT_FOUND, f"{address} has no event: `troupe replay --kind {address.kind}` shows whom there is"
        ) from error
    except Unfoldable as error:
        raise Stop(
            Exit.DIVERGENCE,
            f"this version cannot fold the history of {address}: {error}. `troupe upgrade check` looks at all of them",
        ) from error


async def _too_early(log: EventStore, address: Address, position: int) -> Stop:
    first = (await log.read_stream(address, 0, 1))[0].position
    return Stop(Exit.NOT_FOUND, f"{address} was not there at position {position}: its first event is at {first}")


def _between(recorded: Recorded) -> Between:
    return Between(
        recorded.position, recorded.reference, recorded.type, format_time(recorded.at), recorded.causation,
        msgspec.Raw(recorded.body),
    )  # fmt: skip


def _tell_state(moment: Moment, state: bytes, as_json: bool) -> None:
    address = moment.address
    answer = StateAnswer(
        address.project, address.kind, address.name, moment.position, moment.version, moment.event,
        Made(moment.snapshot, moment.folded), msgspec.Raw(state),
    )  # fmt: skip
    if as_json:
        output.data(answer)
        return
    for line in msgspec.json.format(msgspec.json.encode(answer), indent=2).decode().split("\n"):
        output.say(_printable(line))
    source = f"the snapshot at version {moment.snapshot} and " if moment.snapshot else ""
    output.note(
        f"{address} at position {moment.position}: version {moment.version}, whose event is at {moment.event}; "
        f"folded from {source}{moment.folded} events"
    )


def _tell_difference(address: Address, answer: DifferenceAnswer) -> None:
    (first, last), (old, new) = answer.positions, answer.versions
    output.say(f"{address} from position {first} (version {old}) to {last} (version {new})")
    for each in answer.events:
        output.say(f"  {each.position}  {each.at}  {each.event}  {each.type}")
    output.say()
    for each in answer.changes:
        output.say(f"{each.path or 'all of it'}: {_value(each.before)} -> {_value(each.value)}")
    if not answer.changes:
        output.say("The state is the same.")


def _value(value: Any) -> str:
    if value is msgspec.UNSET:
        return "(nothing)"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 1]}…"


def _printable(line: str) -> str:
    """The same JSON with escapes for what is not printable: the terminal is not to be driven, nor the value changed."""
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in line)
