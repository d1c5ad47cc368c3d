"""A seccomp filter: system calls that foreign code has no business with are refused with EPERM.

It refuses rather than allow-lists, since test suites of any language must run; what it refuses is what reaches past
the files, processes and network that the sandbox already confines: tracing, mounting, new namespaces, kernel keys,
BPF, modules, io_uring (which runs other calls unseen) and odd socket families. Encoding: `struct sock_filter` of
linux/filter.h.
"""

import ctypes
import errno
import platform
import socket
import struct

from actors.services.tools.sandbox import kernel

# Number on x86-64 and on aarch64 (None: does not exist there). Source: the kernel's uapi unistd headers.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "vhangup": (153, 58),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# Landlock does not mediate these. Without a file system view of its own, a command could change modes and times of
# files that it can only see. They pretend to succeed, since every copy of a file calls them.
_PRETENDED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
_REFUSED_WITHOUT_VIEW: dict[str, tuple[int | None, int | None]] = {
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
_SOCKET, _CLONE, _CLONE3, _IOCTL = (41, 198), (56, 220), (435, 435), (16, 29)

_ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}  # column above, AUDIT_ARCH_*
_X32_BIT = 0x4000_0000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_NUMBER, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24  # offsets in struct seccomp_data; little-endian lower halves
_ALLOW = 0x7FFF_0000
_KILL = 0x8000_0000  # the whole process
_ERRNO = 0x0005_0000

_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWCGROUP
)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into, or paste into, a terminal that is not ours
# Families whose sockets stay inside a network namespace. Not AF_VSOCK: it reaches the hypervisor from any namespace.
_CONFINED_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)  # 16: AF_NETLINK, read by getifaddrs


def supported() -> bool:
    """Whether the filter knows this machine's system call numbers."""
    return platform.machine() in _ARCHITECTURES


def is_x86() -> bool:
    """Whether system calls are numbered as on x86-64 (else as on aarch64 and all later architectures)."""
    return platform.machine() == "x86_64"


def program(*, namespaces: bool) -> bytes:
    """The filter as BPF. `namespaces`: the command has its own network, files and processes, so sockets may be made."""
    column, arch = _ARCHITECTURES[platform.machine()]
    code = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if column == 0:
        code += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]

    def when(call: tuple[int | None, int | None], then: list[tuple[int, int, int, int]]) -> None:
        number = call[column]
        if number is not None:
            code.extend([(_JUMP_EQUAL, 0, len(then), number), *then])

    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    for call in _REFUSED.values():
        when(call, [refuse])
    if not namespaces:
        for call in _REFUSED_WITHOUT_VIEW.values():
            when(call, [refuse])
        for call in _PRETENDED.values():
            when(call, [(_RETURN, 0, 0, _ERRNO)])
    # glibc falls back to clone, whose flags a filter can see, when clone3 does not exist.
    when(_CLONE3, [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)])
    allow = (_RETURN, 0, 0, _ALLOW)
    when(_CLONE, [(_LOAD, 0, 0, _ARG0), (_JUMP_ANY_BIT, 0, 1, _NAMESPACES), refuse, allow])
    typed = [(_JUMP_EQUAL, 0, 1, request) for request in (_TIOCSTI, _TIOCLINUX)]
    when(_IOCTL, [(_LOAD, 0, 0, _ARG1), typed[0], refuse, typed[1], refuse, allow])
    families: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARG0)]
    for family in _CONFINED_FAMILIES if namespaces else ():
        families += [(_JUMP_EQUAL, 0, 1, int(family)), allow]
    when(_SOCKET, [*families, refuse])
    code.append(allow)
    return b"".join(struct.pack("=HBBI", *step) for step in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(filter_code: bytes) -> None:
    """Bind this process and all it starts to the filter for good; needs no_new_privs before."""
    loaded = _Program(len(filter_code) // 8, filter_code)
    kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, ctypes.byref(loaded))
