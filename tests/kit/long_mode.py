"""The long mode: `TROUPE_LONG=1 bin/test tests/integration/…` tries far more seeds and crashes than every run."""

import os

LONG = os.environ.get("TROUPE_LONG", "") not in ("", "0")


def rounds(usual: int, long: int) -> int:
    """How many of something to try."""
    return long if LONG else usual
