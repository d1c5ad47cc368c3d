"""verdict.decide: evaluate the playbook's release rules on every result of the task.

The verdict is the first of these that holds:

    no-go            a block rule hit
    hold             a hold rule hit, or a block or hold rule is unknown: a person has to decide
    go-with-remarks  a warn rule hit or is unknown, or a rule with `if_unknown = "warn"` is unknown
    go               every rule is clear

So what could not be found out never counts as good: a go needs every answer. A malformed rule fails the tool
and is named.
"""

from collections.abc import Sequence
from typing import Literal

from actors.services.tools.composing.citing import Evidence, citation, plain, shown, table
from actors.services.tools.composing.rules import Judgement, RuleError, RuleSeverity, Test, judge, parse_rules
from protocol.tools import Finding, ProducedFile, Severity, ToolInput, ToolResult

Verdict = Literal["no-go", "hold", "go-with-remarks", "go"]

_MEANING: dict[Verdict, str] = {
    "no-go": "a rule that blocks the release was hit",
    "hold": "a person has to decide first: a hold rule was hit, or a rule that could block is not known",
    "go-with-remarks": "nothing stands against the release; the remarks should be read",
    "go": "every rule is clear",
}
_HIT_SEVERITY: dict[str, Severity] = {"block": "high", "hold": "medium", "warn": "low"}


def run(given: ToolInput) -> ToolResult:
    """The verdict with each rule's outcome, evidence and citations. Needs `args["rules"]`."""
    try:
        rules = parse_rules(given.args.get("rules"))
    except RuleError as problem:
        return ToolResult("failed", f"the release rules are malformed, no verdict was reached: {problem}")
    evidence = Evidence({name: prior for name, prior in given.prior.items() if name != given.tool})
    judgements = [judge(rule, evidence) for rule in rules]
    verdict = _verdict(judgements)
    names = {
        outcome: [each.rule.id for each in judgements if each.outcome == outcome]
        for outcome in ("hit", "clear", "unknown")
    }
    hit, unknown = names["hit"], names["unknown"]
    summary = f"{verdict}: {len(hit)} of {len(rules)} rules hit, {len(unknown)} unknown"
    if hit or unknown:
        summary += f" ({', '.join([*hit, *(f'{name} (unknown)' for name in unknown)])})"
    return ToolResult(
        "ok",
        summary,
        facts={
            "verdict": verdict,
            "rules": len(rules),
            "rules_hit": len(hit),
            "rules_clear": len(names["clear"]),
            "rules_unknown": len(unknown),
            "hit": ",".join(hit),
            "unknown": ",".join(unknown),
        },
        findings=tuple(_finding(each) for each in judgements if each.outcome == "hit"),
        files=(ProducedFile("verdict.md", "text/markdown", _page(given, verdict, judgements).encode()),),
        data={"verdict": verdict, "rules": [_as_data(each) for each in judgements]},
    )


def _verdict(judgements: Sequence[Judgement]) -> Verdict:
    weights = {_weight(each) for each in judgements}
    if "block" in weights:
        return "no-go"
    if "hold" in weights:
        return "hold"
    return "go-with-remarks" if "warn" in weights else "go"


def _weight(judgement: Judgement) -> RuleSeverity | None:
    """How heavy the rule lies on the verdict; None when it is clear."""
    rule = judgement.rule
    match judgement.outcome:
        case "clear":
            return None
        case "hit":
            return rule.severity
        case "unknown":
            return "warn" if rule.severity == "warn" else rule.if_unknown


def _finding(judgement: Judgement) -> Finding:
    rule = judgement.rule
    return Finding(_HIT_SEVERITY[rule.severity], rule.id, f"{rule.title}: {rule.because}")


def _as_data(judgement: Judgement) -> dict[str, object]:
    return {
        "id": judgement.rule.id,
        "title": judgement.rule.title,
        "severity": judgement.rule.severity,
        "outcome": judgement.outcome,
        "because": judgement.rule.because,
        "evidence": [
            {"tool": t.tool, "fact": t.fact, "value": t.value, "outcome": t.outcome, "call": t.call}
            for t in judgement.tests
        ],
    }


def _page(given: ToolInput, verdict: Verdict, judgements: Sequence[Judgement]) -> str:
    own = citation(given.call)
    counts = ", ".join(
        f"{sum(each.outcome == outcome for each in judgements)} {outcome}" for outcome in ("hit", "clear", "unknown")
    )
    rows = [
        (
            f"`{each.rule.id}` {plain(each.rule.title)}",
            each.rule.severity,
            f"**{each.outcome}** {own}" if each.outcome != "clear" else f"clear {own}",
            "; ".join(dict.fromkeys(_seen(test, given.call) for test in each.tests)),
            plain(each.rule.because),
        )
        for each in judgements
    ]
    return (
        f"# Verdict: {verdict} {own}\n\n"
        f"Task: {plain(given.title)}\n\n"
        f"**{verdict}** {own}: {_MEANING[verdict]}. Rules: {counts} {own}.\n\n"
        "## Rules\n\n"
        + table(("Rule", "Severity", "Outcome", "Evidence", "Why the rule exists"), rows)
        + "\n## How the verdict follows\n\n"
        "- no-go: a block rule hit.\n"
        "- hold: a hold rule hit, or a block or hold rule is unknown and the playbook does not settle for a remark:\n"
        "  what could not be found out is never good.\n"
        "- go-with-remarks: a warn rule hit or is unknown, or a rule is unknown for which the playbook asks no more.\n"
        "- go: every rule is clear.\n"
    )


def _seen(test: Test, own_call: str) -> str:
    """What one test saw, with the citation of the result it looked at (its own call when there was none to look at)."""
    if not test.call:
        return f"{test.tool} has no result in this task {citation(own_call)}"
    name = f"`{test.fact}`" if test.fact else "status"
    value = "not reported" if test.value is None else shown(test.value)
    return f"{test.tool} {name}: {value} {citation(test.call)}"
