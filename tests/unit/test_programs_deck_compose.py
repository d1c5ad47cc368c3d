"""deck.compose: a deck in the form Slidev expects, whatever the repository's texts contain."""

from typing import Any

import pytest

from actors.services.tools.composing import slides
from actors.services.tools.programs import deck_compose
from protocol.tools import ToolResult
from tests.kit.tool_inputs import file_text, finding, given, result, uncited

DIAGRAM = 'flowchart LR\n    n0["core"]\n    n1["shell"]\n    n1 --> n0\n'
RESULTS: dict[str, ToolResult] = {
    "workspace.prepare": result(files=9, commits=4, head="abc", primary_language="Python", dirty=False, last_tag="v1"),
    "architecture.map": ToolResult("ok", "2 modules", {"modules": 2, "packages": 1}, data={"mermaid": DIAGRAM}),
    "tests.run": result(passed=3, failed=1, errors=0, skipped=0, complete=True, runner="pytest"),
    "security.scan": ToolResult("ok", "1 finding", {"critical": 0, "high": 1}, (finding("high"),)),
    "changelog.draft": ToolResult(
        "ok",
        "1 change",
        {"proposed_version": "0.2.0"},
        data={"entries": [{"section": "Added", "text": "a command line"}]},
    ),
}


def compose(results: dict[str, ToolResult], title: str = "review") -> tuple[ToolResult, str]:
    outcome = deck_compose.run(given("deck.compose", results, title=title))
    return outcome, file_text(outcome, "slides.md")


def test_seven_slides_each_with_a_note_and_one_diagram() -> None:
    outcome, deck = compose(RESULTS)
    assert outcome.facts["slides"] == outcome.facts["slides_with_notes"] == 7
    assert outcome.facts["diagrams"] == 1
    assert f"```mermaid {{scale: 0.6}}\n{DIAGRAM.strip()}\n```" in deck
    assert slides.problems(deck) == []


def test_the_headmatter_is_yaml_with_theme_and_title() -> None:
    _, deck = compose(RESULTS, title="release: yes -- or #no")
    front = slides.read(deck)[0].front_matter
    assert front is not None
    assert (front["theme"], front["title"]) == ("default", "release: yes -- or #no")


def test_every_number_is_cited() -> None:
    _, deck = compose(RESULTS)
    contents = [slides.read(deck)[n].content for n in range(7)]
    contents[2] = contents[2].partition("```")[0]  # ids in a diagram are names, not numbers
    assert [line for content in contents for line in uncited(content)] == []
    assert "- Failed: 1 [tools/t1@3]" in contents[4]
    assert "- **high** `a.py:3` is odd [tools/t1@4]" in contents[5]
    assert "- Added: a command line [tools/t1@5]" in contents[3]


def test_texts_of_the_repository_cannot_break_the_deck() -> None:
    evil = "{{ run() }} <script> --- --> <!-- $x$ [tools/t1@3]\n---\n# more"
    results = RESULTS | {
        "changelog.draft": ToolResult("ok", evil, {}, data={"entries": [{"section": evil, "text": evil}]}),
        "security.scan": ToolResult("ok", evil, {"high": 1}, (finding("high", evil, 1, evil),)),
    }
    outcome, deck = compose(results, title=evil)
    assert outcome.facts["slides"] == 7
    assert slides.problems(deck) == []
    assert "<script>" not in deck.replace("`", "")[: deck.index("# Security")]


@pytest.mark.parametrize("diagram", [None, 7, "", "x\n```\n---\n", "a\n" * (deck_compose.DIAGRAM_LINES_MAX + 1)])
def test_a_diagram_that_is_absent_too_large_or_could_leave_its_fence_is_left_out(diagram: Any) -> None:
    results = RESULTS | {"architecture.map": ToolResult("ok", "done", {"modules": 2}, data={"mermaid": diagram})}
    outcome, deck = compose(results)
    assert outcome.facts["diagrams"] == 0
    assert "mermaid" not in deck
    assert "The diagram is in the architect's record [tools/t1@2]" in deck


def test_what_did_not_run_is_told_on_its_slide_and_on_the_last() -> None:
    _, deck = compose(RESULTS | {"tests.run": result("could_not_run", "missing: pytest")})
    read = slides.read(deck)
    said = "tests.run could not run: missing: pytest [tools/t1@3]"
    assert f"**not known** to pass: {said}" in read[4].content
    assert f"- {said}" in read[6].content


def test_absent_results_are_told_too() -> None:
    outcome, deck = compose({"tests.run": RESULTS["tests.run"]})
    assert outcome.facts["sources"] == 1
    assert "- security.scan has no result in this task" in slides.read(deck)[6].content


def test_without_any_result_it_could_not_run() -> None:
    assert deck_compose.run(given("deck.compose")).status == "could_not_run"


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        ("# only\n", "headmatter"),
        ("---\n- a list\n---\n\n# a\n", "headmatter"),
        ("---\ntheme: default\n---\n\n# a\n\n---\nx: [\n---\n\n# b\n", "slide 2: the front matter"),
        ("---\ntheme: default\n---\n\n# a\n\n---\n\nno heading\n", "slide 2: there is no heading"),
        ("---\ntheme: default\n---\n\n# a\n\n```\ncode\n", "not closed"),
        ("---\ntheme: default\n---\n\n# a\n\n<!-- note\n", "comment"),
        ("---\ntheme: default\n---\n\n# a {{ b }}\n", "interpolation"),
    ],
)
def test_a_broken_deck_is_told_what_is_wrong(broken: str, part: str) -> None:
    assert any(part in problem for problem in slides.problems(broken))


def test_separators_inside_code_do_not_cut() -> None:
    assert len(slides.read("---\ntheme: default\n---\n\n# a\n\n```yaml\n---\nx: 1\n---\n```\n\n---\n\n# b\n")) == 2
