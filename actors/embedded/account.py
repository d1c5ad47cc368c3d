"""Which account the servers run under. A plain user runs them as itself; root never runs them as root.

PostgreSQL refuses root, and nats-server has no need of it. As root the servers get a numeric uid that nobody else has:
nothing is added to /etc/passwd, and the account owns only the servers' own folders. The exception is `initdb`, which
insists on a name in /etc/passwd: it runs once as `nobody`, inside a folder no other `nobody` process can reach.
"""

import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from actors.embedded.errors import EmbeddedError

# systemd's table of uids lists this range as unused, and it exists in containers that map only 65536 ids.
_SERVER_IDS = range(65_520, 65_534)


class Identity(TypedDict, total=False):
    """The arguments by which subprocess takes an account."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True)
class Account:
    """A uid and gid to start processes under; None for both means ours."""

    uid: int | None = None
    gid: int | None = None

    @property
    def identity(self) -> Identity:
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give the file, or the folder and all in it, to the account, unless it is its own already. Follows no link."""
        if self.uid is None or self.gid is None or path.lstat().st_uid == self.uid:
            return
        for root, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(root, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid, follow_symlinks=False)  # Last: it says that the walk was finished.

    def inside(self, folder: Path) -> str:
        """How a process of this account, started with `folder` as its working directory, names that directory.

        As root the way to it may lead through folders closed to the account (/root is 0700), and we open none. Linux
        lets a process reach its own working directory by this link without walking the way.
        """
        if self.uid is not None and sys.platform == "linux":
            return "/proc/self/cwd"
        return str(folder)


def server_account() -> Account:
    """The account for the servers of this process."""
    if os.geteuid() != 0:
        return Account()
    for uid in _SERVER_IDS:
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return Account(uid, uid)
    raise EmbeddedError(
        f"every uid of {_SERVER_IDS.start}-{_SERVER_IDS.stop - 1} has a user, so none is left to run the "
        "servers under: run as a plain user instead of root"
    )


def initdb_account() -> Account:
    """The account for initdb, which needs a name in /etc/passwd."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise EmbeddedError(
                f"PostgreSQL's initdb needs a user name and the uid {os.geteuid()} has none in /etc/passwd: run as a "
                "user with a name, or name a server in TROUPE_POSTGRES_URL"
            ) from None
        return Account()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL's initdb refuses root and there is no user 'nobody' to run it as: run as a plain user, or "
            "name a server in TROUPE_POSTGRES_URL"
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)
