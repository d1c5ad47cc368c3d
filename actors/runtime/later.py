"""Asks that are answered later, and commands that are withdrawn: what a turn makes of them. Pure.

A command of which its kind says that it is answered `later` reaches the core with its own id in the field `ask`. The
core keeps it in an event, and some later turn answers it by an `Answer`. The open ask and its answer are written in the
commits of those turns, so neither is lost with a process.
"""

from typing import Any

import msgspec

from actors.runtime.kind import Kind
from protocol.message import Command, Refusal
from protocol.reply import CANCELLED, Reply
from protocol.runtime import CancelCommand
from protocol.subjects import Address


def heard(kind: Kind[Any], command: Command, id_: str) -> Command | None:
    """The command as the core hears it; None for a withdrawal that its kind does not hear of."""
    if isinstance(command, CancelCommand):
        return None if kind.cancelled is None else kind.cancelled(command.id)
    return msgspec.structs.replace(command, ask=id_) if type(command) in kind.later else command


def withdrawn(id_: str) -> Refusal:
    """What the asker of a command that was withdrawn is told."""
    return Refusal(CANCELLED, f"{id_} was withdrawn by its sender; what had happened by then stays")


def ended(id_: str, address: Address, refusal: Refusal) -> Reply:
    """The end of an ask that got no answer."""
    return Reply("refused", id_, str(address), code=refusal.code, message=refusal.message)
