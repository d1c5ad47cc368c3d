"""The few system calls of Linux that Python has no name for. Each raises OSError with the call's name when refused."""

import ctypes
import os
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000
CLONE_NEWCGROUP = 0x0200_0000

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_SETGID = 6
CAP_SETUID = 7
CAP_LAST = 63
_CAPABILITY_VERSION_3 = 0x2008_0522

# Numbers above 424 are the same on every architecture.
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE_RULESET = 444
SYS_LANDLOCK_ADD_RULE = 445
SYS_LANDLOCK_RESTRICT_SELF = 446

_libc: Any = ctypes.CDLL(None, use_errno=True)


def checked(name: str, result: int) -> int:
    """`result`, or OSError with the errno of the call that just failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def syscall(name: str, number: int, *args: Any) -> int:
    """A raw system call; integers are passed as longs, so that no upper half is garbage."""
    converted = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return checked(name, int(_libc.syscall(ctypes.c_long(number), *converted)))


def prctl(option: int, *args: Any) -> int:
    """prctl(2) with up to four arguments."""
    padded = [ctypes.c_ulong(arg) if isinstance(arg, int) else arg for arg in (*args, *([0] * (4 - len(args))))]
    return checked(f"prctl({option})", int(_libc.prctl(option, *padded)))


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked("unshare", int(_libc.unshare(flags)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    checked(f"mount {kind or 'flags'} on {target}", int(_libc.mount(*arguments)))


def unmount(target: str, flags: int) -> None:
    """umount2(2)."""
    checked(f"unmount {target}", int(_libc.umount2(os.fsencode(target), flags)))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def permitted_capabilities() -> frozenset[int]:
    """Numbers of the capabilities this process may use."""
    data = (_CapabilityData * 2)()
    checked("capget", int(_libc.capget(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), data)))
    return frozenset(bit for bit in range(CAP_LAST + 1) if int(data[bit // 32].permitted) >> (bit % 32) & 1)


def keep_capabilities(kept: frozenset[int]) -> None:
    """Give up every capability but `kept`; those are inherited by what is executed next (as ambient ones)."""
    data = (_CapabilityData * 2)()
    for bit in kept:
        word = data[bit // 32]
        word.effective |= 1 << (bit % 32)
        word.permitted |= 1 << (bit % 32)
        word.inheritable |= 1 << (bit % 32)
    checked("capset", int(_libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), data)))
    for bit in kept:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit)
