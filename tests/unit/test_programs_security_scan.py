"""security.scan: severities in proportion, tests rated lower, other languages by their lines."""

from pathlib import Path

import pytest

from tests.kit import repositories
from tests.kit.program_runs import commit, found, run, write
from tests.kit.tool_inputs import file_text, uncited


def ratings(tmp_path: Path, files: dict[str, str | bytes]) -> set[tuple[str, str, int, str]]:
    scan = run("security.scan", write(tmp_path / "r", files), tmp_path)
    return {(each.path, each.rule, each.line, each.severity) for each in scan.findings}


@pytest.mark.parametrize(
    ("code", "test", "severity"),
    [
        ("import subprocess\nsubprocess.run(f'ls {x}', shell=True)\n", "B602", "critical"),
        ("import subprocess\nsubprocess.run('ls %s' % x, shell=True)\n", "B602", "critical"),
        ("import subprocess\nsubprocess.run(x, shell=True)\n", "B602", "high"),
        ("import subprocess\nsubprocess.run('ls', shell=True)\n", "B602", "low"),
        ("import os\nos.system('ls ' + x)\n", "B605", "critical"),
        ("eval(input())\n", "B307", "critical"),
        ("eval(x)\n", "B307", "medium"),
        (
            "import pickle\ndef view(request):\n    body = request.data\n    return pickle.loads(body)\n",
            "B301",
            "critical",
        ),
        ("import pickle\npickle.loads(x)\n", "B301", "medium"),
        ("import hashlib\nhashlib.md5(b'x')\n", "B324", "medium"),
        ("import subprocess\nsubprocess.run(['ls'])\n", "B603", "info"),
        ("import requests\nrequests.get('https://example.org', verify=False, timeout=1)\n", "B501", "high"),
    ],
)
def test_python_is_rated_in_proportion(tmp_path: Path, code: str, test: str, severity: str) -> None:
    rated = {rule: level for _, rule, _, level in ratings(tmp_path, {"app.py": code})}
    assert rated[test] == severity


def test_foreign_data_of_another_function_is_not_mixed_in(tmp_path: Path) -> None:
    code = "import pickle\ndef a(request):\n    body = request.data\ndef b(body):\n    return pickle.loads(body)\n"
    assert ("app.py", "B301", 5, "medium") in ratings(tmp_path, {"app.py": code})


def test_tests_are_rated_lower_and_may_assert(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"tests/test_x.py": "def test_x():\n    assert eval(input())\n"}
    assert ratings(tmp_path, files) == {("tests/test_x.py", "B307", 2, "medium")}


def test_what_somebody_signed_for_is_counted_not_reported(tmp_path: Path) -> None:
    scan = run("security.scan", write(tmp_path / "r", {"a.py": "eval(input())  # nosec\n"}), tmp_path)
    assert (scan.findings, scan.facts["nosec"]) == ((), 1)


def test_settings_of_the_repository_do_not_hide_findings(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        ".bandit": "[bandit]\nskips = B307\nexclude = /\n",
        "pyproject.toml": "[tool.bandit]\nskips = ['B307']\n",
        "a.py": "eval(x)\n",
    }
    assert ("a.py", "B307", 1, "medium") in ratings(tmp_path, files)


def test_other_languages_are_scanned_by_line(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.js": "eval(code);\n// eval(code)\nexec(`ls ${name}`);\nel.innerHTML = name;\nel.innerHTML = '';\n",
        "install.sh": "#!/bin/sh\ncurl -s https://example.org/x | sudo bash\n# wget x | sh\n",
        "Dockerfile": "FROM python:3.12\nUSER app\nENV API_TOKEN=abc\nUSER root\n",
        "deploy/Dockerfile": "FROM scratch\n",
        ".github/workflows/ci.yml": "jobs:\n  x:\n    steps:\n"
        "      - run: |\n          echo ${{ github.event.issue.title }}\n"
        "      - env:\n          T: ${{ github.event.issue.title }}\n        run: echo $T\n",
        "test/a.js": "eval(code);\n",
        "bundle.min.js": "eval(code)\n",
    }
    assert ratings(tmp_path, files) == {
        ("a.js", "eval", 1, "high"),
        ("a.js", "shell-command", 3, "high"),
        ("a.js", "html-injection", 4, "medium"),
        ("install.sh", "download-to-shell", 2, "medium"),
        ("Dockerfile", "secret-in-image", 3, "medium"),
        ("Dockerfile", "root-user", 4, "medium"),
        ("deploy/Dockerfile", "root-user", 0, "low"),
        (".github/workflows/ci.yml", "workflow-injection", 5, "high"),
        ("test/a.js", "eval", 1, "medium"),
    }


def test_bad_files_are_facts_not_failures(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "broken.py": "def f(:\n",
            "latin.py": b"# caf\xe9\nx = 1\n",
            "nul.py": b"\0",
            "escape.py": 'x = "\\d"\neval(x)\n',
            "huge.py": "eval(x)\n" * 200_000,
            "odd\nname.py": "eval(x)\n",
        },
    )
    (root / "link.py").symlink_to("escape.py")
    (root / "dangling.py").symlink_to("nowhere.py")
    scan = run("security.scan", commit(root, "all"), tmp_path)
    assert scan.status == "ok"
    assert {each.path for each in found(scan, "not-scanned")} == {"broken.py", "latin.py"}
    assert {(each.path, each.line) for each in found(scan, "B307")} == {("escape.py", 2), ("odd\nname.py", 1)}
    assert (scan.facts["python_files_scanned"], scan.facts["files_not_scanned"]) == (2, 2)


def test_the_report_counts_and_cites(tmp_path: Path) -> None:
    scan = run("security.scan", write(tmp_path / "r", {"a.py": "eval(input())\n", "b.sh": "chmod 777 /\n"}), tmp_path)
    assert (scan.facts["critical"], scan.facts["low"], scan.facts["files_scanned"]) == (1, 1, 2)
    assert scan.facts["bandit_version"]
    text = file_text(scan, "security.md").partition("## How findings are rated")[0]
    assert "## Critical" in text
    assert uncited(text) == []


def test_a_clean_repository_has_no_findings(tmp_path: Path) -> None:
    scan = run("security.scan", repositories.python_passing(tmp_path / "r"), tmp_path)
    assert (scan.status, scan.summary) == ("ok", "7 files scanned: no findings")
    assert run("security.scan", repositories.javascript(tmp_path / "j"), tmp_path).facts["other_files_scanned"] == 3


def test_without_known_files_it_does_not_apply(tmp_path: Path) -> None:
    assert run("security.scan", repositories.empty_one_commit(tmp_path / "r"), tmp_path).status == "not_applicable"
