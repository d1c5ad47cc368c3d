"""The log file: JSON with a correlation on every line, bounded, without secrets, and never in the company's way."""

import errno
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from actors.edge.monitoring import logs
from actors.edge.monitoring.logs import REDACTED, Redactor, logged_errors, logging_into, secrets_of

TOKEN = "s3cret-of-nats-0123456789"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_line_is_json_with_a_correlation_ours_and_the_libraries(tmp_path: Path) -> None:
    path = tmp_path / "company.log"
    with logging_into(path):
        log = structlog.get_logger("ours")
        log.info("about.nothing")
        with bound_contextvars(correlation="t1", actor="demo/tools/t1"):
            log.warning("about.a_task", seconds=1.5, key="k")
            logging.getLogger("nats.aio").error("lost %s\nof %d", "two", 3)
        log.info("about.another", correlation="t2")
        logging.getLogger("asyncpg").debug("too fine")
    read = lines(path)
    assert [(line["logger"], line["level"], line["event"], line["correlation"]) for line in read] == [
        ("ours", "info", "about.nothing", ""),
        ("ours", "warning", "about.a_task", "t1"),
        ("nats.aio", "error", "lost two\nof 3", "t1"),
        ("ours", "info", "about.another", "t2"),
    ]
    assert read[1] | {"seconds": 1.5, "key": "k", "actor": "demo/tools/t1"} == read[1]
    assert all(line["timestamp"].endswith("Z") for line in read)


def test_what_ends_a_block_is_logged_with_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "company.log"
    with pytest.raises(ExceptionGroup), logging_into(path), logged_errors():
        raise ExceptionGroup("tasks", [KeyError(f"postgresql://troupe:{TOKEN}@127.0.0.1/db")])
    (line,) = lines(path)
    assert (line["event"], line["level"]) == ("company.failed", "error")
    assert "Traceback" in line["exception"]
    assert "KeyError" in line["exception"]
    assert TOKEN not in path.read_text("utf-8")


def test_what_was_there_before_is_back_afterwards(tmp_path: Path) -> None:
    root, config = logging.getLogger(), structlog.get_config()
    before, level = root.handlers[:], root.level
    with logging_into(tmp_path / "a.log"), logging_into(tmp_path / "b.log"):
        structlog.get_logger("x").info("inner")
    assert (root.handlers, root.level, structlog.get_config()) == (before, level, config)
    assert lines(tmp_path / "a.log") == []
    assert len(lines(tmp_path / "b.log")) == 1


def test_the_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 2_000)
    path = tmp_path / "company.log"
    with logging_into(path):
        for number in range(200):
            structlog.get_logger("x").info("line", number=number)
    written = sorted(tmp_path.iterdir())
    assert [each.name for each in written] == ["company.log", "company.log.1", "company.log.2"]
    assert all(each.stat().st_size <= 2_000 for each in written)
    assert lines(path)[-1]["number"] == 199


class FullDisk(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_that_cannot_be_written_is_counted_and_harms_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[None] = []
    path = tmp_path / "company.log"
    with logging_into(path, lambda: lost.append(None)):
        (handler,) = logging.getLogger().handlers
        with monkeypatch.context() as patched:
            patched.setattr(handler, "stream", FullDisk())
            structlog.get_logger("x").info("into nothing")
        structlog.get_logger("x").info("there is room again")
    assert len(lost) == 1
    assert [line["event"] for line in lines(path)] == ["there is room again"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        f"cannot connect to nats://{TOKEN}@127.0.0.1:4222: refused",
        f"postgresql://troupe:{TOKEN}@127.0.0.1:5432/troupe",
        f"Authorization: Bearer {TOKEN}",
        f"password={TOKEN} host=x",
        f'{{"token": "{TOKEN}", "a": 1}}',
        f"api_key: '{TOKEN}'",
        "the key sk-abcdefgh12345678ijkl is wrong",
    ],
)
def test_secrets_are_known_by_their_form(text: str) -> None:
    said = Redactor().text(text)
    assert REDACTED in said
    assert TOKEN not in said
    assert "sk-abcdefgh" not in said


def test_secrets_are_known_by_their_name_however_deep() -> None:
    event: dict[str, Any] = {
        "nats_token": TOKEN,
        "nested": {"Password": TOKEN, "list": [{"api_key": TOKEN}, (TOKEN, b"bytes")]},
        "tokens_in": 12,
        "key": "tools/t1@3.0",
        "empty_token": "",
        "none": None,
    }
    redactor = Redactor([TOKEN])
    assert redactor(None, "info", event) == {
        "nats_token": REDACTED,
        "nested": {"Password": REDACTED, "list": [{"api_key": REDACTED}, [REDACTED, "b'bytes'"]]},
        "tokens_in": 12,
        "key": "tools/t1@3.0",
        "empty_token": "",
        "none": None,
    }


def test_a_known_secret_is_taken_out_wherever_it_stands_and_a_word_is_not() -> None:
    redactor = Redactor()
    redactor.learn("short")
    redactor.learn_url("postgresql://troupe:p%40ssword-of-ours@127.0.0.1/troupe")
    assert redactor.text("xp@ssword-of-oursx p%40ssword-of-ours short") == f"x{REDACTED}x {REDACTED} short"
    redactor.learn_url("nats://only-a-token-here@127.0.0.1")
    redactor.learn_url("nats://127.0.0.1:4222")
    assert redactor.text("only-a-token-here") == REDACTED


def test_secrets_of_the_environment_are_known_by_their_variables_names() -> None:
    found = secrets_of({"OPENAI_API_KEY": "a", "GH_TOKEN": "b", "my_password": "c", "KEYBOARD": "d", "PATH": "e"})
    assert sorted(found) == ["a", "b", "c"]


def test_ordinary_lines_stay_as_they_are() -> None:
    for text in ("http://127.0.0.1:9464/metrics", "tools/t1@3", "12 tokens in 3 s", "no answer: http://a/b@c"):
        assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "a://" * 250_000, "token" * 200_000, "-sk-" * 250_000, "=" * 1_000_000]
)
def test_one_value_is_bounded_in_size_and_time(text: str) -> None:
    """With a pattern that goes back over what it has read this would take hours."""
    assert 0 < len(Redactor().text(text)) <= logs.LINE_CHARACTERS_MAX
