"""Deadlines of commands and asks: what is said of one that has passed, or that nobody would live to see. Pure.

Whether a deadline has passed is decided in the commit, by the store's clock. A process looks at its own clock only for
what is past by more than clocks differ, so that it need not be decided at all.
"""

from datetime import datetime, timedelta

from protocol.envelope import Envelope, format_time, parse_time
from protocol.message import Refusal
from protocol.reply import EXPIRED

CLOCKS_DIFFER_S_MAX = 5.0  # This process's and the store's. Beyond that a command may be refused too early.
DEADLINE_S_MAX = 30 * 86_400.0  # An open ask is a row that the store keeps until then.
ASK_S = 300.0  # How long an ask that names no deadline stays open.


def deadline_refusal(deadline: datetime, now: datetime) -> Refusal | None:
    """Why a command that came at `now` cannot be taken with that deadline; None if it can, as far as one sees here."""
    ahead_s = (deadline - now).total_seconds()
    if ahead_s > DEADLINE_S_MAX:
        return Refusal(
            "bad-header",
            f"the deadline {format_time(deadline)} is {ahead_s / 86_400:.0f} days ahead, "
            f"limit {DEADLINE_S_MAX / 86_400:.0f}",
        )
    return too_late(deadline) if ahead_s < -CLOCKS_DIFFER_S_MAX else None


def too_late(deadline: datetime) -> Refusal:
    """What is said of a command whose turn came after its deadline."""
    return Refusal(
        EXPIRED, f"the deadline {format_time(deadline)} had passed when the command's turn came; send it anew"
    )


def deadline_of(envelope: Envelope) -> datetime | None:
    """Until when a command may be decided. Only what comes from outside has a deadline."""
    return parse_time(envelope.deadline) if envelope.deadline else None


def ask_deadline(envelope: Envelope, now: datetime) -> datetime:
    """Until when its asker waits for an answer that comes later."""
    return deadline_of(envelope) or now + timedelta(seconds=ASK_S)
