"""Which parts of the host a sandboxed command can see: system files, this Python and the company's own code."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import actors

PACKAGE_ROOT = Path(actors.__file__).resolve().parent.parent

# Programs and libraries of the system; links among them (/bin → usr/bin) are kept as links.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
# The few settings that libraries look for. No resolv.conf (there is no network), no shadow, no keys.
SETTINGS = tuple(
    f"/etc/{name}"
    for name in (
        "alternatives",
        "ca-certificates",
        "group",
        "hosts",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "localtime",
        "mime.types",
        "nsswitch.conf",
        "os-release",
        "passwd",
        "pki",
        "protocols",
        "services",
        "ssl/certs",
        "ssl/openssl.cnf",
        "timezone",
    )
)
# Where commands run under SANDBOX_UID, their view has these in place of the host's: many programs (initdb, getpass)
# want a name for their user. Target → our file.
ACCOUNTS = {f"/etc/{name}": str(Path(__file__).with_name("etc") / name) for name in ("passwd", "group")}
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def readable(paths: Iterable[str]) -> tuple[str, ...]:
    """`paths` and what every command needs, each also by its resolved name, parents before what they contain."""
    wanted = [*SYSTEM, *SETTINGS, *python_paths(), *paths]
    return existing(wanted)


def existing(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` that exist, with their resolved names, sorted so that a parent stands before its children."""
    found: set[str] = set()
    for path in paths:
        if path and os.path.exists(path):
            found |= {os.path.abspath(path), os.path.realpath(path)}
    return tuple(sorted(found))


def python_paths() -> tuple[str, ...]:
    """The Python that runs us (environment and installation) and the packages of ours that programs import."""
    packages = (str(PACKAGE_ROOT / name) for name in ("actors", "protocol"))
    return (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *packages)


def environment_paths(environment: str | Path) -> tuple[str, ...]:
    """What a virtual environment at `environment` needs to run: itself and its base installation.

    The base is believed only where it looks like a Python installation, since the file that names it comes from the
    repository: an environment that claims its home is ~/.ssh gets nothing.
    """
    root = Path(environment)
    interpreter = root / "bin/python"
    if not interpreter.exists():
        return ()
    candidates = {interpreter.resolve().parent.parent}
    try:
        for line in (root / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "home" and value.strip().startswith("/"):
                candidates.add(Path(value.strip()).parent)
    except OSError:
        return ()
    if not any(root.glob("lib*/python3*/site-packages")):
        return ()
    bases = [str(base) for base in candidates if is_installation(base)]
    return (str(root), *bases) if bases else ()


def is_installation(prefix: Path) -> bool:
    """Whether `prefix` holds a Python: an interpreter beside the standard library."""
    return any(prefix.glob("lib*/python3*/os.py")) and any(prefix.glob("bin/python3*"))
