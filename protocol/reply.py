"""What an asker gets back on its inbox once its command is settled: committed, silent, refused or quarantined."""

from typing import Literal

import msgspec


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of an ask. `position` is that of the first event it caused (0: none); `events` are references
    ("task/t1@1"). `known` repeats the outcome of an id that was settled before. `code` and `message` explain a refusal.
    """

    outcome: Literal["accepted", "silent", "refused", "quarantined"]
    id: str
    actor: str
    position: int = 0
    events: tuple[str, ...] = ()
    known: bool = False
    code: str = ""
    message: str = ""
