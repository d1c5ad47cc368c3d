"""Which command is next: the better priority first, each sender's own in the order they came, and nobody starves.

A command's rank is the number of commands that had come to this process before it, and OVERTAKEN_MAX more for each step
below the best priority. The lowest rank is next. So at most OVERTAKEN_MAX later commands for each step between their
priorities overtake one, and then it is its turn, whatever still comes. Of one sender to one actor nothing overtakes
anything: what stands before a better one of the same sender takes over its rank, and goes first. Sends between actors
and outcomes of effects are of medium priority. Pure, in memory only.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from msgspec.structs import replace

from actors.runtime.later import withdrawn
from actors.runtime.turn import Pending
from protocol.envelope import PRIORITIES, PRIORITY

OVERTAKEN_MAX = 1_024  # Commands, for each step between two priorities.

_LATER = {name: step * OVERTAKEN_MAX for step, name in enumerate(PRIORITIES)}
_LATER[""] = _LATER[PRIORITY]


def rank(pending: Pending, arrival: int) -> int:
    """Where a command stands that came as the `arrival`-th of its process."""
    return arrival + _LATER[pending.envelope.priority]


def sender_of(pending: Pending) -> str:
    """Whose order it keeps. Who names no sender and no source is one with all the others who do not."""
    return pending.sender or pending.envelope.sender or pending.envelope.source


class _Waiting:
    """A command and its rank, which may get better."""

    __slots__ = ("pending", "rank")

    def __init__(self, pending: Pending, rank: int) -> None:
        self.pending, self.rank = pending, rank


class Box:
    """The commands that wait for one actor."""

    __slots__ = ("_lanes", "_order", "size")

    def __init__(self) -> None:
        self._lanes: dict[str, deque[_Waiting]] = {}  # By sender; none is empty.
        self._order: list[tuple[int, str]] = []  # A heap: for every lane the rank of its head, and what was so once.
        self.size = 0

    @property
    def rank(self) -> int:
        """Of what is next. The box must not be empty."""
        return self._next()[0]

    def peek(self) -> Pending:
        """What is next. The box must not be empty."""
        return self._lanes[self._next()[1]][0].pending

    def put(self, pending: Pending, rank: int, sender: str | None = None) -> None:
        """Behind what the same sender has here."""
        sender = sender_of(pending) if sender is None else sender
        lane = self._lanes.get(sender)
        self.size += 1
        if lane is None:
            self._lanes[sender] = deque((_Waiting(pending, rank),))
            heappush(self._order, (rank, sender))
            return
        # Every command is bettered at most once for each priority: those of one priority come with rising ranks.
        for waiting in reversed(lane):
            if waiting.rank <= rank:
                break
            waiting.rank = rank
        else:
            heappush(self._order, (rank, sender))
        lane.append(_Waiting(pending, rank))

    def put_back(self, pending: Pending, rank: int) -> None:
        """In front of all that the same sender has here; its rank is lower than theirs."""
        sender = sender_of(pending)
        self._lanes.setdefault(sender, deque()).appendleft(_Waiting(pending, rank))
        heappush(self._order, (rank, sender))
        self.size += 1

    def pop(self) -> Pending:
        """Take what is next. The box must not be empty."""
        _, sender = self._next()
        heappop(self._order)
        lane = self._lanes[sender]
        taken = lane.popleft().pending
        if lane:
            heappush(self._order, (lane[0].rank, sender))
        else:
            del self._lanes[sender]
        self.size -= 1
        return taken

    def withdraw(self, id_: str) -> str | None:
        """The command with that id shall be refused when its turn comes; its sender, None if it does not wait here."""
        for sender, lane in self._lanes.items():
            for waiting in lane:
                if waiting.pending.id == id_:
                    refusal = waiting.pending.refusal or withdrawn(id_)
                    waiting.pending = replace(waiting.pending, command=None, refusal=refusal)
                    return sender
        return None

    def drop(self, unwanted: Callable[[Pending], bool]) -> list[Pending]:
        """Take out all that are unwanted; them."""
        dropped: list[Pending] = []
        for sender, lane in list(self._lanes.items()):
            kept = deque(waiting for waiting in lane if not unwanted(waiting.pending))
            if len(kept) == len(lane):
                continue
            dropped.extend(waiting.pending for waiting in lane if unwanted(waiting.pending))
            if kept:
                self._lanes[sender] = kept
                heappush(self._order, (kept[0].rank, sender))
            else:
                del self._lanes[sender]
        self.size -= len(dropped)
        return dropped

    def _next(self) -> tuple[int, str]:
        while True:
            first = self._order[0]
            lane = self._lanes.get(first[1])
            if lane is not None and lane[0].rank == first[0]:
                return first
            heappop(self._order)  # That head is gone, or has a better rank now.
