"""A file system view of its own: an empty root in which only the given paths are mounted, then the switch into it.

The caller has unshared its mount namespace (and, where it is not root, its user namespace). Uses the mount calls of
Linux 5.12.
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Mapping

from actors.services.tools.sandbox import kernel, seccomp
from actors.services.tools.sandbox.base import TMPFS_BYTES_MAX
from actors.services.tools.sandbox.view import DEVICES

_AT_FDCWD = -100
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
_MNT_DETACH = 2
_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def enter(readable: Iterable[str], writable: Iterable[str], replaced: Mapping[str, str], staging: str) -> None:
    """Make a root of `readable` (read-only), `writable`, /dev, /proc and an empty /tmp, and move into it.

    `replaced` maps paths to the files that stand there instead of the host's. `staging` is any existing folder; it is
    covered while the root is built. Both lists have parents before children.
    """
    kernel.mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    # Every tree is taken before the first mount: the staging folder may cover one of them.
    links = {path: os.readlink(path) for path in _LINKS if os.path.islink(path)}
    hidden = links.keys() | replaced.keys()
    trees = [(path, _tree(path, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)) for path in readable if path not in hidden]
    trees += [(path, _tree(path, _ATTR_NOSUID | _ATTR_NODEV)) for path in writable]
    trees += [(path, _tree(ours, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)) for path, ours in replaced.items()]
    devices = [(path, _tree(path, _ATTR_NOSUID)) for path in DEVICES if os.path.exists(path)]
    kinds = {path: os.path.isdir(path) for path, _ in trees}

    _tmpfs(staging, "mode=755,size=16m")
    for name in ("proc", "dev", "tmp", "run", "var"):
        os.mkdir(f"{staging}/{name}")
    os.symlink("/tmp", f"{staging}/var/tmp")  # noqa: S108  the sandbox's own
    os.symlink("/proc/self/fd", f"{staging}/dev/fd")
    os.mkdir(f"{staging}/dev/shm")  # noqa: S108  this too
    for path in ("tmp", "dev/shm"):
        _tmpfs(f"{staging}/{path}", f"mode=1777,size={TMPFS_BYTES_MAX}")
    for path, target in links.items():
        os.symlink(target, f"{staging}{path}")
    for path, tree in devices:
        _attach(tree, f"{staging}{path}", folder=False)
    for path, tree in trees:
        _attach(tree, f"{staging}{path}", folder=kinds[path])
    _proc(f"{staging}/proc")

    os.chdir(staging)
    kernel.syscall("pivot_root", 155 if seccomp.is_x86() else 41, ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    kernel.unmount(".", _MNT_DETACH)
    os.chdir("/")
    _set_attributes(_AT_FDCWD, b"/", 0, _ATTR_RDONLY)


def _tree(path: str, attributes: int) -> int:
    """A detached copy of the mounts at `path`, as a descriptor."""
    tree = kernel.syscall(
        f"open_tree {path}",
        kernel.SYS_OPEN_TREE,
        _AT_FDCWD,
        ctypes.c_char_p(os.fsencode(path)),
        _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE,
    )
    _set_attributes(tree, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes)
    return tree


def _set_attributes(descriptor: int, path: bytes, flags: int, attributes: int) -> None:
    wanted = struct.pack("=4Q", attributes, 0, 0, 0)
    kernel.syscall(
        "mount_setattr",
        kernel.SYS_MOUNT_SETATTR,
        descriptor,
        ctypes.c_char_p(path),
        flags,
        ctypes.c_char_p(wanted),
        len(wanted),
    )


def _attach(tree: int, target: str, *, folder: bool) -> None:
    # A target inside a tree that is mounted already exists there, since it is the same tree.
    if folder:
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o444))
    kernel.syscall(
        f"move_mount to {target}",
        kernel.SYS_MOVE_MOUNT,
        tree,
        ctypes.c_char_p(b""),
        _AT_FDCWD,
        ctypes.c_char_p(os.fsencode(target)),
        _MOVE_MOUNT_F_EMPTY_PATH,
    )
    os.close(tree)


def _tmpfs(target: str, options: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _proc(target: str) -> None:
    try:
        kernel.mount("proc", target, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except PermissionError:
        # In containers whose own /proc is masked the kernel forbids a fresh one; most programs do without.
        return
