"""What an asker gets back on its inbox once its command is settled: committed, silent, refused, quarantined (it broke
its actor) or parked (an earlier one had; it waits until an operator has the actor go on)."""

from typing import Any, Literal

import msgspec

BUSY = "busy"  # The code of a command that was turned away unheard: its id is unknown still.
CANCELLED = "cancelled"  # Of one that its sender withdrew, or whose ask it ended.
EXPIRED = "expired"  # Of one whose deadline passed, or whose answer did not come by its deadline.


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of an ask. `position` is that of the first event it caused (0: none); `events` are references
    ("task/t1@1"). `known` repeats the outcome of an id that was settled before. `code` and `message` explain a refusal.

    `answer` is what the actor said, of a command that is answered later; `events` then name the one that said it, and
    `position` is 0. `retry_after_s` (0: there is no use in it): send the same again, under the same id, after so many
    seconds.
    """

    outcome: Literal["accepted", "silent", "refused", "quarantined", "parked"]
    id: str
    actor: str
    position: int = 0
    events: tuple[str, ...] = ()
    known: bool = False
    code: str = ""
    message: str = ""
    answer: Any = None
    retry_after_s: float = 0.0
