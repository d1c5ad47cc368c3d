"""How an ask or a tell can fail, and what a stream's word on a publish means."""

import msgspec

RETRY_AFTER_S = 5.0  # A full stream is purged of what is settled about as often.


class Unreachable(Exception):
    """NATS cannot be reached; the message says where and why."""


class NoReply(Exception):
    """Nobody answered in time. Whether the command was, or will be, carried out is unknown."""


class NotStored(Unreachable):
    """NATS did not take the command, so it was not and will not be carried out. `retry_after_s`: when to try again
    (0: once somebody has done something about it)."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooBig(NotStored):
    """The command has more bytes than a message of this NATS can have."""


class _AckError(msgspec.Struct):
    description: str = ""


class _Ack(msgspec.Struct):
    error: _AckError | None = None


_acks = msgspec.json.Decoder(_Ack)


def refusal_in(ack: bytes) -> NotStored | None:
    """What the stream said of a publish; None when it stored it."""
    try:
        error = _acks.decode(ack).error
    except msgspec.DecodeError:  # Nobody answered: NATS says so with an empty message.
        return NotStored("no stream takes it; is a company running on this NATS? Start one with `troupe dev`")
    if error is None:
        return None
    full = "maximum" in error.description
    hint = f"; the stream is full, try again in {RETRY_AFTER_S:g} s" if full else ""
    return NotStored((error.description or "it did not say why") + hint, RETRY_AFTER_S if full else 0.0)
