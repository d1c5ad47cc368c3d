"""How far each partition's commands are settled, and the witness that proves the stream is still the one we settled.

Pure bookkeeping of one process over one feed. Survives a crash only through the store: what it computes goes into the
fence of the next commit. Commands between the cursor and the last one seen are open until their turn has committed, and
one that may be about somebody until it is erased from the stream as well: the cursor passes nothing that would be left
behind, and never stands at a message that is to go.
"""

from collections.abc import Collection, Iterable, Sequence

import anyio

from eventstore.store import Lease

Place = tuple[int, str]  # A sequence of the stream and the witness of the message there; (0, ""): before the first.
START: Place = (0, "")


class Cursors:
    """The cursors of all owned partitions. Sequences are those of one stream, seen in ascending order."""

    def __init__(self, leases: Iterable[Lease] = ()) -> None:
        self._floor: dict[int, Place] = {}
        # Each open command, in ascending order, with the place the cursor is at while it is the lowest open one. So
        # memory is bounded by what is open, however long one command stays so.
        self._open: dict[int, dict[int, Place]] = {}
        self._personal: set[int] = set()  # Those of the open ones that are to be erased.
        self._erasable: dict[int, int] = {}  # Settled, to be erased; with the partition of each.
        self._to_erase = anyio.Event()
        self._seen = 0
        self._place = START  # The last message that can be a witness.
        self.generation = 0
        self.open_count = 0
        self.gain(leases)
        self._read = set(self._floor)  # Partitions of which this feed has brought all that is above their cursors.

    def gain(self, leases: Iterable[Lease]) -> None:
        """Own these partitions too. They are read from the next feed on, which begins at the stored cursors."""
        for lease in leases:
            self._floor[lease.partition] = (lease.cursor, lease.witness)
            self._open[lease.partition] = {}

    def lose(self, partitions: Iterable[int]) -> None:
        """Own these no more: whatever comes of them says nothing."""
        for partition in partitions:
            self._floor.pop(partition, None)
            self._read.discard(partition)
            opened = self._open.pop(partition, {})
            self.open_count -= len(opened)
            self._personal.difference_update(opened)
            for sequence in opened:
                self._erasable.pop(sequence, None)

    @property
    def open_most(self) -> int:
        """How many are open in the partition that has the most."""
        return max(map(len, self._open.values()), default=0)

    @property
    def seen(self) -> int:
        """The highest sequence that came by."""
        return self._seen

    def lowest(self) -> Place:
        """The lowest cursor: the feed must begin after it."""
        return min(self._floor.values(), default=START)

    def stored(self) -> dict[int, Place]:
        """Cursor and witness of each partition as the store has them."""
        return dict(self._floor)

    def expects(self, partition: int, sequence: int, witness: str) -> bool:
        """Is that message one of ours that is not settled? If not, it is only noted that it came by."""
        if sequence <= self._seen or partition not in self._read:
            return False
        if sequence <= self._floor[partition][0]:
            self._seen, self._place = sequence, (sequence, witness)
            return False
        return True

    def see(self, partition: int, sequence: int, witness: str, personal: bool = False) -> bool:
        """A message came by; True if it is new to us and now open. `personal`: it may be about somebody, and is to be
        erased from the stream when it is settled."""
        if not self.expects(partition, sequence, witness):
            return False
        self._open[partition][sequence] = self._place
        self.open_count += 1
        self._seen = sequence
        if personal:
            self._personal.add(sequence)
        else:
            self._place = (sequence, witness)
        return True

    def settle(self, partition: int, sequence: int, generation: int) -> None:
        """The message is applied, silent, refused or quarantined, and that is committed."""
        if generation != self.generation or sequence not in self._open.get(partition, {}):
            return
        if sequence in self._personal:
            self._erasable[sequence] = partition
            self._to_erase.set()
        else:
            self._close(partition, sequence)

    async def erasable(self) -> tuple[int, list[int]]:
        """Settled messages that are to be erased from the stream (at least one; waits for it), and their generation."""
        while not self._erasable:
            self._to_erase = anyio.Event()
            await self._to_erase.wait()
        return self.generation, sorted(self._erasable)

    def erased(self, generation: int, sequences: Sequence[int]) -> None:
        """Nothing is left of those messages."""
        for sequence in sequences if generation == self.generation else ():
            partition = self._erasable.pop(sequence, None)
            if partition is not None:
                self._close(partition, sequence)

    def preview(self, partition: int, settling: Collection[int] = ()) -> Place:
        """Cursor and witness once the sequences in `settling` (of this generation) are settled too."""
        if partition not in self._read:
            return self._floor[partition]
        opened = self._open[partition]
        lowest = next((s for s in opened if s not in settling or s in self._personal), None)
        # The message before the lowest open one may belong to another partition; between them there is none of ours.
        reached = self._place if lowest is None else opened[lowest]
        return max(self._floor[partition], reached, key=_sequence)

    def committed(self, partition: int, cursor: Place) -> None:
        """The store now has this cursor."""
        if partition in self._floor:
            self._floor[partition] = cursor

    def behind(self) -> dict[int, Place]:
        """Partitions whose cursor could move without any commit of theirs, with where to."""
        moved = {partition: self.preview(partition) for partition in self._floor}
        return {partition: cursor for partition, cursor in moved.items() if cursor[0] != self._floor[partition][0]}

    def rewind(self, partitions: Iterable[int]) -> None:
        """The stream is not the one we settled: begin again; what is known will be refused."""
        for partition in partitions:
            if partition in self._floor:
                self._floor[partition] = START
        self.replay_from_store()

    def replay_from_store(self) -> None:
        """The feed is opened again from the stored cursors: what it brought before will come again."""
        self._read = set(self._floor)
        self._open = {partition: {} for partition in self._floor}
        self._personal, self._erasable = set(), {}
        self._seen, self._place = 0, START
        self.generation += 1
        self.open_count = 0

    def _close(self, partition: int, sequence: int) -> None:
        if self._open.get(partition, {}).pop(sequence, None) is not None:
            self.open_count -= 1
            self._personal.discard(sequence)


def _sequence(place: Place) -> int:
    return place[0]
