"""The sandboxes: how each kind turns a command and a policy into a command line of the host."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.services.tools.sandbox import base, view
from actors.services.tools.sandbox.base import Kind, Policy

_LAUNCHER = "actors.services.tools.sandbox.launch"


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Namespaces by bubblewrap, then limits, user and seccomp by our launcher inside."""

    executable: str
    kind: Kind = "bubblewrap"

    @property
    def detail(self) -> str:
        return "bubblewrap (own files, processes and network), seccomp, resource limits"

    def command(self, argv: tuple[str, ...], policy: Policy) -> list[str]:
        config = _config(argv, policy, supervise=False, landlock=False, namespaces=True)
        wrap = [self.executable, "--die-with-parent", "--new-session"]
        wrap += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        wrap += ["--cap-drop", "ALL"]
        if config["uid"] is not None:
            # As root: what the launcher needs to become an unprivileged user; it gives up all but reading.
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH"):
                wrap += ["--cap-add", capability]
        wrap += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(base.TMPFS_BYTES_MAX)]
        wrap += ["--tmpfs", "/tmp", "--perms", "1777", "--size", str(base.TMPFS_BYTES_MAX)]  # noqa: S108
        wrap += ["--tmpfs", "/dev/shm", "--symlink", "/tmp", "/var/tmp"]  # noqa: S108  the sandbox's own
        for path in config["readable"]:
            if path in config["replaced"]:
                continue
            link = os.path.islink(path) and path in view.SYSTEM
            wrap += ["--symlink", os.readlink(path), path] if link else ["--ro-bind", path, path]
        for path, ours in config["replaced"].items():
            wrap += ["--ro-bind", ours, path]
        for path in config["writable"]:
            wrap += ["--bind", path, path]
        return [*wrap, "--", *_launcher(config)]


@dataclass(frozen=True, slots=True)
class Landlock:
    """Landlock, seccomp and limits by our launcher; with `namespaces` also files, processes and network of its own."""

    namespaces: bool
    kind: Kind = "landlock"

    @property
    def detail(self) -> str:
        if self.namespaces:
            return "Landlock, namespaces (own files, processes and network), seccomp, resource limits"
        return "Landlock, seccomp (no sockets at all), resource limits; no namespaces, so no loopback network either"

    def command(self, argv: tuple[str, ...], policy: Policy) -> list[str]:
        return _launcher(_config(argv, policy, supervise=True, landlock=True, namespaces=self.namespaces))


@dataclass(frozen=True, slots=True)
class Unconfined:
    """Resource limits and an end to the whole tree, nothing more: for programs of ours where there is no sandbox."""

    kind: Kind = "none"

    @property
    def detail(self) -> str:
        return "no sandbox: resource limits only"

    def command(self, argv: tuple[str, ...], policy: Policy) -> list[str]:
        if not sys.platform.startswith("linux"):
            return list(argv)  # The launcher speaks to Linux only; the caller ends the process group.
        config = _config(argv, policy, supervise=True, landlock=False, namespaces=False)
        return _launcher(config | {"confine": False, "uid": None})


def _config(
    argv: tuple[str, ...], policy: Policy, *, supervise: bool, landlock: bool, namespaces: bool
) -> dict[str, Any]:
    uid = base.drops_to()
    return {
        "argv": argv,
        "environment": policy.environment,
        "cwd": policy.cwd,
        "readable": view.readable(policy.readable),
        "writable": view.existing(policy.writable),
        "replaced": view.ACCOUNTS if uid is not None else {},
        "listable": [str(view.PACKAGE_ROOT)],  # Python lists a folder before it imports from it.
        "staging": policy.cwd,
        "cpu_s": policy.cpu_s,
        "parent": os.getpid(),
        "supervise": supervise,
        "session": supervise,
        "confine": True,
        "landlock": landlock,
        "namespaces": namespaces and landlock,
        "filter_for_namespaces": namespaces,
        "uid": uid,
        "processes": 0 if uid is not None else _processes_of(os.getuid()),
    }


def _launcher(config: dict[str, Any]) -> list[str]:
    # -S: no site-packages, so the launcher starts in 15 ms and runs nothing but the standard library and this package.
    bootstrap = f"import sys; sys.path.insert(0, {str(view.PACKAGE_ROOT)!r}); from {_LAUNCHER} import main; main()"
    return [sys.executable, "-I", "-S", "-c", bootstrap, json.dumps(config)]


def _processes_of(uid: int) -> int:
    """Threads of this user, which RLIMIT_NPROC counts as well."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                count += len(os.listdir(process / "task"))
        except OSError:
            continue  # It ended while we looked.
    return count
