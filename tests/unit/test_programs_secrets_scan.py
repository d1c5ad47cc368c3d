"""secrets.scan: known formats and random text, in files and history, and never the secret itself.

Every secret here is put together when the test runs, so that no scan of this repository finds one in it.
"""

from pathlib import Path

import msgspec
import pytest

from actors.services.tools.analysis import secret_patterns
from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, found, run, write

LETTERS = "Zq8Kd02LmWx7Rt5VbN3cYp9Hs6JfGa1UeT4oQiXw8vBk2Dn5"
AWS = "AK" + "IA" + "QZ7KD02LMWX7RT5V"
GITHUB = "gh" + "p_" + LETTERS[:36]
STRIPE = "sk" + "_live_" + LETTERS[:24]
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw" + LETTERS
KEY = "-----BEGIN " + "PRIVATE KEY-----\n" + KEY_BODY + "\n-----END " + "PRIVATE KEY-----\n"
PASSWORD = "k9#Lm2" + "pQx7vR"


def scanned(tmp_path: Path, files: dict[str, str | bytes]) -> ToolResult:
    return run("secrets.scan", commit(tmp_path / "r", "all", files), tmp_path)


def rated(result: ToolResult) -> set[tuple[str, str, int, str]]:
    return {(each.path, each.rule, each.line, each.severity) for each in result.findings}


def test_known_formats_are_critical(tmp_path: Path) -> None:
    result = scanned(
        tmp_path,
        {
            "a.py": f"x = 1\nkey = '{AWS}'\n",
            "b.txt": GITHUB,
            "c.js": f'pay("{STRIPE}")',
            "id_rsa": KEY,
            "d.py": f'KEY = "{KEY}"'.replace("\n", "\\n"),
        },
    )
    assert rated(result) == {
        ("a.py", "aws-access-key", 2, "critical"),
        ("b.txt", "github-token", 1, "critical"),
        ("c.js", "stripe-key", 1, "critical"),
        ("id_rsa", "private-key", 1, "critical"),
        ("d.py", "private-key", 1, "critical"),
    }
    assert (result.facts["critical"], result.facts["secrets"]) == (5, 5)


def test_no_result_holds_a_secret(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "first", {"old.txt": GITHUB, "a.py": f"password = '{PASSWORD}'\n", "k": KEY})
    commit(root, "second", {"old.txt": "gone", "b.py": AWS})
    said = msgspec.json.encode(run("secrets.scan", root, tmp_path)).decode()
    for secret in (AWS, GITHUB, PASSWORD, KEY_BODY, AWS[:8], GITHUB[4:12], PASSWORD[:6], KEY_BODY[8:20]):
        assert secret not in said
    assert f"{AWS[:4]}… (20 characters, sha256 {secret_patterns.fingerprint(AWS)})" in said


def test_random_text_in_assignments_is_medium(tmp_path: Path) -> None:
    value = LETTERS[:20]
    result = scanned(
        tmp_path,
        {
            "a.py": f"db_password = '{PASSWORD}'\nheaders = {{'api_key': \"{value}\"}}\n",
            "conf.yml": f"  secret_token: {value}\n",
            ".env": f"export ACCESS_KEY={value}\n",
            "url.py": f"'postgres://app:{PASSWORD.replace('#', '')}@db.internal.net/x'\n",
        },
    )
    assert rated(result) - {(".env", "environment-file", 0, "low")} == {
        ("a.py", "assigned-secret", 1, "medium"),
        ("a.py", "assigned-secret", 2, "medium"),
        ("conf.yml", "assigned-secret", 1, "medium"),
        (".env", "assigned-secret", 1, "medium"),
        ("url.py", "url-password", 1, "medium"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "password = os.environ['PASSWORD_1234567']",
        'token = "tools.run.v1.something2"',
        'client_secret = "client_secret_basic"',
        'password = "correct horse battery"',
        'api_key = "your-api-key-goes-here1"',
        'api_key = "${API_KEY_FROM_VAULT1}"',
        'token = "<your token 1234>"',
        'secret_key = "changeme1234567"',
        'tokenizer = "bert-base-uncased-v2"',
        'token_url = "https://login.example.net/oauth2/token"',
        "apiKey: process.env.API_KEY1234,",
        "look for -----BEGIN " + "PRIVATE KEY----- in the file",
        "postgres://postgres:postgres@localhost:5432/x",
        "https://user:s3cr3tPw9@www.example.com/x",
        'password = "aaaaaaaaaaaa1"',
    ],
)
def test_words_and_placeholders_are_none(line: str) -> None:
    assert list(secret_patterns.find("a.py", line)) == []
    assert list(secret_patterns.find("a.yml", line)) == []


def test_the_documented_example_key_is_only_info(tmp_path: Path) -> None:
    result = scanned(tmp_path, {"README.md": "AK" + "IAIOSFODNN7EXAMPLE\n"})
    assert rated(result) == {("README.md", "aws-access-key", 1, "info")}
    assert result.facts["secrets"] == 0


def test_tests_are_one_level_lower_and_say_so(tmp_path: Path) -> None:
    result = scanned(tmp_path, {"tests/data/a.txt": AWS})
    assert rated(result) == {("tests/data/a.txt", "aws-access-key", 1, "high")}
    assert "one level lower" in result.findings[0].message


def test_what_was_removed_is_still_in_the_history(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "first", {"config.py": f"\n\nkey = '{AWS}'\n"})
    commit(root, "second", {"config.py": "key = ''\n"})
    result = run("secrets.scan", root, tmp_path)
    assert rated(result) == {("config.py", "aws-access-key", 0, "critical")}
    assert "in the history only" in result.findings[0].message
    assert "line 3 there" in result.findings[0].message
    assert result.facts["commits_scanned"] == 2


def test_what_the_files_still_hold_is_reported_once(tmp_path: Path) -> None:
    root = commit(tmp_path / "r", "first", {"config.py": f"key = '{AWS}'\n"})
    commit(root, "second", {"config.py": f"# more\nkey = '{AWS}'\n"})
    assert rated(run("secrets.scan", root, tmp_path)) == {("config.py", "aws-access-key", 2, "critical")}


def test_lock_files_are_full_of_hashes(tmp_path: Path) -> None:
    line = f'token: "{LETTERS[:30]}"\n'
    assert scanned(tmp_path, {"yarn.lock": line}).findings == ()


def test_strange_files_do_no_harm(tmp_path: Path) -> None:
    root = commit(
        tmp_path / "r",
        "all",
        {
            "latin.txt": b"caf\xe9 " + AWS.encode(),
            "binary.bin": b"\0" + AWS.encode(),
            "huge.txt": (AWS + "\n").encode() * 60_000,
            "long.txt": "password=" * 100_000,
            'odd"\nname.txt': AWS,
        },
    )
    (root / "link.txt").symlink_to("/etc/passwd")
    result = run("secrets.scan", commit(root, "link"), tmp_path)
    assert {each.path for each in found(result, "aws-access-key")} == {"latin.txt", 'odd"\nname.txt'}


@pytest.mark.parametrize(
    ("build", "commits"),
    [(repositories.empty_one_commit, 1), (repositories.shallow, 1), (repositories.python_passing, 7)],
)
def test_a_clean_repository_has_none(tmp_path: Path, build: object, commits: int) -> None:
    assert callable(build)
    result = run("secrets.scan", Path(str(build(tmp_path / "r"))), tmp_path)
    assert (result.status, result.findings, result.facts["commits_scanned"]) == ("ok", (), commits)
    assert "nothing that looks like a secret" in result.summary


def test_without_a_repository_it_fails_and_keeps_what_it_found(tmp_path: Path) -> None:
    result = run("secrets.scan", write(tmp_path / "r", {"a.txt": AWS}), tmp_path)
    assert result.status == "failed"
    assert "the history was not" in result.summary
    assert len(result.findings) == 1
