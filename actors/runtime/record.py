"""Effects of a fork, answered from what they came to in the original instead of being performed again.

An outcome answers the same work only: the same effect (by key) with the same bytes. What was never wanted in the
original, or was wanted differently since something was changed, is not in the record: then it is performed where the
fork is live, and elsewhere ends with a word that nothing is recorded. So a fork that is not live touches nothing in the
world.
"""

import hashlib
from typing import Any

import structlog

from actors.runtime.kind import EffectCall, Kinds, Performer
from eventstore.forking import Forks
from protocol.codec import Malformed
from protocol.message import Command

NOTHING_RECORDED = (
    "nothing is recorded for this work in the log that was forked, and this fork performs none; "
    "fork again with --live-effects to have it done"
)

log = structlog.get_logger("record")


class Record:
    """What the effects of one fork came to in its original."""

    def __init__(self, forks: Forks, kinds: Kinds, live: bool) -> None:
        self._forks, self._kinds, self._live = forks, kinds, live

    async def answer(self, performer: Performer, call: EffectCall, work: Any, body: bytes) -> Command | None:
        """The outcome of that work (whose bytes are `body`); None: perform it. StoreUnavailable when the record cannot
        be read now."""
        known = await self.known(call, body)
        if known is not None or self._live:
            return known
        log.info("record.nothing", key=call.key, kind=performer.kind)
        return performer.give_up(call, work, NOTHING_RECORDED)

    async def known(self, call: EffectCall, body: bytes) -> Command | None:
        """What that work came to in the original, if that is recorded. StoreUnavailable."""
        recorded = await self._forks.recorded(call.address.project, call.key)
        if recorded is not None and recorded.work == hashlib.sha256(body).digest():
            try:
                return self._kinds[call.address.kind].command_vocabulary.decode(recorded.body, recorded.type)
            except Malformed as error:
                log.warning("record.unreadable", key=call.key, error=str(error))
        return None
