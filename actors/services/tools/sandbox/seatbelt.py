"""The sandbox of macOS: a profile for `sandbox-exec`, written anew for each command, and limits by the shell.

It has not been run on the machines Troupe is tested on, which are Linux: detection probes it like the others, and where
the probe fails the sandbox is `none`. The grammar of profiles is the one of macOS 13 and later (sandbox-exec(1), and
the profiles in /System/Library/Sandbox/Profiles). What it cannot promise is in README.md.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from actors.services.tools.sandbox import base, view
from actors.services.tools.sandbox.base import Kind, Policy

SANDBOX_EXEC = "/usr/bin/sandbox-exec"
# Programs and libraries of the system, of Apple's command line tools (git, python3) and of the usual package managers.
SYSTEM = (
    "/System",
    "/bin",
    "/sbin",
    "/usr",
    "/Library/Apple",
    "/Library/Developer/CommandLineTools",
    "/Library/Frameworks",
    "/opt/homebrew",
    "/opt/local",
    "/private/etc/ssl",
    "/private/var/db/dyld",
    "/private/var/db/timezone",
    "/private/var/select",
    "/private/preboot/Cryptexes",  # Where the system keeps its shared libraries.
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/dtracehelper")
_BLOCK_BYTES = 512  # What `ulimit -f` of a POSIX shell counts in.
# $1…$3 are the limits; a limit that is above the user's own is left as it is.
_LIMITED = (
    'ulimit -t "$1" 2>/dev/null; ulimit -f "$2" 2>/dev/null; ulimit -n "$3" 2>/dev/null; ulimit -c 0; '
    'shift 3; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Seatbelt:
    """sandbox-exec with a profile that denies what the policy does not name."""

    kind: Kind = "seatbelt"

    @property
    def detail(self) -> str:
        return "sandbox-exec (no network at all), resource limits; a process that leaves its group outlives the command"

    def command(self, argv: tuple[str, ...], policy: Policy) -> list[str]:
        readable = view.existing((*SYSTEM, *view.python_paths(), *policy.readable))
        text = profile(readable, view.existing(policy.writable))
        limits = (str(policy.cpu_s), str(base.FILE_BYTES_MAX // _BLOCK_BYTES), str(base.OPEN_FILES_MAX))
        return [SANDBOX_EXEC, "-p", text, "/bin/sh", "-c", _LIMITED, "sh", *limits, *argv]


def profile(readable: Iterable[str], writable: Iterable[str]) -> str:
    """The profile's text: everything is denied but reading and running `readable`, and also writing `writable`.

    Paths are absolute and resolved, since the kernel compares resolved ones. A path covers all below it. One with
    control characters has no sure spelling here and is left out: the command then cannot reach it, and says so.
    """
    read, write = sorted({*readable, *writable}), sorted(set(writable))
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow signal (target same-sandbox))",
        "(allow process-info* (target same-sandbox))",
        "(allow sysctl-read)",
        "(allow ipc-posix-sem)",
        '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',  # getpwuid
        '(allow file-read* (literal "/"))',  # The loader lists the root.
        _rule("file-read-metadata", "literal", _ancestors(read)),
        _rule("file-read* file-map-executable process-exec", "subpath", read),
        _rule("file-read* file-write-data file-ioctl", "literal", DEVICES),
        _rule("file-write*", "subpath", write),
        "(deny file-write-setugid)",
        "(deny network*)",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def unusable() -> str:
    """Why it need not even be probed ("": probe it)."""
    if not os.access(SANDBOX_EXEC, os.X_OK):
        return f"there is no {SANDBOX_EXEC}"
    if os.geteuid() == 0:
        return "sandbox-exec does not take root away: run as a plain user"
    return ""


def _rule(operations: str, match: str, paths: Iterable[str]) -> str:
    filters = " ".join(f"({match} {quoted(path)})" for path in paths if path.isprintable())
    return f"(allow {operations} {filters})" if filters else ""


def _ancestors(paths: Iterable[str]) -> list[str]:
    """The folders on the way to `paths`, which a program looks at to find out where it is."""
    found: set[str] = set()
    for path in paths:
        while (parent := os.path.dirname(path)) != path:
            found.add(parent)
            path = parent
    return sorted(found)


def quoted(path: str) -> str:
    """`path` as a string of the profile's language."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
