"""The doctor's questions one by one, also those whose answer is no: each failure comes with its mend."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.abc
import pytest

from actors.cli import doctor
from actors.cli.checks import machine, programs, services, state
from actors.cli.checks.finding import Finding, failed, ok
from actors.embedded.errors import ProgramMissing
from actors.embedded.folder import StateFolder
from actors.embedded.ports import free_port
from actors.embedded.programs import Programs
from actors.host import Settings
from actors.keyrings import MasterFiles, make_master
from actors.services.router.select import Choice
from actors.services.tools.sandbox.adapters import Bubblewrap, Landlock
from actors.services.tools.sandbox.base import Sandbox

GIB = machine.GIB


def fails(finding: Finding, *words: str) -> None:
    assert finding.status == "failed", finding
    assert finding.mend
    for word in words:
        assert word in finding.found, finding


def warns(finding: Finding) -> None:
    assert finding.status == "warning", finding
    assert finding.mend


def fine(finding: Finding, *words: str) -> None:
    assert (finding.status, finding.mend) == ("ok", ""), finding
    for word in words:
        assert word in f"{finding.found} {finding.details}"


def test_python() -> None:
    fine(machine.python((3, 11, 0), "CPython"), "3.11.0")
    fine(machine.python((3, 14, 2), "CPython"))
    fails(machine.python((3, 10, 9), "CPython"), "3.10.9")
    fails(machine.python((3, 15, 0), "CPython"))
    fails(machine.python((3, 11, 5), "PyPy"), "PyPy")


@pytest.mark.parametrize(
    ("name", "processor", "libc", "macos", "status"),
    [
        ("Linux", "x86_64", ("glibc", "2.28"), "", "ok"),
        ("Linux", "aarch64", ("glibc", "2.41"), "", "ok"),
        ("Linux", "x86_64", ("glibc", "2.27"), "", "failed"),
        ("Linux", "x86_64", ("", ""), "", "failed"),  # musl
        ("Linux", "riscv64", ("glibc", "2.36"), "", "failed"),
        ("Darwin", "arm64", ("", ""), "13.0", "ok"),
        ("Darwin", "x86_64", ("", ""), "15.2.1", "ok"),
        ("Darwin", "arm64", ("", ""), "12.7", "failed"),
        ("Windows", "AMD64", ("", ""), "", "failed"),
    ],
)
def test_system(name: str, processor: str, libc: tuple[str, str], macos: str, status: str) -> None:
    found = machine.system(name, processor, libc, macos)
    assert (found.status, bool(found.mend)) == (status, status == "failed")


def test_memory_and_disk(tmp_path: Path) -> None:
    fine(machine.memory(4 * GIB), "4.0 GiB")
    fine(machine.memory(None))
    warns(machine.memory(GIB // 2))
    fine(machine.disk(tmp_path / "not/yet", free=10 * GIB), "10.0 GiB")
    warns(machine.disk(tmp_path, free=2 * GIB))
    fails(machine.disk(tmp_path, free=GIB // 2), "0.5 GiB")
    assert machine.disk(tmp_path).check == "Disk"
    assert (machine.memory_free() or 1) > 0


def test_locale() -> None:
    fine(machine.encoding("utf-8", "UTF-8", ""))
    warns(machine.encoding("utf-8", "ascii", ""))
    warns(machine.encoding("utf-8", None, ""))
    warns(machine.encoding("utf-8", "utf-8", "LC_ALL=xx_XX is not installed here"))
    fails(machine.encoding("ascii", "utf-8", ""), "ascii")


def test_a_locale_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    found = machine.encoding("utf-8", "utf-8")
    warns(found)
    assert "LC_ALL=xx_XX.UTF-8" in found.found


def test_clock() -> None:
    newest = machine.CLOCK_EARLIEST + 1e7
    fine(machine.clock(newest + 1, newest))
    warns(machine.clock(newest - 10 * machine.CLOCK_SLACK_S, newest))
    fails(machine.clock(0.0, 0.0), "1970")
    assert machine.newest_file() > machine.CLOCK_EARLIEST


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_git_and_node(tmp_path: Path) -> None:
    def says(version: str) -> str:
        return str(script(tmp_path / f"says-{version}", f"echo program version {version}"))

    fine(await programs.git(says("2.32.0")), "2.32.0")
    fails(await programs.git(says("2.31.9")), "2.31.9")
    fails(await programs.git(str(script(tmp_path / "broken", "echo no; exit 3"))), "exit code 3: no")
    fails(await programs.git(str(script(tmp_path / "silent", "echo none"))), "names no version")
    fails(await programs.git(str(tmp_path / "nowhere")), "No such file")
    fine(await programs.node(says("18.0.1")))
    warns(await programs.node(says("16.20.2")))


async def test_git_and_node_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(await programs.git(), "not found")
    warns(await programs.node())


async def test_a_program_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "VERSION_S_MAX", 0.1)
    fails(await programs.git(str(script(tmp_path / "hangs", "exec sleep 60"))), "no answer within 0.1 s")


async def test_the_servers_programs(tmp_path: Path) -> None:
    for finding in await programs.servers():
        fine(finding)

    async def missing() -> Programs:
        raise ProgramMissing("PostgreSQL's wheel is not installed: repair")

    (finding,) = await programs.servers(missing)
    fails(finding, "wheel")

    async def unrunnable() -> Programs:
        return Programs(tmp_path, tmp_path / "nats-server")

    nats, postgres = await programs.servers(unrunnable)
    fails(nats, "No such file")
    fails(postgres, "No such file")


def test_a_state_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "state"
    fine(state.state_folder(path, os.geteuid()), "made at the first start")
    assert not path.exists()
    (tmp_path / "file").write_text("x")
    fails(state.state_folder(tmp_path / "file/state", os.geteuid()), "cannot be made")
    fails(state.state_folder(tmp_path / "file", os.geteuid()), "not a folder")


async def test_a_state_folder_and_who_runs_on_it(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "state")
    fine(state.state_folder(folder.path, os.geteuid()), "no company runs here")
    fine(state.servers(folder.path), "none runs")
    async with folder.locked():
        fine(state.state_folder(folder.path, os.geteuid()), f"process {os.getpid()}")
    (folder.path / "servers.json").write_text('{"nats": {"port": 4222, "pid": 1, "process_started": "never"}}')
    fine(state.servers(folder.path), "none runs")
    (folder.path / "servers.json").write_text("{")
    fails(state.servers(folder.path), "not readable")


def test_the_master_key_and_who_can_read_it(tmp_path: Path) -> None:
    files = MasterFiles(tmp_path)
    fine(state.master_key(files), "made at the first start")
    made = make_master(files.current)
    assert make_master(files.current) == made, "whoever is first makes it"
    fine(state.master_key(files), made.id[:8])
    files.current.chmod(0o644)
    assert state.master_key(files).status == "warning"
    assert str(files.current) in state.master_key(files).mend
    files.current.chmod(0o600)
    make_master(files.next)
    assert "rewrap" in state.master_key(files).mend
    files.next.unlink()
    files.current.write_text("not a key")
    fails(state.master_key(files), "32 random bytes")
    fails(state.master_key(MasterFiles(tmp_path, str(tmp_path / "nowhere"))), "nowhere")


def test_state_folders_that_cannot_be_used(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "state").path
    fails(state.state_folder(folder, os.geteuid() + 1), f"belongs to uid {os.geteuid()}")
    folder.chmod(0o755)
    warns(state.state_folder(folder, os.geteuid()))
    folder.chmod(0o700)
    (folder / "layout").write_text("99\n")
    fails(state.state_folder(folder, os.geteuid()), "layout '99'")
    (folder / "layout").unlink()
    fails(state.state_folder(folder, os.geteuid()), "files of something else")


def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    fine(state.ports(0, company_runs=False), "127.0.0.1:")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        fails(state.ports(port, company_runs=False), f"metrics port {port} is taken")
        fine(state.ports(port, company_runs=True))
        monkeypatch.setattr(state, "PORT_PREFERRED", port)
        fine(state.ports(None, company_runs=False), f"{port} is taken")

    def forbidden() -> int:
        raise PermissionError("bind: Operation not permitted")

    monkeypatch.setattr(state, "free_port", forbidden)
    fails(state.ports(None, company_runs=False), "not permitted")


async def test_sandboxes() -> None:
    def survey(*why_not: str) -> services.Survey:
        kinds: Sequence[Sandbox] = (Bubblewrap("bwrap"), Landlock(namespaces=True))

        async def tried() -> list[tuple[Sandbox, str]]:
            return list(zip(kinds, why_not, strict=True))

        return tried

    fine(await services.sandbox(survey("", "")), "bubblewrap: in use", "landlock: works")
    found = await services.sandbox(survey("is not installed", ""))
    fine(found, "bubblewrap: is not installed", "landlock: in use")
    assert found.found == "landlock"
    none = await services.sandbox(survey("is not installed", "no Landlock"))
    fails(none, "none works")
    assert len(none.details) == 2


def test_keys_are_named_and_never_shown() -> None:
    secret = "sk-never-to-be-shown"
    found = services.keys(services.key_settings(), {"OPENAI_API_KEY": secret, "ANTHROPIC_API_KEY": " "})
    fine(found, "OPENAI_API_KEY is set", "ANTHROPIC_API_KEY is not set", "TROUPE_PROVIDER_KEY is not set")
    assert secret not in found.found


async def test_the_provider() -> None:
    fine(await services.provider(Choice(), {}), "offline")
    fails(await services.provider(Choice("offlin"), {}), "offlin")
    fails(await services.provider(Choice("openai", "m"), {}), "OPENAI_API_KEY")
    nowhere = Choice("compatible", "m", f"http://127.0.0.1:{free_port()}")
    fails(await services.provider(nowhere, {}), "compatible")


async def test_local_models_are_found_where_they_answer() -> None:
    async def serve(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            body = b'{"object":"list","data":[{"id":"small"},{"id":"big"}]}'
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            await client.send(head.encode() + b"Connection: close\r\n\r\n" + body)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        servers = [("Ollama", f"http://127.0.0.1:{port}/v1"), ("vLLM", f"http://127.0.0.1:{free_port()}/v1")]
        fine(await services.local_models(servers), f"Ollama at http://127.0.0.1:{port}/v1 (2 models)")
        fine(await services.local_models(servers[1:]), "none found")
        group.cancel_scope.cancel()


async def test_servers_of_others_that_do_not_answer_and_no_secret_of_them() -> None:
    port = free_port()
    settings = Settings(
        nats_url=f"nats://tok3n-nobody-sees@127.0.0.1:{port}",
        postgres_url=f"postgresql://troupe:passw0rd-nobody-sees@127.0.0.1:{port}/troupe",
    )
    found = await services.outside_servers(settings)
    assert [finding.check for finding in found] == ["NATS", "PostgreSQL server"]
    for finding in found:
        fails(finding)
        assert "nobody-sees" not in f"{finding.found} {finding.mend}"
    assert await services.outside_servers(Settings()) == []


def test_root_is_a_warning() -> None:
    warns(services.root(0))
    fine(services.root(1000))


async def test_a_check_that_breaks_or_hangs_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECK_S_MAX", 0.05)

    async def breaks() -> Finding:
        raise ZeroDivisionError("oops")

    async def hangs() -> Finding:
        await anyio.sleep_forever()
        raise AssertionError

    async def several() -> list[Finding]:
        return [ok("a", "1"), failed("b", "2", "3")]

    found = [each async for each in doctor.examine([("x", breaks), ("y", hangs), ("z", several)])]
    fails(found[0], "ZeroDivisionError: oops")
    fails(found[1], "no answer within 0.05 s")
    assert found[2:] == [ok("a", "1"), failed("b", "2", "3")]


def test_every_question_is_asked_and_a_useless_folder_ends_its_own_questions_only(tmp_path: Path) -> None:
    names = [name for name, _ in doctor.checks(Settings(state=tmp_path), {})]
    assert len(names) == len(set(names)) == 15
    (tmp_path / "file").write_text("x")
    found = doctor.folder_findings(Settings(state=tmp_path / "file"), {})
    assert [(each.check, each.status) for each in found] == [("State folder", "failed"), ("Disk", "ok")]
    found = doctor.folder_findings(Settings(state=tmp_path / "new"), {})
    assert [each.check for each in found] == ["State folder", "Disk", "Servers", "Ports", "Master key"]
    assert not (tmp_path / "new").exists()
