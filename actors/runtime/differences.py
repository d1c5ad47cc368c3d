"""What a comparison of yesterday's decisions with today's comes to: the values, and how they are counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from actors.runtime.kind import Kind
from actors.runtime.mailboxes import CANCEL
from actors.runtime.relive import Said
from protocol.reply import CANCELLED, EXPIRED
from protocol.subjects import Address

NAMED_MAX = 10_000  # Differences that are kept; beyond it they are only counted.
OTHER_TYPE = "(unknown)"  # Stands for a type that its kind does not know: anybody may send any.

# Refusals that no core decides: they are about the moment, or about personal text, which is not kept unsealed.
_CIRCUMSTANCES = frozenset(
    (EXPIRED, "parked", "bad-header", "bad-seal", "no-person", "bad-person", "cannot-seal", CANCELLED)
)
_PERSONAL_TOO_LONG = "too-long: personal text of "  # A core may call something else too long.

# Why commands could not be compared.
NOT_KEPT = "nothing is kept of them, and nobody can be asked again"
NO_ROW = "the inbox has no row of them: it was lost, or the log was restored from an archive, which holds none"
WITHHELD = "they were refused unheard, and their bytes were not kept"
RETIRED = "today's code decides no such command"
QUARANTINED = "they broke their actor: to decide them again might break this process too"
PARKED = "they waited for a parked actor, and were decided later if at all"
UNLIVABLE = "their actor's history cannot be lived by today's code"
NO_KIND = "there is no kind of that name today"
CUT = "the end of the range lies between their events, or right beside them"
CROWDED = "too many commands that led to nothing stand between two commits"

What = Literal["decision", "reaction", "history"]
FieldChange = tuple[int, str, str, Any, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was decided otherwise then. decision: the command of that id. reaction: what an event of
    `version` wanted. history: what today's code cannot live, `version` is the event's.

    `position` and `at`: of the first event, or where the log most likely stood (0, None: it is about what is under
    way). `fields`: of events that are the same but for their content, the place (from 1), tag and name of each field
    that differs, with both values.
    """

    what: What
    address: Address
    type: str
    id: str
    version: int
    position: int
    at: datetime | None
    then: str
    now: str
    fields: tuple[FieldChange, ...] = ()


@dataclass
class Comparison:
    """What came of it. By kind of the actor and type of the command: how many were `compared` and how many differ."""

    first: int
    last: int
    actors: int = 0
    events: int = 0
    compared: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    differing: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    skipped: Counter[str] = field(default_factory=Counter[str])
    differences: list[Difference] = field(default_factory=list[Difference])
    unnamed: int = 0

    def differs(self, found: Difference) -> None:
        """Count it, and keep it if there is room."""
        self.differing[found.address.kind, found.type] += 1
        if len(self.differences) < NAMED_MAX:
            self.differences.append(found)
        else:
            self.unnamed += 1


def circumstance(detail: str) -> str:
    """The code of a refusal that no core decided; "" if one did."""
    code = detail.partition(":")[0]
    return code if code in _CIRCUMSTANCES or detail.startswith(_PERSONAL_TOO_LONG) else ""


def type_known(kind: Kind[Any], tag: str) -> str:
    """The type as it is counted by: so there is a bounded number of them."""
    return tag if tag in kind.decides or tag == CANCEL else OTHER_TYPE


def changed_fields(then: Sequence[Said], now: Sequence[Said]) -> Iterator[FieldChange]:
    """The fields that differ, of events with the same tags; nothing where the tags differ already."""
    if [tag for tag, _ in then] != [tag for tag, _ in now]:
        return
    for place, ((tag, one), (_, other)) in enumerate(zip(then, now, strict=True), start=1):
        before, after = (msgspec.json.decode(body, type=dict[str, Any]) for body in (one, other))
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                yield place, tag, name, before.get(name), after.get(name)
