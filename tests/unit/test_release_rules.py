"""Release rules: three-valued conditions, and malformed rules that are named."""

import pytest

from actors.services.tools.composing.citing import Evidence
from actors.services.tools.composing.rules import (
    CONDITION_DEPTH_MAX,
    RULES_MAX,
    Outcome,
    RuleError,
    judge,
    parse_rules,
)
from protocol.tools import Fact, ToolResult
from tests.kit.tool_inputs import given, result

Raw = dict[str, object]


def rule(when: object, **changes: object) -> Raw:
    return {"id": "r", "title": "t", "severity": "block", "because": "b", "when": when, **changes}


def check(operator: str, value: Fact | None = None, fact: str = "failed", tool: str = "tests.run") -> Raw:
    made: Raw = {"tool": tool, "operator": operator}
    if fact:
        made["fact"] = fact
    if value is not None:
        made["value"] = value
    return made


def outcome(when: object, results: dict[str, ToolResult]) -> Outcome:
    (parsed,) = parse_rules([rule(when)])
    return judge(parsed, Evidence(given("verdict.decide", results).prior)).outcome


RAN = {"tests.run": result(failed=2, complete=False, runner="pytest", seconds=1.5)}
NOT_RUN = {"tests.run": result("could_not_run", "missing: pytest", failed=2)}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (check("gt", 1), "hit"),
        (check("gt", 2), "clear"),
        (check("lt", 3), "hit"),
        (check("lt", 2), "clear"),
        (check("eq", 2), "hit"),
        (check("ne", 2), "clear"),
        (check("ne", 3), "hit"),
        (check("eq", "pytest", "runner"), "hit"),
        (check("eq", False, "complete"), "hit"),
        (check("eq", 0, "complete"), "clear"),  # no and 0 are different answers
        (check("gt", 1, "seconds"), "hit"),
        (check("gt", 1, "runner"), "unknown"),  # a word is neither more nor less than a number
        (check("eq", 2, "passed"), "unknown"),
        (check("missing", fact="passed"), "hit"),
        (check("missing"), "clear"),
        (check("present"), "hit"),
        (check("present", fact="passed"), "clear"),
        (check("missing", fact="", tool="docs.check"), "hit"),
        (check("status_is", "ok", ""), "hit"),
        (check("status_is", "failed", ""), "clear"),
        (check("status_is", "failed", "", "docs.check"), "unknown"),
    ],
)
def test_each_operator(when: Raw, expected: str) -> None:
    assert outcome(when, RAN) == expected


def test_facts_of_a_result_that_is_not_ok_are_no_evidence() -> None:
    assert outcome(check("gt", 0), NOT_RUN) == "unknown"
    assert outcome(check("missing"), NOT_RUN) == "hit"
    assert outcome(check("status_is", "could_not_run", ""), NOT_RUN) == "hit"


HIT, CLEAR, UNKNOWN = check("gt", 1), check("gt", 2), check("gt", 1, "passed")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"any": [CLEAR, UNKNOWN, HIT]}, "hit"),
        ({"any": [CLEAR, UNKNOWN]}, "unknown"),
        ({"any": [CLEAR, CLEAR]}, "clear"),
        ({"all": [HIT, UNKNOWN, CLEAR]}, "clear"),
        ({"all": [HIT, UNKNOWN]}, "unknown"),
        ({"all": [check("present", fact="passed"), UNKNOWN]}, "clear"),
        ({"all": [HIT, {"any": [CLEAR, HIT]}]}, "hit"),
    ],
)
def test_unknown_spreads_only_as_far_as_it_matters(when: Raw, expected: str) -> None:
    assert outcome(when, RAN) == expected


def test_a_judgement_shows_what_every_test_saw() -> None:
    (parsed,) = parse_rules([rule({"any": [HIT, check("eq", "", "licence", "docs.check")]})])
    first, second = judge(parsed, Evidence(given("verdict.decide", RAN).prior)).tests
    assert (first.tool, first.fact, first.value, first.call, first.outcome) == (
        "tests.run",
        "failed",
        2,
        "tools/t1@1",
        "hit",
    )
    assert (second.value, second.call, second.outcome) == (None, "", "unknown")


def nested(depth: int) -> Raw:
    """A condition of that depth around one test."""
    return HIT if depth == 1 else {"all": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("raw", "rule_name", "part"),
    [
        (None, "list", "no list"),
        ([], "list", "no list"),
        ("rules", "list", "no list"),
        ([rule(HIT)] * (RULES_MAX + 1), "list", "limit"),
        ([rule(HIT), rule(HIT)], "r", "same id"),
        ([rule(HIT), 7], "number 2", "object"),
        ([{"title": "t"}], "number 1", "id"),
        ([rule(HIT, severity="deadly")], "r", "severity"),
        ([rule(HIT, title="")], "r", "empty"),
        ([rule(HIT, also="this")], "r", "also"),
        ([rule({})], "r", "either a test"),
        ([rule({**HIT, "any": [HIT]})], "r", "either a test"),
        ([rule({"any": [HIT], "all": [HIT]})], "r", "either a test"),
        ([rule({"any": [HIT, {"none": HIT}]})], "r", "none"),
        ([rule(nested(CONDITION_DEPTH_MAX + 1))], "r", "deeper"),
        ([rule(check("gt", 1, tool="tests.walk"))], "r", "tests.walk"),
        ([rule(check("like", "x"))], "r", "like"),
        ([rule({"tool": "tests.run", "fact": "failed"})], "r", "no operator"),
        ([rule(check("gt", "2"))], "r", "number"),
        ([rule(check("gt", True))], "r", "number"),
        ([rule(check("lt", 2, fact=""))], "r", "number"),
        ([rule(check("eq"))], "r", "value"),
        ([rule(check("eq", 1, fact=""))], "r", "value"),
        ([rule(check("missing", 1))], "r", "no value"),
        ([rule(check("present", 1))], "r", "no value"),
        ([rule(check("status_is", "fine", ""))], "r", "status_is"),
        ([rule(check("status_is", "ok"))], "r", "no fact"),
    ],
)
def test_a_malformed_rule_is_named(raw: object, rule_name: str, part: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(raw)
    assert caught.value.rule == rule_name
    assert part in str(caught.value)
