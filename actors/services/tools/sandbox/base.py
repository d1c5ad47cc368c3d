"""What a sandbox promises, and the policy it is given.

Every sandbox: runs one command with a clean environment and resource limits; when the returned process is terminated,
when the process that started it dies (even by kill -9), or when the command ends, everything the command started ends
too.

A sandbox of any kind but `none` also promises: the command reads nothing but system files and the policy's paths,
writes nothing but the policy's writable paths, reaches no network, gains no privilege, and is not root over the host.
Kind `none` promises nothing of that; foreign code is refused there. Of kind `seatbelt` (macOS) only the command's
process group ends with it.
"""

import os
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["bubblewrap", "landlock", "seatbelt", "none"]

SANDBOX_UID = 64_310  # Programs run under it where the company is root; it has no account and owns only their files.
LAUNCH_FAILED = 125  # Exit code of the launcher when it could not build the sandbox: the command was not started.

MEMORY_BYTES_MAX = 4 << 30  # private memory of one process (RLIMIT_DATA)
ADDRESS_SPACE_BYTES_MAX = 16 << 30  # more than the memory: runtimes reserve address space that they never touch
FILE_BYTES_MAX = 1 << 30  # of one file
PROCESSES_MAX = 512  # processes and threads beyond those the user already has
OPEN_FILES_MAX = 4096
TMPFS_BYTES_MAX = 512 << 20  # /tmp and /dev/shm where they are the sandbox's own


@dataclass(frozen=True, slots=True)
class Policy:
    """What one command may see and do. Paths are absolute; those that do not exist are left out.

    `readable` paths can be read and executed, `writable` ones also written; system files and the Python installation
    that runs the company come on top. `cpu_s` bounds the CPU seconds of each single process.
    """

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    cwd: str
    cpu_s: int
    environment: dict[str, str] = field(default_factory=dict[str, str])
    foreign: bool = False  # the command runs code of the repository


class Sandbox(Protocol):
    """One way to confine a command."""

    @property
    def kind(self) -> Kind:
        """The label that results and reports carry."""
        ...

    @property
    def detail(self) -> str:
        """What it consists of here, for people."""
        ...

    def command(self, argv: tuple[str, ...], policy: Policy) -> list[str]:
        """The host's command line that runs `argv` under `policy`; exit code LAUNCH_FAILED: never started."""
        ...


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """What detection found: the sandbox in use, and why each one before it was not."""

    kind: Kind
    detail: str
    tried: tuple[tuple[str, str], ...] = ()  # (kind, why not)


def drops_to() -> int | None:
    """The uid that commands run under; None: that of the company, which is not root."""
    return SANDBOX_UID if os.geteuid() == 0 else None
