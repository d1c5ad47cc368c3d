"""Ids of commands: unique without asking anyone, and in the order of time.

RFC 9562, version 7. Rows of the inbox are found by id, so what arrives together stands together in its index: random
ids would touch another page of it for every command, and a checkpoint makes each of those a full page of WAL.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS = 80
_VERSION_AND_VARIANT = 0xF << 76 | 0x3 << 62
_SEVEN = 0x7 << 76 | 0x2 << 62


def new_id(at: datetime, chance: Random) -> str:
    """48 bits of milliseconds since 1970, then 74 bits of chance."""
    value = (at - _EPOCH) // timedelta(milliseconds=1) << _RANDOM_BITS | chance.getrandbits(_RANDOM_BITS)
    return str(UUID(int=value & ~_VERSION_AND_VARIANT | _SEVEN))
