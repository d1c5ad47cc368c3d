"""The macOS profile as text: what it allows is what the policy names. It cannot be run here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.services.tools.sandbox import detect, seatbelt
from actors.services.tools.sandbox.base import FILE_BYTES_MAX, Policy
from actors.services.tools.sandbox.seatbelt import SANDBOX_EXEC, Seatbelt, profile, quoted


def rules(text: str, operation: str) -> set[str]:
    """The paths that some rule with `operation` names."""
    found: set[str] = set()
    for line in text.splitlines():
        allowed = re.match(r"\(allow ([\w*\- ]+?) \(", line)
        if allowed and operation in allowed[1].split():
            found |= set(re.findall(r'\((?:literal|subpath) "((?:[^"\\]|\\.)*)"\)', line))
    return found


def test_everything_is_denied_first_and_the_network_last() -> None:
    lines = profile(["/usr"], ["/scratch"]).splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert lines[-1] == "(deny network*)"
    assert "(deny file-write-setugid)" in lines
    assert not any("network" in line for line in lines[:-1])


def test_only_writable_paths_are_written_and_both_are_read_and_run() -> None:
    text = profile(["/usr", "/repo"], ["/repo/scratch"])
    assert rules(text, "file-write*") == {"/repo/scratch"}
    assert rules(text, "process-exec") == {"/usr", "/repo", "/repo/scratch"}
    assert {"/usr", "/repo", "/repo/scratch"} <= rules(text, "file-read*")
    assert rules(text, "file-write-data") == set(seatbelt.DEVICES)


def test_of_the_folders_above_only_the_metadata_are_seen() -> None:
    text = profile(["/home/ada/repo"], [])
    assert rules(text, "file-read-metadata") == {"/", "/home", "/home/ada"}
    assert "/home/ada" not in rules(text, "file-read*")
    assert rules(text, "file-write*") == set()


def test_a_path_cannot_write_rules_of_its_own() -> None:
    hostile = '/repo") (allow network*) (subpath "/'
    text = profile([hostile], [])
    assert quoted(hostile) == r'"/repo\") (allow network*) (subpath \"/"'
    assert text.count("(allow network") == text.count(r"\") (allow network")
    assert quoted("/back\\slash") == r'"/back\\slash"'
    assert quoted("/with space/ünïcode") == '"/with space/ünïcode"'


def test_a_path_with_control_characters_is_left_out() -> None:
    text = profile(["/repo\n(allow default)", "/usr"], ["/x\x7f"])
    assert "allow default" not in text
    assert rules(text, "process-exec") == {"/usr"}
    assert rules(text, "file-write*") == set()


def test_parentheses_are_balanced_whatever_the_paths() -> None:
    text = profile(["/a (b", '/c") d', "/e;f"], ["/g)"])
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert outside.count("(") == outside.count(")")
    assert ";" not in outside


def test_the_command_line_sets_limits_and_runs_the_command_unchanged(tmp_path: Path) -> None:
    policy = Policy((str(tmp_path),), (), str(tmp_path), cpu_s=7)
    command = Seatbelt().command(("/bin/echo", "a b", "$HOME", "-n"), policy)
    assert command[:2] == [SANDBOX_EXEC, "-p"]
    assert os.path.realpath(tmp_path) in rules(command[2], "file-read*")
    assert command[-4:] == ["/bin/echo", "a b", "$HOME", "-n"]
    assert command[-7:-4] == ["7", str(FILE_BYTES_MAX // 512), "4096"]


def test_the_limits_are_those_of_a_posix_shell(tmp_path: Path) -> None:
    """The part that any shell can run: everything behind the profile."""
    policy = Policy((), (), str(tmp_path), cpu_s=7)
    command = Seatbelt().command(("/bin/sh", "-c", 'ulimit -t; ulimit -c; echo "$0"', "it's me"), policy)
    said = subprocess.run(command[3:], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["7", "0", "it's me"]


async def test_on_macos_it_is_the_only_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(seatbelt, "SANDBOX_EXEC", "/nowhere/sandbox-exec")
    found = await detect.survey()
    assert [(sandbox.kind, why) for sandbox, why in found] == [("seatbelt", "there is no /nowhere/sandbox-exec")]
    assert (await detect.find()).report.kind == "none"


def test_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seatbelt, "SANDBOX_EXEC", sys.executable)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "run as a plain user" in seatbelt.unusable()
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert seatbelt.unusable() == ""


async def test_the_survey_tries_every_kind_and_agrees_with_what_is_used() -> None:
    found = await detect.survey()
    used = next((sandbox.kind for sandbox, why in found if not why), "none")
    assert used == (await detect.detect()).kind
