"""When Python looks for cyclic garbage: seldom, since a process of the company makes next to none.

Each batch of turns makes thousands of values that live until its commit, and by its usual thresholds the collector goes
through all of them, and often through every cached actor, many times a second: an eighth of a busy worker's time. What
is not part of a cycle is freed at once as before.
"""

import gc

YOUNG_OBJECTS = 50_000  # Between two looks at the young ones; a batch has fewer. As much may wait to be freed.
YOUNG_LOOKS = 20  # Between two looks at those that survived one,
OLD_LOOKS = 20  # and so many of those between two looks at everything (and only when there is a quarter more).


def collect_seldom() -> None:
    """For the whole process, from now on."""
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, OLD_LOOKS)
