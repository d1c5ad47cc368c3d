"""Addresses that no actor has, one in each partition: a doorbell there finds no mail and moves its owner's cursor."""

from functools import cache
from itertools import count

from protocol.subjects import PARTITIONS, Address, partition_of


@cache
def bell_of(partition: int) -> Address:
    """The address in that partition. `partition` is one of PARTITIONS."""
    if not 0 <= partition < PARTITIONS:
        raise ValueError(f"there is no partition {partition}: they are 0 to {PARTITIONS - 1}")
    names = (Address("troupe", "runtime", f"bell-{n}") for n in count())
    return next(address for address in names if partition_of(address) == partition)
