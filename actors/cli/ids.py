"""Ids of commands that begin here: unique without asking anyone, and in the order of time.

RFC 9562, version 7. Rows of the inbox are found by id, so what arrives together stands together in its index: random
ids would touch another page of it for every command, and a checkpoint makes each of those a full page of WAL.
"""

import os
from time import time_ns
from uuid import UUID

_VERSION_AND_VARIANT = 0xF << 76 | 0x3 << 62
_SEVEN = 0x7 << 76 | 0x2 << 62


def new_id() -> str:
    """48 bits of milliseconds since 1970, then 74 random ones."""
    value = time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return str(UUID(int=value & ~_VERSION_AND_VARIANT | _SEVEN))
