"""Landlock: bind this process to a set of paths. Constants and structures: linux/landlock.h."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from actors.services.tools.sandbox import kernel

_CREATE_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE  # what a rule on a file may hold
_NETWORK = 0b11  # bind and connect TCP
_SCOPED = 0b11  # abstract UNIX sockets and signals stay inside


def version() -> int:
    """The Landlock ABI of this kernel; OSError where it is absent or switched off at boot."""
    return kernel.syscall("landlock", kernel.SYS_LANDLOCK_CREATE_RULESET, None, 0, _CREATE_VERSION)


def restrict(readable: Iterable[str], writable: Iterable[str], listable: Iterable[str], *, network: bool) -> None:
    """From now on this process and all it starts open only these paths; needs no_new_privs before.

    Of `listable` folders, and those below, only the names can be read.
    `network` leaves TCP alone (in a network namespace of its own). Without it TCP is refused from ABI 4 on. Signals and
    abstract sockets cannot leave from ABI 6 on. Moves between folders need ABI 2; before, they are refused everywhere.
    """
    abi = version()
    handled = (1 << 13) - 1
    handled |= (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEVICE if abi >= 5 else 0)
    fields = [handled]
    if abi >= 4:
        fields.append(0 if network else _NETWORK)
    if abi >= 6:
        fields.append(_SCOPED)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = kernel.syscall(
        "landlock_create_ruleset", kernel.SYS_LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0
    )
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in listable:
            _allow(ruleset, path, _READ_DIR)
        for path in writable:
            _allow(ruleset, path, handled)
        kernel.syscall("landlock_restrict_self", kernel.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # What does not exist, or cannot be reached, stays out of reach.
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.syscall(
            f"landlock_add_rule {path}",
            kernel.SYS_LANDLOCK_ADD_RULE,
            ruleset,
            _RULE_PATH_BENEATH,
            ctypes.c_char_p(rule),
            0,
        )
    finally:
        os.close(descriptor)
