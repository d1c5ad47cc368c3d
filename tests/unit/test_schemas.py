"""The golden JSON Schemas agree with the types, with every example message, and name every tag."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from protocol import schemas
from protocol.message import tag_of
from protocol.task import SubmitTask


def _golden() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in schemas.FOLDER.glob("*.json")}


def test_the_golden_files_agree_with_the_types() -> None:
    assert _golden() == schemas.render(), "run: python -P -m protocol.schemas --write"


@pytest.mark.parametrize("name", sorted(schemas.render()))
def test_a_golden_file_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(msgspec.json.decode(_golden()[name]))


def test_every_tag_is_described() -> None:
    for kind, commands, events in schemas.messages():
        for message in (*commands, *events):
            assert f'"{tag_of(message)}"' in _golden()[f"{kind}.json"]


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        (SubmitTask("review", "/srv/repo"), True),
        ({"type": "task.submit.v1", "title": "typed by hand"}, True),
        ({"type": "task.submit.v1"}, False),
        ({"type": "task.submit.v2", "title": "unknown"}, False),
    ],
)
def test_a_message_is_valid_as_the_codec_sees_it(body: Any, valid: bool) -> None:
    validator = Draft202012Validator(msgspec.json.decode(_golden()["task.json"]))
    assert validator.is_valid(msgspec.to_builtins(body)) is valid


def test_drift_is_named_and_written_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    (tmp_path / "retired.json").write_text("{}")
    assert schemas.main([]) == 1
    assert "retired.json differs" in capsys.readouterr().err
    assert schemas.main(["--write"]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == schemas.render()
    assert schemas.main([]) == 0
