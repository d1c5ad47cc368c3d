"""The launcher: becomes the sandbox, then runs one command in it. Started as `python -m …launch JSON` by the adapters.

Processes, from outside in: the launcher stays and supervises; with namespaces, an init (process 1 of the new PID
namespace) reaps; the command runs in a session of its own. The launcher is told by the kernel when its parent dies,
even by kill -9, and then ends the tree: with a PID namespace by killing its init, else by killing every descendant (it
is their subreaper).

A part that cannot be had ends the launcher with LAUNCH_FAILED before the command starts: never a weaker sandbox in
silence.
"""

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from actors.services.tools.sandbox import base, kernel, mounts, network, ruleset, seccomp

KILL_ROUNDS_MAX = 1000  # A fork bomb is bounded by PROCESSES_MAX; each round kills all that are there.


def main() -> NoReturn:
    """Build the sandbox that the JSON in argv[1] describes (see `adapters`), run its command, exit as it does."""
    config: dict[str, Any] = json.loads(sys.argv[1])
    try:
        if config["supervise"]:
            _supervise(config)
        _confine_and_execute(config)
    except OSError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        sys.stderr.flush()
        os._exit(base.LAUNCH_FAILED)


def _supervise(config: dict[str, Any]) -> NoReturn:
    """Start the command as a child and outlive all that it starts."""
    # Signals wait until the child is known; a company that died before this line is noticed by the changed parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != config["parent"]:
        os._exit(base.LAUNCH_FAILED)
    if config["namespaces"]:
        _unshare(config)
    alive_read, alive_write = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(alive_write)
        _as_child(config, alive_read)
    os.close(alive_read)

    def end(number: int, _frame: object) -> None:
        _kill_tree()
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    status = _reap_until(child)
    _kill_tree()
    os._exit(_exit_code(status))


def _as_child(config: dict[str, Any], alive: int) -> NoReturn:
    """Either the command itself or, in a new PID namespace, the init that starts it and reaps for it."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        _refuse_orphans(alive)
        if not config["namespaces"]:
            _confine_and_execute(config)
        network.raise_loopback()
        # Only here: the launcher itself must go on seeing the host's /proc, by which it kills.
        kernel.unshare(kernel.CLONE_NEWNS)
        mounts.enter(config["readable"], config["writable"], config["replaced"], config["staging"])
        command = os.fork()
        if command == 0:
            _confine_and_execute(config)
        os._exit(_exit_code(_reap_until(command)))
    except OSError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        sys.stderr.flush()
        os._exit(base.LAUNCH_FAILED)


def _refuse_orphans(alive: int) -> None:
    """The launcher holds the other end of `alive`: closed means that it died before we asked to be told of it."""
    os.set_blocking(alive, False)
    with suppress(BlockingIOError):
        if not os.read(alive, 1):
            os._exit(base.LAUNCH_FAILED)


def _unshare(config: dict[str, Any]) -> None:
    flags = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        kernel.unshare(flags)
        return
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{uid} {uid} 1")
    (own / "gid_map").write_text(f"{gid} {gid} 1")


def _confine_and_execute(config: dict[str, Any]) -> NoReturn:
    """Give up everything, in the order in which each step is still possible, and become the command."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    if config["session"]:
        os.setsid()
    os.chdir(config["cwd"])
    _limit(config)
    if config["confine"]:
        kernel.keep_capabilities(_drop_user(config["uid"]))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if config["landlock"]:
        _restrict(config)
    # A change of user clears the wish to be told of the parent's death.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if config["confine"]:
        seccomp.install(seccomp.program(namespaces=config["filter_for_namespaces"]))
    argv: list[str] = config["argv"]
    environment: dict[str, str] = config["environment"]
    os.execve(argv[0], argv, environment)  # noqa: S606  a list of arguments, no shell


def _restrict(config: dict[str, Any]) -> None:
    readable: list[str] = config["readable"]
    writable: list[str] = config["writable"]
    listable: list[str] = config["listable"]
    if config["namespaces"]:
        # What is out of reach is not even there: Landlock is the second wall, around what can be written.
        readable, writable, listable = ["/"], [*writable, "/dev", "/dev/shm", "/tmp"], []  # noqa: S108  its own
    else:
        readable = [*readable, "/dev", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"]
        writable = [*writable, "/dev/null"]
    ruleset.restrict(readable, writable, listable, network=bool(config["namespaces"]))


def _limit(config: dict[str, Any]) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(config["cpu_s"]),
        resource.RLIMIT_FSIZE: base.FILE_BYTES_MAX,
        resource.RLIMIT_NOFILE: base.OPEN_FILES_MAX,
        resource.RLIMIT_DATA: base.MEMORY_BYTES_MAX,
        resource.RLIMIT_AS: base.ADDRESS_SPACE_BYTES_MAX,
        resource.RLIMIT_NPROC: base.PROCESSES_MAX + int(config["processes"]),
    }
    for kind, value in wanted.items():
        ceiling = resource.getrlimit(kind)[1]
        bounded = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (bounded, bounded))


def _drop_user(uid: int | None) -> frozenset[int]:
    """Become `uid` where the company is root; the capabilities to keep for reading what only root may.

    The repository, its clone and the Python may lie in folders that only root can enter. What can be read is bounded by
    the sandbox, so the right to read past modes reaches no further. Where root itself lacks that right (a container),
    the command keeps uid 0 and loses every capability.
    """
    if uid is None:
        return frozenset()
    permitted = kernel.permitted_capabilities()
    if not {kernel.CAP_SETUID, kernel.CAP_SETGID} <= permitted:
        return frozenset()
    kept = next(
        (frozenset({bit}) for bit in (kernel.CAP_DAC_READ_SEARCH, kernel.CAP_DAC_OVERRIDE) if bit in permitted), None
    )
    if kept is None:
        return frozenset()
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    with suppress(PermissionError):
        # Else access(2), which git asks about every folder, answers as if there were no capability.
        kernel.prctl(kernel.PR_SET_SECUREBITS, kernel.SECBIT_NO_SETUID_FIXUP)
    try:
        os.setresgid(uid, uid, uid)
    except OSError:
        return frozenset()  # This container has no such user, so its root is no root over the host.
    os.setgroups([])
    os.setresuid(uid, uid, uid)
    return kept


def _reap_until(child: int) -> int:
    """Wait for `child` and for every orphan that ends before it; the child's wait status."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _kill_tree() -> None:
    """Kill and reap every descendant of this process. A killed init takes its whole PID namespace with it."""
    for _ in range(KILL_ROUNDS_MAX):
        for pid in _descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            os.sched_yield()
        except ChildProcessError:
            return


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                status = Path("/proc", entry, "stat").read_bytes()
                # The name in parentheses may hold anything; the parent is the second field after it.
                children.setdefault(int(status.rpartition(b")")[2].split()[1]), []).append(int(entry))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
