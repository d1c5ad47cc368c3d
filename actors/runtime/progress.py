"""Notices a process that stands still although it could work: commands are ready, the store answers, nothing commits.

That is a fault of ours (a service that waits for what never comes), and no restart of what has not failed would be
right: it is said in the log, as a metric and by `/readyz`, so that whoever looks after processes can end this one.
"""

from typing import Protocol

import anyio
import structlog

from actors.runtime.mailboxes import Mailboxes
from actors.runtime.metrics import RuntimeMetrics
from eventstore.store import EventStore, StoreError

STALLED_S = 30.0
LOOK_EVERY_S = 5.0
ANSWER_S_MAX = 2.0  # A store that takes longer is not one that answers.

log = structlog.get_logger("progress")


class Commits(Protocol):
    """What the watch asks (actors.runtime.commit.Committer)."""

    @property
    def commits(self) -> int:
        """How many batches the store has answered."""
        ...


class Progress:
    """One per process. `stalled` says what does not move ("": all is well)."""

    def __init__(self, store: EventStore, mailboxes: Mailboxes, commits: Commits, metrics: RuntimeMetrics) -> None:
        self._store, self._mailboxes, self._commits, self._metrics = store, mailboxes, commits, metrics
        self._moved_at = 0.0
        self._seen = -1
        self.stalled = ""

    async def run(self) -> None:
        """Look until cancelled."""
        self._moved_at = anyio.current_time()
        while True:
            await self.look()
            await anyio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """See whether something has moved."""
        now, commits = anyio.current_time(), self._commits.commits
        if commits != self._seen or not self._mailboxes.ready(1):
            self._seen, self._moved_at = commits, now
            self._say("")
        elif now - self._moved_at >= STALLED_S and await self._answers():
            waiting = self._mailboxes.waiting
            self._say(
                f"{waiting} commands wait, and nothing was committed for {STALLED_S:g} s although the store answers"
            )

    def _say(self, words: str) -> None:
        if bool(words) != bool(self.stalled):
            log.error("progress.stalled", error=words) if words else log.info("progress.moves")
            self._metrics.progress_stalled.set(bool(words))
        self.stalled = words

    async def _answers(self) -> bool:
        with anyio.move_on_after(ANSWER_S_MAX):
            try:
                await self._store.head()
            except StoreError:
                return False
            return True
        return False
