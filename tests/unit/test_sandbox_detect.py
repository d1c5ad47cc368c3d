"""Detection believes only what a probe proves, and the launcher's parts are what they say."""

import sys
from pathlib import Path

import pytest

from actors.services.tools.sandbox import adapters, detect, seccomp, view


async def test_the_report_names_the_sandbox_and_why_the_ones_before_were_not_taken() -> None:
    report = await detect.detect()
    tried = [kind for kind, _ in report.tried]
    assert tried == ["bubblewrap", "landlock", "landlock"][: len(tried)]
    assert all(why for _, why in report.tried)
    assert report.kind == ("bubblewrap", "landlock", "landlock", "none")[len(tried)]
    assert report.detail


async def test_detection_is_done_once() -> None:
    assert await detect.detected() is await detect.detected()


async def test_a_missing_program_is_no_sandbox() -> None:
    assert "/nowhere/bwrap" in await detect.probe(adapters.Bubblewrap("/nowhere/bwrap"))


async def test_a_program_that_only_pretends_is_no_sandbox(tmp_path: Path) -> None:
    pretender = tmp_path / "bwrap"
    pretender.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift\nexec "$@"\n')
    pretender.chmod(0o755)
    assert await detect.probe(adapters.Bubblewrap(str(pretender))) != ""


async def test_no_sandbox_confines_nothing() -> None:
    assert await detect.probe(adapters.Unconfined()) == "not confined: read_outside"


async def test_where_nothing_works_the_sandbox_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_name: str) -> None:
        return None

    def absent() -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(detect.shutil, "which", nowhere)
    monkeypatch.setattr(detect.ruleset, "version", absent)
    found = await detect.find()
    assert found.sandbox.kind == "none"
    assert [kind for kind, _ in found.report.tried] == ["bubblewrap", "landlock", "landlock"]


def test_a_filter_is_whole_instructions_and_ends_by_allowing() -> None:
    for namespaces in (True, False):
        code = seccomp.program(namespaces=namespaces)
        assert len(code) % 8 == 0
        assert len(code) // 8 < 4096  # the kernel's limit
        assert code[-8:] == (0x06).to_bytes(2, "little") + b"\0\0" + (0x7FFF_0000).to_bytes(4, "little")


def test_a_virtual_environment_brings_its_base() -> None:
    paths = view.environment_paths(sys.prefix)
    assert str(Path(sys.prefix)) in paths
    assert any(Path(path).resolve() == Path(sys.base_prefix).resolve() for path in paths)


def test_a_virtual_environment_cannot_name_any_folder_as_its_base(tmp_path: Path) -> None:
    home = tmp_path / "home/.ssh/bin"
    home.mkdir(parents=True)
    environment = tmp_path / "repo/.venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib/python3.11/site-packages").mkdir(parents=True)
    (environment / "bin/python").write_text("")
    (environment / "pyvenv.cfg").write_text(f"home = {home}\n")
    assert view.environment_paths(environment) == ()
