"""Slidev decks: writing one slide after another, and reading a deck back to check that it has the form Slidev expects.

Form (sli.dev/guide/syntax): slides are separated by a line `---`; when the line after it is not blank, a YAML front
matter follows up to the next `---`; the first slide's is the headmatter. Fenced code hides separators. The last HTML
comment of a slide is its note.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import yaml

from actors.services.tools.composing.citing import plain

_FENCE = re.compile(r"^\s*(`{3,})")
_NOTE = re.compile(r"<!--(?P<text>.*?)-->\s*\Z", re.DOTALL)
_HEADING = re.compile(r"^#{1,3} \S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide read back: its front matter (None when it is not a YAML mapping), its content without note, its note."""

    front_matter: Mapping[str, Any] | None
    content: str
    note: str


def text(words: str) -> str:
    """Text from elsewhere as Slidev shows it unchanged: no tag, interpolation, formula or citation of its own."""
    return plain(words).replace("{{", "&#123;&#123;").replace("$", "&#36;")


def slide(title: str, body: str, note: str, front_matter: Mapping[str, Any] | None = None) -> str:
    """One slide with its separator. `title` is any text; `body` and `note` are Markdown that is safe already."""
    spoken = note.replace("--", "–")  # Two hyphens would end the comment that holds the note.
    separator = "---\n"
    if front_matter:
        dumped = yaml.safe_dump(dict(front_matter), sort_keys=False, allow_unicode=True, width=4096)
        separator = f"---\n{dumped}---\n"
    return f"{separator}\n# {text(title)}\n\n{body.strip()}\n\n<!--\n{spoken}\n-->\n"


def deck(slides: Sequence[str]) -> str:
    """The slides as one file."""
    return "\n".join(slides)


def read(source: str) -> list[Slide]:
    """The slides of a deck, as Slidev would cut them."""
    lines = source.splitlines()
    slides: list[Slide] = []
    front: list[str] = []
    content: list[str] = []
    fence, at = "", 0
    while at < len(lines):
        line = lines[at].rstrip()
        opened = _FENCE.match(line)
        if fence:
            fence = "" if line.lstrip().startswith(fence) else fence
        elif opened:
            fence = opened[1]
        elif line.startswith("---"):
            if at:
                slides.append(_slide(front, content))
            front, content = [], []
            if line == "---" and at + 1 < len(lines) and lines[at + 1].strip():
                end = next((n for n in range(at + 1, len(lines)) if lines[n].rstrip() == "---"), len(lines))
                front, at = lines[at + 1 : end], end
            at += 1
            continue
        content.append(line)
        at += 1
    slides.append(_slide(front, content))
    return slides


def problems(source: str) -> list[str]:
    """What is wrong with the deck's form, each with its slide's number; empty when nothing is."""
    slides = read(source)
    wrong: list[str] = []
    if not source.startswith("---\n") or not slides[0].front_matter:
        wrong.append("slide 1: there is no headmatter")
    for number, each in enumerate(slides, start=1):
        if each.front_matter is None:
            wrong.append(f"slide {number}: the front matter is no YAML mapping")
        if not _HEADING.search(each.content):
            wrong.append(f"slide {number}: there is no heading")
        if len(re.findall(r"^\s*`{3,}", each.content, re.MULTILINE)) % 2:
            wrong.append(f"slide {number}: a code fence is not closed")
        if "<!--" in each.content:
            wrong.append(f"slide {number}: a comment is not closed or not at the end")
        if "{{" in re.sub(r"```.*?```", "", each.content, flags=re.DOTALL):
            wrong.append(f"slide {number}: holds a Vue interpolation")
    return wrong


def _slide(front: Sequence[str], content: Sequence[str]) -> Slide:
    try:
        found: object = yaml.safe_load("\n".join(front)) if front else {}
    except yaml.YAMLError:
        found = None
    joined = "\n".join(content).strip()
    note = _NOTE.search(joined)
    matter = cast("Mapping[str, Any]", found) if isinstance(found, dict) else None
    return Slide(matter, joined[: note.start()].rstrip() if note else joined, note["text"].strip() if note else "")
