"""Actors that a command broke: parked in the store, left alone by their owner, until an operator lets them go on. Pure.

The commit that quarantines the killer parks its actor. From then on what other actors send it stays in the outbox, and
what comes from outside is kept in the store, in order, by the commit that settles it as "parked"; at most WAITING_MAX
for one actor, further ones are refused. Its neighbours, and the cursor of its partition, do not notice.
"""

from collections.abc import Sequence

import msgspec

from actors.runtime.deadlines import deadline_of
from actors.runtime.turn import Pending, detail_of, settled
from eventstore.records import Parking, Settled, Unit, Waiting
from eventstore.traces import Traced
from protocol.codec import encode
from protocol.envelope import to_headers
from protocol.message import Refusal
from protocol.runtime import CancelCommand
from protocol.subjects import Address, partition_of

WAITING_MAX = 10_000  # Commands from outside, kept for one actor.
PARKED = "parked"  # The code of what an asker is told.


def kept(commands: Sequence[Pending], reason: str, room: int) -> Unit:
    """The unit for commands from outside to a parked actor: the first `room` of them wait for it, further ones are
    refused, and what was found wanting on its way in is told so."""
    address = commands[0].address
    rows: list[Settled] = []
    waits: list[Waiting] = []
    for pending in commands:
        refusal = pending.refusal
        if refusal is None and isinstance(pending.command, CancelCommand):
            refusal = _not_withdrawn(address)
        elif refusal is None and len(waits) >= room:
            refusal = _full(address)
        if refusal is None:
            rows.append(settled(pending, "parked", f"{PARKED}: {_words(address, reason)}"))
            waits.append(waiting(pending))
        else:
            rows.append(settled(pending, "refused", detail_of(refusal)))
    ids = {wait.id for wait in waits}
    traces = tuple(traced for pending in commands if pending.id in ids for traced in noted(pending))
    return Unit(partition_of(address), address, None, tuple(rows), waits=tuple(waits), traces=traces)


def parking(killer: Pending, error: str) -> Parking:
    """The row that parks the actor which that command broke."""
    return Parking(killer.address, error)


def noted(pending: Pending) -> tuple[Traced, ...]:
    """The trace that came with a command that waits; of what an event wanted, the event's is known."""
    return (Traced(pending.id, pending.trace),) if pending.trace and "@" not in pending.id else ()


def waiting(pending: Pending) -> Waiting:
    """A command as the store keeps it; of another actor's send the headers say whose it is."""
    envelope = pending.envelope
    if pending.sender:
        envelope = msgspec.structs.replace(envelope, sender=pending.sender)
    return Waiting(
        pending.address, pending.id, pending.type, pending.body, encode(to_headers(envelope)), pending.at,
        pending.correlation, deadline_of(pending.envelope), envelope.reply_to,
    )  # fmt: skip


def _words(address: Address, reason: str) -> str:
    return (
        f"{address} is parked, since an earlier command broke it ({reason}); this one waits, and is decided once an "
        "operator has the actor go on. Nobody is told then"
    )


def _not_withdrawn(address: Address) -> Refusal:
    return Refusal(
        PARKED, f"{address} is parked: what waits for it is not withdrawn by its sender, but decided or dropped by an "
        "operator",
    )  # fmt: skip


def _full(address: Address) -> Refusal:
    return Refusal(
        PARKED, f"{address} is parked, and {WAITING_MAX} commands wait for it: send it again when the actor goes on"
    )
