"""The machine: Python, system, memory, disk, text encoding, clock. Each function takes what it judges."""

import codecs
import locale
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from actors.cli.checks.finding import Finding, failed, ok, warning

PYTHON_MIN, PYTHON_BELOW = (3, 11), (3, 15)
GLIBC_MIN = (2, 28)  # What the wheels of nats-server and PostgreSQL are built for.
MACOS_MIN = (13,)
MACHINES = {"Linux": ("x86_64", "aarch64"), "Darwin": ("arm64", "x86_64")}
GIB = 1 << 30
DISK_FREE_BYTES_MIN = GIB  # Below it PostgreSQL may stop in the middle of a run.
DISK_FREE_BYTES_GOOD = 5 * GIB  # A clone, a log and JetStream's store of 1 GiB.
MEMORY_FREE_BYTES_GOOD = GIB
CLOCK_EARLIEST = 1_760_000_000  # Seconds since 1970: October 2025. A clock before that was never set.
CLOCK_SLACK_S = 86_400.0


def python(
    version: tuple[int, int, int] = sys.version_info[:3], implementation: str = platform.python_implementation()
) -> Finding:
    """CPython 3.11 to 3.14."""
    found = f"{implementation} {'.'.join(map(str, version))}"
    if implementation != "CPython" or not PYTHON_MIN <= version[:2] < PYTHON_BELOW:
        return failed("Python", found, "install CPython 3.11 to 3.14, and remove .venv so that it is made anew")
    return ok("Python", found, sys.executable)


def system(
    name: str = platform.system(),
    machine: str = platform.machine(),
    libc: tuple[str, str] = platform.libc_ver(),
    macos: str = platform.mac_ver()[0],
) -> Finding:
    """Linux with glibc, or macOS, on a processor there are wheels for."""
    found = f"{name} {machine}"
    if name not in MACHINES:
        return failed("System", found, "use Linux, macOS, or Windows' own Linux (WSL 2)")
    if machine not in MACHINES[name]:
        mend = f"use a machine with {' or '.join(MACHINES[name])}: there are no servers for {machine}"
        return failed("System", found, mend)
    if name == "Darwin":
        if _numbers(macos) < MACOS_MIN:
            return failed("System", f"macOS {macos} {machine}", "update to macOS 13 or later")
        return ok("System", f"macOS {macos} {machine}")
    library, version = libc
    if library != "glibc" or _numbers(version) < GLIBC_MIN:
        what = f"{found}, {library} {version}" if library else f"{found}, no glibc"
        return failed("System", what, "use a distribution with glibc 2.28 or later (Debian 10, RHEL 8; not Alpine)")
    return ok("System", f"{found}, glibc {version}")


def memory_free() -> int | None:
    """Bytes that can be had, within the limit of our control group; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # No control group, or "max".
        return free
    return min(free, max(0, limit - used))


def memory(free: int | None) -> Finding:
    """Room for the servers, the company and a test suite."""
    if free is None:
        return ok("Memory", "this system does not say how much is free")
    found = f"{free / GIB:.1f} GiB free"
    if free < MEMORY_FREE_BYTES_GOOD:
        return warning("Memory", found, f"have {MEMORY_FREE_BYTES_GOOD // GIB} GiB free: end what is not needed")
    return ok("Memory", found)


def disk(folder: Path, free: int | None = None) -> Finding:
    """Room in the state folder's file system."""
    try:
        free = shutil.disk_usage(existing(folder)).free if free is None else free
    except OSError as error:
        return failed("Disk", f"{folder}: {error}", "choose another state folder with TROUPE_STATE")
    found = f"{free / GIB:.1f} GiB free for {folder}"
    if free < DISK_FREE_BYTES_MIN:
        return failed("Disk", found, "free some space, or choose a state folder on another disk with TROUPE_STATE")
    if free < DISK_FREE_BYTES_GOOD:
        return warning("Disk", found, f"have {DISK_FREE_BYTES_GOOD // GIB} GiB free for big repositories")
    return ok("Disk", found)


def existing(path: Path) -> Path:
    """`path`, or its nearest folder above that exists."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def encoding(
    filesystem: str = sys.getfilesystemencoding(), output: str | None = sys.stdout.encoding, problem: str | None = None
) -> Finding:
    """Text as UTF-8, in file names and on the terminal. `problem`: why the locale of the environment cannot be used."""
    problem = _locale_problem() if problem is None else problem
    found = f"file names {filesystem}, terminal {output}"
    mend = "set LANG=C.UTF-8 (and unset LC_ALL), or PYTHONUTF8=1"
    if codecs.lookup(filesystem).name != "utf-8":
        return failed("Locale", found, mend)
    if problem:
        return warning("Locale", f"{found}; {problem}", mend)
    if output is None or codecs.lookup(output).name != "utf-8":
        return warning("Locale", found, mend)
    return ok("Locale", found)


def _locale_problem() -> str:
    try:
        before = locale.setlocale(locale.LC_CTYPE)
        locale.setlocale(locale.LC_CTYPE, "")
        locale.setlocale(locale.LC_CTYPE, before)
    except locale.Error as error:
        named = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "LANG")
        return f"{named}={os.environ.get(named, '')} is not installed here ({error})"
    return ""


def clock(now: float, newest_file: float) -> Finding:
    """The wall clock, in seconds since 1970: not before the program that asks was written."""
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    mend = "set the clock (on Linux `timedatectl set-ntp true`): events carry its time"
    if now < CLOCK_EARLIEST:
        return failed("Clock", f"{found}, before this program was written", mend)
    if now < newest_file - CLOCK_SLACK_S:
        return warning("Clock", f"{found}, before the program's own files were made", mend)
    return ok("Clock", found)


def newest_file() -> float:
    """When the newest of these modules was last changed."""
    return max((path.stat().st_mtime for path in Path(__file__).parent.glob("*.py")), default=0.0)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
