"""Every sandbox of kind `bubblewrap` or `landlock` keeps the promises of `sandbox.base` on this machine's kernel."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from actors.services.tools.sandbox import base, detect, ruleset, view
from actors.services.tools.sandbox.adapters import Unconfined
from actors.services.tools.sandbox.base import Sandbox
from actors.services.tools.sandbox.execute import OUTPUT_BYTES_MAX, STDERR_BYTES_KEPT, execute
from tests.kit import sandboxes
from tests.kit.sandboxes import DAEMON, WAIT_S, Pulse, policy, python


@pytest.fixture(params=sandboxes.ALL, ids=sandboxes.name)
async def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    candidate: Sandbox = request.param
    why_not = await detect.probe(candidate)
    if why_not:
        pytest.skip(f"does not work here: {why_not}")
    return candidate


@pytest.fixture(params=[*sandboxes.ALL, Unconfined()], ids=sandboxes.name)
async def any_sandbox(request: pytest.FixtureRequest) -> Sandbox:
    candidate: Sandbox = request.param
    if candidate.kind != "none" and (why_not := await detect.probe(candidate)):
        pytest.skip(f"does not work here: {why_not}")
    return candidate


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    held = Pulse(scratch / "pulse")
    yield held
    held.close()


async def say(sandbox: Sandbox, code: str, tmp_path: Path, *readable: Path, args: tuple[str, ...] = ()) -> str:
    """What `code` prints in the sandbox; it must succeed."""
    done = await execute(sandbox, python(code, *args), policy(tmp_path / "scratch", *readable), timeout_s=WAIT_S)
    assert (done.ended, done.code) == ("exited", 0), done.stderr
    return done.stdout.decode()


REFUSED = """
import sys
def refused(act):
    try:
        act()
    except OSError as error:
        print(type(error).__name__)
    else:
        print("done")
"""


async def test_files_outside_the_policy_are_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    secret, given = tmp_path / "secret", tmp_path / "given"
    for file in (secret, given):
        file.write_text("text")
        file.chmod(0o666)
    code = (
        REFUSED
        + "for name in sys.argv[1:]:\n    refused(lambda: open(name).read())\n"
        + "    refused(lambda: open(name, 'a').write('more'))"
    )
    said = await say(sandbox, code, tmp_path, given, args=(str(secret), str(given)))
    read_secret, _, read_given, write_given = said.split()
    assert read_secret != "done"
    assert read_given == "done"
    assert write_given != "done"
    # A file of that name may appear in the sandbox's own /tmp; the host's are as they were.
    assert secret.read_text() == given.read_text() == "text"


async def test_modes_and_times_of_what_is_only_readable_do_not_change(sandbox: Sandbox, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("text")
    given.chmod(0o640)
    detect.own(given)  # The command's own user: only the sandbox stands between.
    before = given.stat()
    code = (
        REFUSED
        + "import os\nrefused(lambda: os.chmod(sys.argv[1], 0o777))\nrefused(lambda: os.utime(sys.argv[1], (0, 0)))"
    )
    await say(sandbox, code, tmp_path, given, args=(str(given),))
    after = given.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert after.st_mtime_ns == before.st_mtime_ns


async def test_scratch_takes_files_folders_links_and_moves(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import os, shutil
os.makedirs("a/b"); os.mkdir("c")
open("a/b/file", "w").write("kept")
os.symlink("a/b/file", "link")
os.rename("a/b/file", "c/file")
shutil.rmtree("a")
print(sorted(os.listdir(".")), open("c/file").read())
"""
    assert await say(sandbox, code, tmp_path) == "['c', 'link'] kept\n"
    assert (tmp_path / "scratch/c/file").read_text() == "kept"


async def test_the_hosts_network_is_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    code = REFUSED + (
        "import socket\ndef dial():\n    with socket.socket() as s:\n        s.settimeout(5)\n"
        "        s.connect(('127.0.0.1', int(sys.argv[1])))\nrefused(dial)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = await say(sandbox, code, tmp_path, args=(str(server.getsockname()[1]),))
    assert said.strip() in ("ConnectionRefusedError", "PermissionError")


async def test_a_namespace_has_a_loopback_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    if not sandboxes.has_namespaces(sandbox):
        pytest.skip("no network namespace")
    code = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    server.accept()[0].sendall(b"hello")
    print(client.recv(5).decode())
"""
    assert await say(sandbox, code, tmp_path) == "hello\n"


async def test_unix_sockets_of_the_host_are_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    code = REFUSED + "import socket\nrefused(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1]))"
    with socket.socket(socket.AF_UNIX) as server:
        path = tmp_path / "host.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0o777)
        assert await say(sandbox, code, tmp_path, args=(str(path),)) != "done\n"


async def test_processes_of_the_host_cannot_be_signalled(sandbox: Sandbox, tmp_path: Path) -> None:
    if not sandboxes.has_namespaces(sandbox) and ruleset.version() < 6 and os.geteuid() != 0:
        pytest.skip("this kernel's Landlock does not scope signals")
    code = REFUSED + "import os\nrefused(lambda: os.kill(int(sys.argv[1]), 0))"
    assert await say(sandbox, code, tmp_path, args=(str(os.getpid()),)) != "done\n"


async def test_the_command_is_not_root_and_has_at_most_the_right_to_read(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import ctypes, os
class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
data = (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(ctypes.byref(Header(0x20080522, 0)), data) == 0
print(os.getuid(), os.geteuid(), data[0] | data[3] << 32, data[1] | data[4] << 32)
"""
    uid, euid, effective, permitted = map(int, (await say(sandbox, code, tmp_path)).split())
    expected = base.SANDBOX_UID if os.geteuid() == 0 else os.geteuid()
    assert uid == euid == expected
    right_to_read = 1 << 2 if os.geteuid() == 0 else 0
    assert effective | permitted == right_to_read


async def test_the_user_has_a_name_where_the_view_is_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    if not sandboxes.has_namespaces(sandbox) or os.geteuid() != 0:
        pytest.skip("the host's accounts are seen")
    code = "import grp, os, pwd\nprint(pwd.getpwuid(os.getuid())[0], grp.getgrgid(os.getgid())[0], len(pwd.getpwall()))"
    assert (await say(sandbox, code, tmp_path)).split() == ["troupe", "troupe", "3"]


async def test_dangerous_system_calls_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno()) if getattr(libc, name)(*args) == -1 else "done"
print(call("unshare", 0x10000000), call("ptrace", 0, 0, 0, 0), call("mount", b"x", b"/", b"tmpfs", 0, None))
print(call("syscall", 425, 1, 0), call("syscall", 321 if os.uname().machine == "x86_64" else 280, 0, 0, 0))
try:
    socket.socket(40, socket.SOCK_STREAM)
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert set((await say(sandbox, code, tmp_path)).split()) == {"EPERM"}


async def test_threads_and_subprocesses_work(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import subprocess, threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["/bin/sh", "-c", "echo child | cat"], capture_output=True, text=True).stdout.strip())
"""
    assert (await say(sandbox, code, tmp_path)).split() == ["thread", "child"]


async def test_limits_are_set(any_sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import json, resource
names = ("CORE", "FSIZE", "NOFILE", "DATA", "CPU")
print(json.dumps([resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1] for name in names]))
"""
    core, *others = json.loads(await say(any_sandbox, code, tmp_path))
    assert core == 0
    bounds = (base.FILE_BYTES_MAX, base.OPEN_FILES_MAX, base.MEMORY_BYTES_MAX, 60)
    assert all(0 < found <= bound for found, bound in zip(others, bounds, strict=True))


async def test_the_environment_is_the_policys_alone(
    any_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    given = policy(tmp_path / "scratch", environment={"WORD": "given"})
    done = await execute(any_sandbox, ("/usr/bin/env",), given, timeout_s=WAIT_S)
    assert done.stdout.decode().splitlines() == ["WORD=given"]


async def test_daemons_die_with_their_command(any_sandbox: Sandbox, tmp_path: Path, pulse: Pulse) -> None:
    # The command ends only when it has read what the daemon wrote, so the daemon is alive then.
    code = DAEMON + "daemon(sys.argv[1])\nwhile not os.path.exists('go'):\n    os.sched_yield()"
    given = policy(tmp_path / "scratch")
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            done = await execute(any_sandbox, python(code, str(pulse.path)), given, timeout_s=WAIT_S)
            assert (done.ended, done.code) == ("exited", 0), done.stderr

        tasks.start_soon(run)
        assert await anyio.to_thread.run_sync(pulse.begun)
        (tmp_path / "scratch/go").touch()
        assert await anyio.to_thread.run_sync(pulse.ended)


async def test_daemons_die_at_the_time_limit(any_sandbox: Sandbox, tmp_path: Path, pulse: Pulse) -> None:
    code = DAEMON + "daemon(sys.argv[1])\nwhile True:\n    signal.pause()"
    done = await execute(any_sandbox, python(code, str(pulse.path)), policy(tmp_path / "scratch"), timeout_s=2.0)
    assert done.ended == "timed_out"
    assert await anyio.to_thread.run_sync(pulse.ended)


async def test_daemons_die_when_the_call_is_cancelled(any_sandbox: Sandbox, tmp_path: Path, pulse: Pulse) -> None:
    code = DAEMON + "daemon(sys.argv[1])\nwhile True:\n    signal.pause()"
    given = policy(tmp_path / "scratch")
    returned = False
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            nonlocal returned
            await execute(any_sandbox, python(code, str(pulse.path)), given, timeout_s=WAIT_S)
            returned = True

        tasks.start_soon(run)
        assert await anyio.to_thread.run_sync(pulse.begun)
        tasks.cancel_scope.cancel()
    assert not returned
    assert await anyio.to_thread.run_sync(pulse.ended)


async def test_daemons_die_when_the_company_is_killed(any_sandbox: Sandbox, tmp_path: Path, pulse: Pulse) -> None:
    code = DAEMON + "daemon(sys.argv[1])\nwhile True:\n    signal.pause()"
    given = policy(tmp_path / "scratch")
    company = f"""
import asyncio
from actors.services.tools.sandbox.adapters import *
from actors.services.tools.sandbox.base import Policy
from actors.services.tools.sandbox.execute import execute
asyncio.run(execute({any_sandbox!r}, {python(code, str(pulse.path))!r}, {given!r}, timeout_s={WAIT_S}))
"""
    process = subprocess.Popen([sys.executable, "-P", "-c", company], env={"PYTHONPATH": str(view.PACKAGE_ROOT)})
    try:
        assert await anyio.to_thread.run_sync(pulse.begun)
    finally:
        process.kill()
        process.wait()
    assert await anyio.to_thread.run_sync(pulse.ended)


async def test_output_is_bounded(any_sandbox: Sandbox, tmp_path: Path) -> None:
    flood = python("import sys\nwhile True:\n    sys.stdout.write('x' * 65536)")
    done = await execute(any_sandbox, flood, policy(tmp_path / "scratch"), timeout_s=WAIT_S)
    assert done.ended == "too_much_output"
    assert OUTPUT_BYTES_MAX < len(done.stdout) <= OUTPUT_BYTES_MAX + (1 << 20)


async def test_of_stderr_the_end_is_kept(any_sandbox: Sandbox, tmp_path: Path) -> None:
    noisy = python("import sys\nsys.stderr.write('x' * 10_000_000 + 'the end')\nsys.exit(3)")
    done = await execute(any_sandbox, noisy, policy(tmp_path / "scratch"), timeout_s=WAIT_S)
    assert (done.ended, done.code) == ("exited", 3)
    assert len(done.stderr) == STDERR_BYTES_KEPT
    assert done.stderr.endswith("the end")


async def test_a_command_that_does_not_exist_was_not_started(any_sandbox: Sandbox, tmp_path: Path) -> None:
    done = await execute(any_sandbox, ("/nowhere/program",), policy(tmp_path / "scratch"), timeout_s=WAIT_S)
    assert done.code == base.LAUNCH_FAILED
    assert "sandbox:" in done.stderr


async def test_input_reaches_the_command(any_sandbox: Sandbox, tmp_path: Path) -> None:
    echo = python("import sys\nsys.stdout.write(str(len(sys.stdin.read())))")
    given = policy(tmp_path / "scratch")
    done = await execute(any_sandbox, echo, given, stdin=b"x" * 1_000_000, timeout_s=WAIT_S)
    assert done.stdout == b"1000000"
