"""How fast events are published again. Pure: the clock comes in.

The pace of the original is that of the events' own times (`at`): each event has its own, which its readers see as
`ce-time`, while the store's time of commit belongs to a whole batch. They come from the clocks of the company's
processes, so one may lie before that of the event before it: such an event is due at once.
"""

from datetime import datetime


class Pace:
    """When the next event is due: `speed` times as fast as it happened, or at most `per_second` events a second, or
    (both 0) at once."""

    def __init__(self, speed: float = 0.0, per_second: float = 0.0) -> None:
        self._speed, self._per_second = speed, per_second
        self._began: tuple[datetime, float] | None = None
        self._due_s = float("-inf")

    def wait_s(self, at: datetime, now_s: float) -> float:
        """How many seconds to wait from `now_s` (of a clock that never goes back) before the next event, which has the
        time `at`. After a hold-up the original's pace catches up, a rate does not."""
        if self._per_second:
            due_s = max(self._due_s, now_s)
            self._due_s = due_s + 1 / self._per_second
        elif self._speed:
            if self._began is None:
                self._began = at, now_s
            first, began_s = self._began
            due_s = self._due_s = max(self._due_s, began_s + (at - first).total_seconds() / self._speed)
        else:
            return 0.0
        return max(0.0, due_s - now_s)
