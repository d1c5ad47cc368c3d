"""What an attempt at an effect leads to: an outcome for its actor, another attempt, or a question for a human. Pure but
for the words that are the performer's.

An effect always ends with one outcome, so a performer that cannot even word its failure leaves a question too.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from actors.runtime.kind import EffectCall, Kinds, Performer
from actors.runtime.retry import OutcomeUnknown
from actors.runtime.running_call import Ended
from actors.runtime.turn import plain
from eventstore.store import ClaimedEffect
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.message import Command, tag_of

OUTCOME_BYTES_MAX = BODY_BYTES_MAX // 2  # The event made of it must fit too.
LOST_ATTEMPTS_MAX = 20  # Attempts that did not come back, beyond those that may fail: the work may kill its workers.
UNDECODABLE_S = 30.0  # Until it is offered again, perhaps to a newer version.
NOT_BACK = "an earlier attempt did not come back; what it did is unknown"


class Nonsense(ValueError):
    """A performer answered with what is no command of the actor that asked, or with one that is too big."""


@dataclass(frozen=True, slots=True)
class Ending:
    """`ended` names it for metrics. One of: an outcome, words for a human (`doubt`) with what the actor is `told`
    meanwhile, a wait for another attempt; or nothing, when the claim was lost."""

    ended: str
    outcome: Command | None = None
    doubt: str = ""
    told: Command | None = None
    again_s: float | None = None
    tried: bool = True
    error: str = ""
    nonsense: bool = False


@dataclass(frozen=True)
class Wording:
    """The words for one call."""

    performer: Performer
    kinds: Kinds | None
    call: EffectCall
    work: Any

    def decided(self, effect: ClaimedEffect) -> Ending:
        """The ending of an effect that is not to be performed."""
        match effect.state:
            case "withdrawn" if effect.safety == "once" and effect.attempt > 0:
                return self._doubted(f"{effect.note}; {NOT_BACK}")
            case "done":
                words = effect.note or "an operator says that it was done"
                done = self.performer.done
                return self._worded("settled", words) if done is None else self._ending("settled", done, words)
            case "failed":
                return self._worded("settled", effect.note or "an operator says that it failed")
            case _:
                return self._worded("cancelled", effect.note)

    def unperformed(self, effect: ClaimedEffect) -> Ending | None:
        """The ending of an effect of which nobody may, or wants to, make another attempt; None: perform it."""
        if effect.safety == "once" and effect.attempt > 1 and effect.state != "again":
            return self._doubted(NOT_BACK)
        if effect.attempt > self.performer.attempts_max + LOST_ATTEMPTS_MAX:
            return self._worded("given_up", f"{effect.attempt - 1} attempts ended without a word from their workers")
        return None

    def ending(self, effect: ClaimedEffect, ended: Ended, chance: Random) -> Ending:
        """The ending of an attempt."""
        if ended.cut == "claim_lost":
            return Ending("claim_lost")
        error = self._fault(ended)
        if error is None:
            assert isinstance(ended.outcome, Command), "checked"
            return Ending("done", ended.outcome)
        words = ended.why if ended.cut else plain(f"{type(error).__name__}: {error}")
        unclear = ended.cut or isinstance(error, OutcomeUnknown | Nonsense)
        if effect.safety == "once" and unclear:
            return self._doubted(words, isinstance(error, Nonsense))
        if ended.cut == "withdrawn":
            return self._worded("cancelled", words)
        retry, last = self.performer.retry, self.performer.attempts_max
        if effect.safety == "once" or isinstance(error, retry.permanent) or self.call.attempt >= last:
            return replace(self._worded("given_up", words), nonsense=isinstance(error, Nonsense))
        wait_s = retry.wait_s(self.call.attempt, chance)
        return Ending("retried", again_s=wait_s, error=words, nonsense=isinstance(error, Nonsense))

    def _doubted(self, words: str, nonsense: bool = False) -> Ending:
        """A question for a human. The actor hears of it in the performer's words, if it has any."""
        told, unknown = None, self.performer.unknown
        if unknown is not None:
            try:
                told = unknown(self.call, self.work)
                check_outcome(self.kinds, self.call, told)
            except Exception as error:  # noqa: BLE001 - whatever it raises, the question is asked
                told, words = None, plain(f"{words}; and it could not be told: {type(error).__name__}: {error}")
        return Ending("unknown", doubt=words, told=told, error=words, nonsense=nonsense)

    def _fault(self, ended: Ended) -> Exception | None:
        """What is wrong with how it ended; None: nothing."""
        if ended.cut:
            return TimeoutError(ended.why)
        if ended.error is not None:
            return ended.error
        try:
            check_outcome(self.kinds, self.call, ended.outcome)
        except Nonsense as error:
            return error
        return None

    def _worded(self, ended: str, words: str) -> Ending:
        return self._ending(ended, self.performer.give_up, words)

    def _ending(self, ended: str, wording: Any, words: str) -> Ending:
        try:
            outcome = wording(self.call, self.work, words)
            check_outcome(self.kinds, self.call, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it raises, its actor cannot be told
            broke = plain(f"{words}; and it could not be told: {type(error).__name__}: {error}")
            return Ending("unknown", doubt=broke, error=broke, nonsense=True)
        return Ending(ended, outcome, error=words)


def check_outcome(kinds: Kinds | None, call: EffectCall, outcome: object) -> None:
    """Nonsense unless it is a command that the actor understands, of a size that can be stored."""
    if not isinstance(outcome, Command):
        raise Nonsense(f"a performer answers with a command, not with {type(outcome).__name__}")
    tag = tag_of(outcome)
    kind = None if kinds is None else kinds.get(call.address.kind)
    if kind is not None and tag not in kind.command_vocabulary.classes:
        raise Nonsense(f"{tag} is no command of the kind {kind.name}")
    size = len(encode(outcome))
    if size > OUTCOME_BYTES_MAX:
        raise Nonsense(f"{tag} has {size} bytes, limit {OUTCOME_BYTES_MAX}; store big content as a blob")
