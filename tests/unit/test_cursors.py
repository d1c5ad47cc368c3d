"""The cursor: never past an open command, always beside the witness of the message it stands at."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.runtime.cursor import Cursors
from eventstore.store import Lease

PARTITIONS = 3


def leases(*cursors: int) -> list[Lease]:
    return [Lease(p, 1, uuid4(), cursor, witness(cursor)) for p, cursor in enumerate(cursors)]


def witness(sequence: int, stream: int = 0) -> str:
    return f"w{stream}-{sequence}" if sequence else ""


def test_a_fresh_partition_stands_before_the_first_message() -> None:
    cursors = Cursors(leases(0, 0))
    assert cursors.lowest() == (0, "")
    assert cursors.preview(0) == (0, "")
    assert cursors.behind() == {}


def test_the_feed_begins_after_the_lowest_cursor() -> None:
    assert Cursors(leases(9, 4, 7)).lowest() == (4, "w0-4")
    assert Cursors([]).lowest() == (0, "")


def test_what_was_settled_before_is_not_new() -> None:
    cursors = Cursors(leases(5, 2))
    assert not cursors.see(0, 4, witness(4))
    assert cursors.see(1, 5, witness(5))
    assert cursors.see(0, 6, witness(6))
    assert not cursors.see(0, 6, witness(6))
    assert not cursors.see(7, 8, witness(8)), "not a partition of ours"
    assert cursors.open_count == 2


def test_an_open_command_holds_its_partition_and_no_other() -> None:
    cursors = Cursors(leases(0, 0))
    cursors.see(0, 3, witness(3))
    cursors.see(1, 4, witness(4))
    cursors.see(1, 9, witness(9))
    assert cursors.preview(0) == (0, "")
    assert cursors.preview(0, {3}) == (9, "w0-9"), "all of it is settled up to the last message seen"
    assert cursors.preview(1, {4}) == (4, "w0-4"), "up to the message before the open one, whoever's it is"
    cursors.settle(1, 4, cursors.generation)
    assert cursors.preview(1) == (4, "w0-4")
    assert cursors.behind() == {1: (4, "w0-4")}


def test_one_about_somebody_is_open_until_it_is_erased_and_never_a_witness() -> None:
    cursors = Cursors(leases(0, 0))
    cursors.see(0, 1, witness(1))
    cursors.see(0, 2, witness(2), personal=True)
    cursors.see(0, 3, witness(3), personal=True)
    assert cursors.preview(0, {1, 2, 3}) == (1, "w0-1"), "settled by a commit it is not erased yet"
    for sequence in (1, 2, 3):
        cursors.settle(0, sequence, cursors.generation)
    assert vars(cursors)["_erasable"] == {2: 0, 3: 0}
    cursors.erased(cursors.generation, [2, 3])
    assert cursors.preview(0) == (1, "w0-1"), "what is erased cannot be a witness"
    cursors.see(1, 4, witness(4))
    assert cursors.preview(0) == (4, "w0-4")
    assert (cursors.open_count, vars(cursors)["_personal"]) == (1, set())


def test_an_erasure_for_an_earlier_feed_closes_nothing_of_this_one() -> None:
    cursors = Cursors(leases(0))
    cursors.see(0, 1, witness(1), personal=True)
    cursors.settle(0, 1, cursors.generation)
    old = cursors.generation
    cursors.rewind([0])
    cursors.see(0, 1, witness(1, stream=1), personal=True)
    cursors.settle(0, 1, cursors.generation)
    cursors.erased(old, [1])
    assert cursors.open_count == 1


def test_a_gained_partition_is_read_from_the_next_feed_on() -> None:
    """Of this one nobody knows what it did not bring of it."""
    cursors = Cursors(leases(0, 0)[:1])
    cursors.see(0, 5, witness(5))
    cursors.gain([leases(0, 2)[1]])
    assert not cursors.see(1, 6, witness(6))
    assert cursors.preview(1) == (2, "w0-2")
    assert cursors.behind() == {}
    cursors.replay_from_store()
    assert cursors.lowest() == (0, "")
    assert cursors.see(1, 3, witness(3))


def test_a_lost_partition_says_nothing_more() -> None:
    cursors = Cursors(leases(0, 0))
    cursors.see(0, 1, witness(1), personal=True)
    cursors.see(1, 2, witness(2))
    cursors.settle(0, 1, cursors.generation)
    cursors.lose([0])
    assert cursors.open_count == 1
    assert vars(cursors)["_erasable"] == {}
    cursors.erased(cursors.generation, [1])
    cursors.committed(0, (9, "w0-9"))
    assert cursors.stored() == {1: (0, "")}
    cursors.gain([leases(0)[0]])
    assert not cursors.see(0, 3, witness(3)), "of this feed it was lost"


def test_a_cursor_never_moves_back_while_the_feed_begins_again() -> None:
    cursors = Cursors(leases(0, 0))
    for sequence in (1, 2, 3):
        cursors.see(0, sequence, witness(sequence))
        cursors.settle(0, sequence, cursors.generation)
    cursors.committed(0, cursors.preview(0))
    cursors.replay_from_store()
    assert cursors.preview(0) == (3, "w0-3")
    assert not cursors.see(0, 1, witness(1))
    assert cursors.preview(0) == (3, "w0-3")
    assert cursors.preview(1) == (1, "w0-1")


def test_a_settlement_of_an_earlier_feed_says_nothing_about_this_one() -> None:
    cursors = Cursors(leases(0))
    cursors.see(0, 1, witness(1))
    old = cursors.generation
    cursors.rewind([0])
    cursors.see(0, 1, witness(1, stream=1))
    cursors.settle(0, 1, old)
    assert cursors.open_count == 1
    assert cursors.preview(0) == (0, "")


def test_a_command_that_stays_open_costs_no_memory_for_what_passes_it() -> None:
    cursors = Cursors(leases(0, 0))
    cursors.see(0, 1, witness(1))
    for sequence in range(2, 10_000):
        cursors.see(1, sequence, witness(sequence))
        cursors.settle(1, sequence, cursors.generation)
        cursors.committed(1, cursors.preview(1))
    assert cursors.open_count == 1
    assert sum(len(part) for part in vars(cursors)["_open"].values()) == 1
    assert cursors.preview(0) == (0, "")
    assert cursors.preview(0, {1}) == (9_999, "w0-9999")


class OneFeedManyPartitions(RuleBasedStateMachine):
    """Random interleavings of messages, settlements, commits, reopened feeds and lost streams."""

    def __init__(self) -> None:
        super().__init__()
        self.cursors = Cursors(leases(*[0] * PARTITIONS))
        self.stream = 0
        self.messages: list[int] = []  # The partition of each message of the stream; sequence = place + 1.
        self.unsettled: set[int] = set()  # Sequences whose settlement is not committed.
        self.read = 0
        self.stored: dict[int, tuple[int, str]] = dict.fromkeys(range(PARTITIONS), (0, ""))

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def publish(self, partition: int) -> None:
        self.messages.append(partition)
        self.unsettled.add(len(self.messages))

    @precondition(lambda self: self.read < len(self.messages))
    @rule(skip=st.integers(0, 1))
    def see(self, skip: int) -> None:
        """A message comes by; one that was already settled is settled at once, as the store knows it."""
        self.read += 1
        partition = self.messages[self.read - 1]
        if (
            self.cursors.see(partition, self.read, witness(self.read, self.stream))
            and self.read not in self.unsettled
            and skip
        ):
            self.cursors.settle(partition, self.read, self.cursors.generation)

    @rule(data=st.data(), winning=st.booleans())
    def commit(self, data: st.DataObject, winning: bool) -> None:
        """A batch settles some seen commands: the fence carries the preview, which counts if no unit lost."""
        seen = [sequence for sequence in range(1, self.read + 1) if sequence in self.unsettled]
        chosen = data.draw(st.sets(st.sampled_from(seen))) if seen else set[int]()
        for partition in range(PARTITIONS):
            mine = {sequence for sequence in chosen if self.messages[sequence - 1] == partition}
            target = self.cursors.preview(partition, mine)
            if winning:
                self.unsettled -= mine
                self.stored[partition] = target
                self.cursors.committed(partition, target)
                for sequence in mine:
                    self.cursors.settle(partition, sequence, self.cursors.generation)

    @rule()
    def advance(self) -> None:
        for partition, target in self.cursors.behind().items():
            self.stored[partition] = target
            self.cursors.committed(partition, target)

    @rule()
    def reopen(self) -> None:
        self.cursors.replay_from_store()
        self.read = self.cursors.lowest()[0]

    @rule()
    def lose_the_stream(self) -> None:
        self.stream += 1
        self.messages, self.unsettled, self.read = [], set(), 0
        self.cursors.rewind(range(PARTITIONS))
        self.stored = dict.fromkeys(range(PARTITIONS), (0, ""))

    @invariant()
    def the_stored_cursor_never_passes_an_open_command(self) -> None:
        for partition, (cursor, _) in self.stored.items():
            passed = [s for s in self.unsettled if s <= cursor and self.messages[s - 1] == partition]
            assert not passed

    @invariant()
    def the_witness_is_that_of_the_message_at_the_cursor(self) -> None:
        for cursor, found in self.stored.values():
            assert found == (witness(cursor, self.stream) if cursor else "")

    @invariant()
    def memory_is_bounded_by_what_is_open(self) -> None:
        assert self.cursors.open_count == sum(map(len, vars(self.cursors)["_open"].values()))
        assert self.cursors.open_count <= self.read


TestOneFeedManyPartitions = OneFeedManyPartitions.TestCase


@given(st.lists(st.integers(0, PARTITIONS - 1), max_size=30))
def test_when_all_is_settled_every_cursor_reaches_the_end(partitions: list[int]) -> None:
    cursors = Cursors(leases(*[0] * PARTITIONS))
    for sequence, partition in enumerate(partitions, start=1):
        cursors.see(partition, sequence, witness(sequence))
    for sequence, partition in reversed(list(enumerate(partitions, start=1))):
        cursors.settle(partition, sequence, cursors.generation)
    end = (len(partitions), witness(len(partitions)))
    assert {cursors.preview(p) for p in range(PARTITIONS)} == {end}
    assert cursors.open_count == 0
