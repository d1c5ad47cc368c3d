"""Release rules as data: a condition over tool results, judged to hit, clear or unknown.

A condition is one test, `{tool, fact, operator, value}`, or a list of conditions under `any` or `all`.

    eq, ne, gt, lt   compare a fact of an ok result with `value` (gt and lt: numbers); unknown without such a fact
    missing          hits when no ok result has the fact (without `fact`: when there is no result); never unknown
    present          the opposite of missing; under `all` it keeps a fact that need not be there from being unknown
    status_is        compares the status of the tool's result with `value`; unknown without a result

Unknown spreads as in three-valued logic: one hit makes `any` a hit and one clear makes `all` clear, whatever else is
unknown.
A malformed rule is an error that names it; nothing is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import msgspec

from actors.services.tools.catalogue import CATALOGUE
from actors.services.tools.composing.citing import Evidence
from protocol.tools import Fact, Status

RULES_MAX = 100  # A longer list is a generated one; nobody has read it.
CONDITION_DEPTH_MAX = 4  # Deeper nesting is no longer a rule a person can check.

Operator = Literal["eq", "ne", "gt", "lt", "missing", "present", "status_is"]
RuleSeverity = Literal["block", "hold", "warn"]
# block: a hit forbids the release.   hold: a hit needs a person's decision first.   warn: a hit is a remark.
Outcome = Literal["hit", "clear", "unknown"]


class RuleError(ValueError):
    """A rule is not well formed. `rule` is its id, or its number in the list (from 1) while it has none."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(f"rule {rule}: {problem}")
        self.rule = rule


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One test, or several under `any` or `all`. Which fields belong together is checked by `parse_rules`."""

    tool: str = ""
    fact: str = ""
    operator: Operator | None = None
    value: Fact | None = None
    any: tuple["Condition", ...] = ()
    all: tuple["Condition", ...] = ()


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One release rule: what it looks for, how grave a hit is, and why it exists.

    `if_unknown` says what follows when a block or hold rule cannot be judged: a hold, or only a remark.
    """

    id: str
    title: str
    severity: RuleSeverity
    when: Condition
    because: str
    if_unknown: Literal["hold", "warn"] = "hold"


@dataclass(frozen=True, slots=True)
class Test:
    """One test that was made: what was found, where ("" when there is no result), and how it came out."""

    tool: str
    fact: str
    outcome: Outcome
    value: Fact | None
    call: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A rule's outcome and every test that led to it, in the rule's order."""

    rule: Rule
    outcome: Outcome
    tests: tuple[Test, ...]


def parse_rules(raw: object) -> tuple[Rule, ...]:
    """The rules in `raw` (a list of JSON objects). Raises RuleError for the first that is malformed."""
    if not isinstance(raw, list | tuple) or not raw:
        raise RuleError("list", "there is no list of rules; give at least one rule")
    entries = list(cast("Sequence[object]", raw))
    if len(entries) > RULES_MAX:
        raise RuleError("list", f"{len(entries)} rules, limit {RULES_MAX}")
    rules: list[Rule] = []
    for number, entry in enumerate(entries, start=1):
        unnamed = f"number {number}"
        name = str(cast("dict[str, object]", entry).get("id") or unnamed) if isinstance(entry, dict) else unnamed
        try:
            rule = msgspec.convert(entry, Rule)
        except (msgspec.ValidationError, RecursionError) as problem:
            raise RuleError(name, str(problem)) from problem
        if not rule.id or not rule.title or not rule.because:
            raise RuleError(name, "id, title and because must not be empty")
        if any(rule.id == other.id for other in rules):
            raise RuleError(name, "another rule has the same id")
        _check(rule.id, rule.when, depth=1)
        rules.append(rule)
    return tuple(rules)


def judge(rule: Rule, evidence: Evidence) -> Judgement:
    """Evaluate the rule. Every test is made, so that a report can show what each one saw."""
    tests: list[Test] = []
    outcome = _evaluate(rule.when, evidence, tests)
    return Judgement(rule, outcome, tuple(tests))


def _check(rule: str, condition: Condition, depth: int) -> None:
    if depth > CONDITION_DEPTH_MAX:
        raise RuleError(rule, f"conditions are nested deeper than {CONDITION_DEPTH_MAX}")
    test_given = bool(condition.tool or condition.fact or condition.operator or condition.value is not None)
    if [test_given, bool(condition.any), bool(condition.all)].count(True) != 1:
        raise RuleError(rule, "a condition is either a test (tool, operator, …) or one list under any or all")
    for inner in (*condition.any, *condition.all):
        _check(rule, inner, depth + 1)
    if test_given:
        _check_test(rule, condition)


def _check_test(rule: str, test: Condition) -> None:
    if test.tool not in CATALOGUE:
        raise RuleError(rule, f"there is no tool {test.tool!r}")
    match test.operator:
        case None:
            raise RuleError(rule, f"the test of {test.tool} has no operator; one of {', '.join(get_args(Operator))}")
        case "missing" | "present":
            if test.value is not None:
                raise RuleError(rule, f"{test.operator} takes no value")
        case "status_is":
            if test.fact or test.value not in get_args(Status):
                raise RuleError(rule, f"status_is takes no fact and one of {', '.join(get_args(Status))} as value")
        case "gt" | "lt":
            if not test.fact or not _is_number(test.value):
                raise RuleError(rule, f"{test.operator} takes a fact and a number as value")
        case "eq" | "ne":
            if not test.fact or test.value is None:
                raise RuleError(rule, f"{test.operator} takes a fact and a value")


def _evaluate(condition: Condition, evidence: Evidence, tests: list[Test]) -> Outcome:
    if condition.any:
        outcomes = [_evaluate(inner, evidence, tests) for inner in condition.any]
        return "hit" if "hit" in outcomes else "unknown" if "unknown" in outcomes else "clear"
    if condition.all:
        outcomes = [_evaluate(inner, evidence, tests) for inner in condition.all]
        return "clear" if "clear" in outcomes else "unknown" if "unknown" in outcomes else "hit"
    prior = evidence.prior.get(condition.tool)
    value: Fact | None = evidence.fact(condition.tool, condition.fact)
    if not condition.fact:
        value = evidence.status(condition.tool)
    outcome = _compare(condition, value)
    tests.append(Test(condition.tool, condition.fact, outcome, value, "" if prior is None else prior.call))
    return outcome


def _compare(test: Condition, found: Fact | None) -> Outcome:
    if test.operator in ("missing", "present"):
        return "hit" if (found is None) == (test.operator == "missing") else "clear"
    if found is None or test.value is None:
        return "unknown"
    wanted = test.value
    match test.operator:
        case "gt" | "lt":
            if isinstance(found, str | bool) or isinstance(wanted, str | bool):
                return "unknown"  # A word where a number belongs says nothing about more or less.
            holds = found > wanted if test.operator == "gt" else found < wanted
        case _:
            # yes and 1 are different answers, though Python finds them equal.
            same = found == wanted and isinstance(found, bool) == isinstance(wanted, bool)
            holds = same if test.operator != "ne" else not same
    return "hit" if holds else "clear"


def _is_number(value: Fact | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
