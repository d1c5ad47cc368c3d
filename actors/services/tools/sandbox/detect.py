"""Find the sandbox that works here, by running a probe in each: a version proves nothing."""

import asyncio
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.sandbox import ruleset, seatbelt, seccomp
from actors.services.tools.sandbox.adapters import Bubblewrap, Landlock, Unconfined
from actors.services.tools.sandbox.base import Policy, Sandbox, SandboxReport, drops_to
from actors.services.tools.sandbox.execute import execute
from actors.services.tools.sandbox.seatbelt import Seatbelt

PROBE_TIMEOUT_S = 20.0
_PROVED = b"confined"

# Runs in the sandbox. Every line is a promise of `base`; argv: a file out of reach, the writable folder.
_PROBE = """
import os, socket, sys
outside, scratch = sys.argv[1:]
def refused(act):
    try:
        act()
    except OSError:
        return
    sys.exit("not confined: " + act.__name__)
def read_outside(): open(outside)
def write_system(): open(os.__file__, "r+")
def connect_out():
    with socket.socket() as it:
        it.settimeout(2)
        it.connect(("192.0.2.1", 9))
def become_another(): os.setgroups([1])
for act in (read_outside, write_system, connect_out, become_another):
    refused(act)
open(os.path.join(scratch, "probe"), "w").close()
sys.stdout.write("confined")
"""


@dataclass(frozen=True, slots=True)
class Detected:
    """The sandbox to use, and how it was found."""

    sandbox: Sandbox
    report: SandboxReport


_cached: asyncio.Task[Detected] | None = None


async def detected() -> Detected:
    """The best sandbox that works here; probed once in the life of the process."""
    global _cached
    # A task of another, closed loop (tests) is of no use, nor is one that was cancelled.
    if _cached is None or _cached.cancelled() or _cached.get_loop() is not asyncio.get_running_loop():
        _cached = asyncio.create_task(find())
    return await asyncio.shield(_cached)


async def detect() -> SandboxReport:
    """What `troupe dev` tells about the sandbox."""
    return (await detected()).report


async def find() -> Detected:
    """Probe the kinds of this system, on Linux bubblewrap, Landlock with namespaces and Landlock alone, in this order;
    the first that confines is used."""
    tried: list[tuple[str, str]] = []
    for sandbox, why_not in _candidates():
        why = why_not or await probe(sandbox)
        if not why:
            return Detected(sandbox, SandboxReport(sandbox.kind, sandbox.detail, tuple(tried)))
        tried.append((sandbox.kind, why))
    none = Unconfined()
    return Detected(none, SandboxReport(none.kind, none.detail, tuple(tried)))


async def survey() -> list[tuple[Sandbox, str]]:
    """Every kind of this system, and why it does not confine here ("": it does). The first that does is used."""
    return [(sandbox, why_not or await probe(sandbox)) for sandbox, why_not in _candidates()]


async def probe(sandbox: Sandbox) -> str:
    """Why `sandbox` does not confine a command here; "" when it does."""
    with tempfile.TemporaryDirectory(prefix="troupe-probe-") as folder:
        outside, scratch = _lay_out(Path(folder))
        policy = Policy((), (str(scratch),), str(scratch), cpu_s=int(PROBE_TIMEOUT_S), foreign=True)
        argv = (sys.executable, "-I", "-S", "-c", _PROBE, str(outside), str(scratch))
        done = await execute(sandbox, argv, policy, timeout_s=PROBE_TIMEOUT_S)
    if done.ended == "exited" and done.code == 0 and done.stdout == _PROVED:
        return ""
    last = done.stderr.splitlines()[-1:] or [f"the probe {done.ended.replace('_', ' ')} with {done.code}"]
    return last[0]


def _lay_out(folder: Path) -> tuple[Path, Path]:
    """A file that all may read though no policy names it, so that only a sandbox refuses it; and a writable folder."""
    folder.chmod(0o755)
    outside, scratch = folder / "outside", folder / "scratch"
    outside.write_text("out of reach")
    scratch.mkdir()
    own(scratch)
    return outside, scratch


def own(folder: Path) -> None:
    """Give a folder to the user that sandboxed commands run under."""
    uid = drops_to()
    if uid is not None:
        os.chown(folder, uid, uid)


def _candidates() -> list[tuple[Sandbox, str]]:
    """Each sandbox, and why it need not even be probed ("": probe it)."""
    if sys.platform == "darwin":
        return [(Seatbelt(), seatbelt.unusable())]
    if not sys.platform.startswith("linux"):
        return [(Landlock(namespaces=True), f"needs Linux, this is {sys.platform}")]
    filterless = "" if seccomp.supported() else f"no system call table for {os.uname().machine}"
    executable = shutil.which("bwrap")
    try:
        ruleset.version()
        landlock = ""
    except OSError as error:
        landlock = f"this kernel has no Landlock ({error.strerror})"
    missing = "" if executable else "bubblewrap is not installed"
    return [
        (Bubblewrap(executable or "bwrap"), filterless or missing),
        (Landlock(namespaces=True), filterless or landlock),
        (Landlock(namespaces=False), filterless or landlock),
    ]
