"""Publishing the log again, without a bus: when each event is due, where it may go, what it looks like there."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.cli.exits import Exit
from actors.cli.main import main
from actors.runtime.pace import Pace
from actors.runtime.republish import SUBJECT_LENGTH_MAX, Target, matches, message_headers
from eventstore.store import Recorded
from protocol.subjects import Address, BadSubject

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def recorded(project: str = "demo", type_: str = "tools.called.v1", causation: str = "architect/t1@3.0") -> Recorded:
    return Recorded(7, Address(project, "tools", "t1"), 3, type_, AT, "t1", causation, b'{"type":"tools.called.v1"}')


def due(pace: Pace, seconds: list[float], began_s: float = 100.0) -> list[float]:
    """When events with these times are published by a publisher that waits as it is told, from the first on."""
    now, found = began_s, list[float]()
    for each in seconds:
        now += pace.wait_s(AT + timedelta(seconds=each), now)
        found.append(now - began_s)
    return found


def test_the_pace_of_the_original_and_faster_ones() -> None:
    assert due(Pace(1.0), [0, 0.5, 3]) == [0, 0.5, 3]
    assert due(Pace(10.0), [5, 15, 35]) == [0, 1, 3]
    assert due(Pace(0.5), [0, 1]) == [0, 2]
    assert due(Pace(), [0, 1_000]) == [0, 0], "as fast as can be"


def test_a_clock_that_went_back_delays_nothing() -> None:
    assert due(Pace(1.0), [0, 4, 1, 5]) == [0, 4, 4, 5]
    assert due(Pace(1.0), [10, 0, 11]) == [0, 0, 1]


def test_after_a_hold_up_the_pace_catches_up_and_a_rate_does_not() -> None:
    pace, rate = Pace(1.0), Pace(per_second=2.0)
    for each in (pace, rate):
        assert each.wait_s(AT, 100.0) == 0
    later = AT + timedelta(seconds=1)
    assert pace.wait_s(later, 110.0) == 0
    assert pace.wait_s(AT + timedelta(seconds=10.5), 110.0) == 0.5
    assert (rate.wait_s(later, 110.0), rate.wait_s(later, 110.0)) == (0, 0.5)
    assert due(Pace(per_second=4.0), [0, 0, 0]) == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("template", "subject"),
    [
        ("audit.events", "audit.events"),
        ("audit.{project}.{kind}.{id}.{event}", "audit.demo.tools.t1.called-v1"),
        ("{project}.x-{kind}", "demo.x-tools"),
        ("troupe.replay.{kind}", "troupe.replay.tools"),
        ("troupes.cmd.a.b.c", "troupes.cmd.a.b.c"),
    ],
)
def test_a_subject_is_made_of_the_event(template: str, subject: str) -> None:
    target = Target(template)
    assert target.subject_of(recorded()) == subject
    assert matches(target.wildcard, subject)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("troupe.cmd.demo.task.t1", "company's own"),
        ("troupe.cmd.{project}.{kind}.{id}", "company's own"),
        ("troupe.fx.tool", "company's own"),
        ("troupe.query.usage", "company's own"),
        ("troupe.evt.demo.task.t1.x", "company's own"),
        ("troupe.part.7.demo.task.t1", "company's own"),
        ("troupe.replay", "company's own"),
        ("troupe-fork.cmd.demo.task.t1", "company's own"),
        ("mine.cmd.demo.task.t1", "company's own"),
        ("$JS.API.STREAM.DELETE.EVENTS", "bus's own"),
        ("$KV.x.y", "bus's own"),
        ("_INBOX.a", "bus's own"),
        ("a.*", "no subject"),
        ("a.>", "no subject"),
        ("a..b", "no subject"),
        (".a", "no subject"),
        ("a b", "no subject"),
        ("a.{name}", r"placeholder \{name\}"),
        ("a." + "x" * SUBJECT_LENGTH_MAX, "no subject"),
        ("", "no subject"),
        ("a.ü", "no subject"),
    ],
)
def test_what_is_no_place_for_events_is_refused(template: str, said: str) -> None:
    with pytest.raises(BadSubject, match=said):
        Target(template, "mine")


def test_an_event_may_not_make_a_command_subject_of_a_harmless_one() -> None:
    target = Target("{project}.cmd.demo.task.t1")
    assert target.subject_of(recorded("demo")) == "demo.cmd.demo.task.t1"
    with pytest.raises(BadSubject, match="company's own"):
        target.subject_of(recorded("troupe"))


@pytest.mark.parametrize(
    ("pattern", "subject", "matching"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.>", "a.b.c", True),
        (">", "a", True),
        ("*.b", "a.b", True),
        ("a.>", "a", False),
        ("a.*", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.c", "a.b", False),
    ],
)
def test_what_a_pattern_means(pattern: str, subject: str, matching: bool) -> None:
    assert matches(pattern, subject) is matching


def test_the_headers_say_which_event_it_was() -> None:
    headers = message_headers(recorded(causation="é"))
    assert headers.pop("traceparent").startswith("00-"), "as in the mirror"
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "demo/tools/t1@3",
        "ce-type": "tools.called.v1",
        "ce-source": "demo/tools/t1",
        "ce-subject": "tools/t1@3",
        "ce-time": "2026-01-31T12:00:00.000000Z",
        "Troupe-Position": "7",
        "Troupe-Correlation": "t1",
        "Troupe-Causation": "%C3%A9",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--pace original", "go with --to-subject"),
        ("--consumer c", "go with --to-subject"),
        ("--to-subject a.b --pace 2 --rate 3", "choose one"),
        ("--to-subject a.b --pace slow", '--pace slow: give "original" or a number above 0'),
        ("--to-subject a.b --pace nan", "--pace nan"),
        ("--to-subject a.b --rate 0", "--rate 0.0: give a number above 0"),
        ("--to-subject a.b --rate -3", "--rate -3.0"),
        ("--to-subject a.b --consumer a.b", "consumer 'a.b'"),
        (f"--to-subject a.b --consumer {'c' * 65}", "65 characters, limit 64"),
        ("--to-subject a.b --consumer c --backward", "leave --backward out"),
        ("--to-subject a.b --anew", "name it with --consumer"),
        ("--to-subject troupe.cmd.demo.task.t1", "could be taken for a command"),
        ("--actor tools", "write KIND/ID"),
        ("--actor tools/a.b", "id 'a.b'"),
        ("--actor tools/t1 --kind tools", "leave --kind out"),
        ("--at 3", "go with --state KIND ID"),
        ("--diff 1 3", "go with --state KIND ID"),
        ("--state task t1 --diff 1 3 --at 2", "leave --at out"),
        ("--state task t1 --from 3", "no other choice of events"),
        ("--state task t1 --to-subject a.b", "no other choice of events"),
        ("--state a b c d", "KIND ID of an actor, or a state folder"),
        ("--state nobody t1", "there is no kind 'nobody'"),
        ("--state task a.b", "id 'a.b'"),
        ("--state task t1 --diff 4 4", "the earlier position first"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_touched(
    arguments: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TROUPE_NATS_URL", "TROUPE_POSTGRES_URL", "TROUPE_PROJECT", "TROUPE_STATE", "TROUPE_SCHEMA"):
        monkeypatch.delenv(name, raising=False)
    assert main(["replay", *arguments.split()]) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert told.err.count("\n") == 1
