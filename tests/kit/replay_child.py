"""`troupe` in a process that can be killed: `python -m tests.kit.replay_child ARGUMENTS`.

The lease on a consumer's name ends soon after such a death.
"""

import sys

from actors.cli.main import main
from actors.runtime import replays

LEASE_TTL_S = 0.8

if __name__ == "__main__":
    replays.LEASE_TTL_S, replays.RENEW_EVERY_S = LEASE_TTL_S, LEASE_TTL_S / 4
    sys.exit(main(sys.argv[1:]))
