"""How far each partition's commands are settled, and the witness that proves the stream is still the one we settled.

Pure bookkeeping of one process over one feed. Survives a crash only through the store: what it computes goes into the
fence of the next commit. Commands between the cursor and the last one seen are open until their turn has committed.
"""

from collections.abc import Collection, Iterable

from eventstore.store import Lease

Place = tuple[int, str]  # A sequence of the stream and the witness of the message there; (0, ""): before the first.
START: Place = (0, "")


class Cursors:
    """The cursors of all owned partitions. Sequences are those of one stream, seen in ascending order."""

    def __init__(self, leases: Iterable[Lease]) -> None:
        self._floor: dict[int, Place] = {lease.partition: (lease.cursor, lease.witness) for lease in leases}
        # Each open command with the message seen just before it: where the cursor stands while it is the lowest open
        # one. So memory is bounded by what is open, however long one command stays so.
        self._open: dict[int, dict[int, Place]] = {partition: {} for partition in self._floor}
        self._last = START
        self.generation = 0
        self.open_count = 0
        # The highest sequence whose message may be more than a doorbell, the messages that may be about somebody, and
        # below which nobody knows: what was settled before this feed began was not seen by this process.
        self.content = self.unknown_below = self._highest()
        self.personal: set[int] = set()

    def lowest(self) -> Place:
        """The lowest cursor: the feed must begin after it, what is below it is settled for good."""
        return min(self._floor.values(), default=START)

    def stored(self) -> dict[int, Place]:
        """Cursor and witness of each partition as the store has them."""
        return dict(self._floor)

    def see(self, partition: int, sequence: int, witness: str) -> bool:
        """A message came by; True if it is new to us and now open."""
        if sequence <= self._last[0]:
            return False
        before, self._last = self._last, (sequence, witness)
        if partition not in self._floor or sequence <= self._floor[partition][0]:
            return False
        self._open[partition][sequence] = before
        self.open_count += 1
        return True

    def heard_content(self, sequence: int) -> None:
        """The message with that sequence is no doorbell: something is in it."""
        self.content = max(self.content, sequence)

    def purged(self, sequence: int) -> None:
        """The stream begins at that sequence now, and nothing is left of what was before."""
        self.personal = {left for left in self.personal if left >= sequence}
        if self.unknown_below <= sequence:
            self.unknown_below = 0

    def settle(self, partition: int, sequence: int, generation: int) -> None:
        """The message is applied, silent, refused or quarantined, and that is committed."""
        if generation == self.generation and self._open.get(partition, {}).pop(sequence, None) is not None:
            self.open_count -= 1

    def preview(self, partition: int, settling: Collection[int] = ()) -> Place:
        """Cursor and witness once the sequences in `settling` (of this generation) are settled too."""
        opened = self._open[partition]
        lowest = min((sequence for sequence in opened if sequence not in settling), default=None)
        # The message before the lowest open one may belong to another partition; between them there is none.
        reached = self._last if lowest is None else opened[lowest]
        return max(self._floor[partition], reached, key=_sequence)

    def committed(self, partition: int, cursor: Place) -> None:
        """The store now has this cursor."""
        self._floor[partition] = cursor

    def behind(self) -> dict[int, Place]:
        """Partitions whose cursor could move without any commit of theirs, with where to."""
        moved = {partition: self.preview(partition) for partition in self._floor}
        return {partition: cursor for partition, cursor in moved.items() if cursor[0] != self._floor[partition][0]}

    def rewind(self, partitions: Iterable[int]) -> None:
        """The stream is not the one we settled: begin again; what is known will be refused."""
        for partition in partitions:
            self._floor[partition] = START
        self.personal.clear()  # They were of that other stream.
        self.replay_from_store()

    def replay_from_store(self) -> None:
        """The feed is opened again from the stored cursors: what it brought before will come again."""
        self._open = {partition: {} for partition in self._floor}
        self._last = START
        self.generation += 1
        self.open_count = 0
        self.content = self.unknown_below = self._highest()

    def _highest(self) -> int:
        return max(map(_sequence, self._floor.values()), default=0)


def _sequence(place: Place) -> int:
    return place[0]
