"""The mirror's settings, and what an event is as a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.mirroring import AGE_S, BYTES_MAX, BadSetting, MirrorSettings
from actors.runtime.mirrored import mirrored
from eventstore.store import Recorded
from protocol.subjects import TOKEN_LENGTH_MAX, BadSubject, event_subject
from tests.kit.units import NOON, actor


def test_there_is_a_mirror_unless_somebody_says_otherwise() -> None:
    assert MirrorSettings.from_environment({}) == MirrorSettings(True, AGE_S, BYTES_MAX, "")
    said = {
        "TROUPE_MIRROR": "off",
        "TROUPE_MIRROR_AGE_S": "3600",
        "TROUPE_MIRROR_BYTES": "2000000",
        "TROUPE_MIRROR_NATS_URL": "nats://mirror@host",
    }
    assert MirrorSettings.from_environment(said) == MirrorSettings(False, 3_600.0, 2_000_000, "nats://mirror@host")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TROUPE_MIRROR", "yes"),
        ("TROUPE_MIRROR_AGE_S", "59"),
        ("TROUPE_MIRROR_AGE_S", "1e9"),
        ("TROUPE_MIRROR_BYTES", "-1"),
        ("TROUPE_MIRROR_BYTES", "1000"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        MirrorSettings.from_environment({name: value})


def test_the_event_is_the_last_token_of_its_subject() -> None:
    assert event_subject(actor("t1"), "task.submitted.v1") == "troupe.evt.demo.task.t1.submitted-v1"
    assert event_subject(actor("t1"), "other.thing.v2", "acme") == "acme.evt.demo.task.t1.other-thing-v2"
    with pytest.raises(BadSubject):
        event_subject(actor("no such name"), "task.submitted.v1")


@given(st.text(min_size=1, max_size=300), st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_in_an_event_its_message_can_be_sent(type_: str, correlation: str, causation: str) -> None:
    message = mirrored(Recorded(7, actor("t1"), 3, type_, NOON, correlation, causation, b"{}"), "troupe")
    *before, event = message.subject.split(".")
    assert before == ["troupe", "evt", "demo", "task", "t1"]
    assert 0 < len(event) <= TOKEN_LENGTH_MAX
    assert not set(event) & set(" *>\r\n\t")
    for name, value in message.headers.items():
        assert value.isascii(), name
        assert value.isprintable(), name
        assert value == value.strip(), name
    assert (message.sequence, message.body, message.headers["ce-id"]) == (7, b"{}", "task/t1@3")
