"""The state folder: where it is, who may use it, what is refused. Ports too."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from actors.embedded.errors import FolderLocked, ForeignFolder
from actors.embedded.folder import StateFolder, default_path, write_private
from actors.embedded.locks import is_locked, try_lock, wait_unlocked
from actors.embedded.ports import PORTS, free_port, is_free


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TROUPE_STATE": "/srv/a", "XDG_STATE_HOME": "/srv/x"}, Path("/srv/a")),
        ({"XDG_STATE_HOME": "/srv/x"}, Path("/srv/x/troupe/default")),
        ({"XDG_STATE_HOME": "relative"}, Path.home() / ".local/state/troupe/default"),
        ({}, Path.home() / ".local/state/troupe/default"),
    ],
)
def test_default_path(environment: dict[str, str], expected: Path) -> None:
    assert default_path(environment) == expected


def test_an_argument_goes_before_the_environment(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "chosen", {"TROUPE_STATE": str(tmp_path / "other")})
    assert folder.path == tmp_path / "chosen"
    assert not (tmp_path / "other").exists()


def test_everything_is_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = StateFolder.open(tmp_path / "a" / "b")
    folder.secret("token")
    made = [folder.path.parent, folder.path, *folder.path.rglob("*")]
    assert {each.name: mode(each) for each in made if mode(each) not in (0o700, 0o600)} == {}
    assert mode(tmp_path) == 0o755  # What was there before keeps its mode.


def test_an_opened_folder_opens_again_with_the_same_secrets(tmp_path: Path) -> None:
    first = StateFolder.open(tmp_path / "state").secret("token")
    assert len(first) >= 32
    assert StateFolder.open(tmp_path / "state").secret("token") == first
    assert StateFolder.open(tmp_path / "state").secret("another") != first


def test_a_loosened_folder_is_closed_again(tmp_path: Path) -> None:
    path = StateFolder.open(tmp_path / "state").path
    path.chmod(0o755)
    assert mode(StateFolder.open(path).path) == 0o700


def test_a_folder_of_something_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    tmp_path.chmod(0o755)
    with pytest.raises(ForeignFolder, match="not a state folder"):
        StateFolder.open(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]
    assert mode(tmp_path) == 0o755


def test_another_layout_is_refused(tmp_path: Path) -> None:
    path = StateFolder.open(tmp_path / "state").path
    (path / "layout").write_text("999\n")
    with pytest.raises(ForeignFolder, match="layout '999'"):
        StateFolder.open(path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ForeignFolder):
        StateFolder.open(tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_refused(tmp_path: Path) -> None:
    path = StateFolder.open(tmp_path / "state").path
    os.chown(path, 65_534, 65_534)
    with pytest.raises(ForeignFolder, match="uid 65534"):
        StateFolder.open(path)


def test_an_ephemeral_folder_leaves_nothing() -> None:
    with StateFolder.ephemeral() as folder:
        folder.secret("token")
        assert mode(folder.path) == 0o700
    assert not folder.path.exists()


async def test_one_company_at_a_time(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "state")
    async with folder.locked():
        with pytest.raises(FolderLocked, match=f"process {os.getpid()}") as refused:
            async with folder.locked():
                pytest.fail("two companies at once")
        assert refused.value.pid == os.getpid()
    async with folder.locked():
        pass
    assert folder.holder() is None


async def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    folder = StateFolder.open(tmp_path / "state")
    script = (
        "import asyncio, sys\n"
        "from actors.embedded.folder import StateFolder\n"
        "async def main():\n"
        "    async with StateFolder.open(sys.argv[1]).locked():\n"
        "        print('locked', flush=True)\n"
        "        sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(FolderLocked) as refused:
            async with folder.locked():
                pytest.fail("two companies at once")
        assert refused.value.pid == holder.pid
        holder.kill()
    async with folder.locked():
        assert folder.holder() == os.getpid()


async def test_a_lock_is_held_by_whoever_inherits_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    descriptor = try_lock(path)
    assert descriptor is not None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,)) as heir:
        os.close(descriptor)
        assert is_locked(path)
        assert not await wait_unlocked(path, timeout_s=0.05)
        heir.kill()
    assert await wait_unlocked(path, timeout_s=5)


def test_a_replaced_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_free_ports_prefer_the_one_asked_for() -> None:
    port = free_port()
    assert port in PORTS
    assert is_free(port)
    assert free_port(port) == port
