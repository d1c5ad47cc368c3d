"""Commands that broke their actor, and what became of them: parked, retried or dropped.

`troupe dead list` asks the store who is parked now; this says the same from the log alone, and keeps what was retried
or dropped, when and by whom. A command that breaks its actor again after a retry is parked again, in the same row:
`times` counts the dead letters it has left. Of the command there is its type, never its body.
"""

from datetime import datetime

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.runtime import ActorDropped, ActorRetried, CommandQuarantined

TYPES: tuple[type[Event], ...] = (CommandQuarantined, ActorRetried, ActorDropped)


class Letter(Row, kw_only=True):
    """One command that broke the actor `kind`/`name`. `state` is parked, retried or dropped; `error`, `task` (what the
    command belonged to), `quarantined_at` and `quarantined_position` are of the last time it broke. Of one that is not
    parked: `released_at`, `by` whom as a pseudonymous id ("": not said), and `late`, whether also what had expired was
    let go on."""

    project: str
    kind: str
    name: str
    id: str
    command_type: str = ""
    error: str = ""
    task: str = ""
    state: str = "parked"
    times: int = 0
    quarantined_at: datetime | None = None
    quarantined_position: int = 0
    released_at: datetime | None = None
    by: str = ""
    late: bool = False


def _later(earlier: Letter, later: Letter) -> None:
    if later.times:
        earlier.command_type, earlier.error, earlier.task = later.command_type, later.error, later.task
        earlier.quarantined_at, earlier.quarantined_position = later.quarantined_at, later.quarantined_position
    earlier.times += later.times
    earlier.state = later.state
    earlier.released_at, earlier.by, earlier.late = later.released_at, later.by, later.late


LETTERS = Table("dead_letters", Letter, ("project", "kind", "name", "id"), merge=_later)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event says of a command. A release alone (its quarantine is in an earlier range) is a row too."""
    match event:
        case CommandQuarantined(kind=kind, name=name, id=id_):
            letter = _letter(recorded, kind, name, id_, rows)
            letter.command_type, letter.error, letter.task = event.command_type, event.error, recorded.correlation
            letter.quarantined_at, letter.quarantined_position = recorded.at, recorded.position
            letter.times += 1
            letter.state, letter.released_at, letter.by, letter.late = "parked", None, "", False
        case ActorRetried(kind=kind, name=name, id=id_) | ActorDropped(kind=kind, name=name, id=id_):
            letter = _letter(recorded, kind, name, id_, rows)
            letter.state = "retried" if isinstance(event, ActorRetried) else "dropped"
            letter.released_at, letter.by, letter.late = recorded.at, event.by, event.late
        case _:
            return


def _letter(recorded: Recorded, kind: str, name: str, id_: str, rows: Rows) -> Letter:
    key = recorded.address.project, kind, name, id_
    return rows.find(LETTERS, *key) or rows.add(LETTERS, Letter(project=key[0], kind=kind, name=name, id=id_))


VIEW = View("dead_letters", 1, "dead_letters_schema", (LETTERS,), TYPES, project)
