"""What a README offers: headings, words, how to install and use, and whether its links lead somewhere."""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

WORDS_MIN = 60  # fewer tell a newcomer next to nothing
LINKS_MAX = 500  # looked at in one file

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(?:#{1,6}\s+(?P<atx>.+?)\s*#*|(?P<setext>\S[^\n]*)\n(?:=+|-{3,}|~{3,}))\s*$", re.MULTILINE)
_INSTALL = re.compile(r"(?i)install|set ?up|getting started|quick ?start|build")
_USAGE = re.compile(
    r"(?i)\bus(?:e|age|ing)\b|example|quick ?start|getting started|tutorial|run(?:ning)?\b|how to|first steps|demo"
)
_INSTALL_TEXT = re.compile(
    r"(?i)\b(pip|pipx|uv|npm|yarn|pnpm|cargo|go|brew|apt|docker|gem|composer) (install|add|get|run|pull)\b"
)
_LINK = re.compile(r"!?\[[^\]\n]{0,300}\]\(\s*<?(?P<target>[^)\s>]{1,500})>?(?:\s+[\"'(][^)\n]*)?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]{1,100}\]:[ \t]*<?(?P<target>[^\s>]{1,500})", re.MULTILINE)
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//|#)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Readme:
    """The substance of a README. `words` counts prose and code alike."""

    path: str
    words: int
    headings: int
    installs: bool
    shows_use: bool


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """A relative link to something that is not in the checkout. `line` counts from 1."""

    line: int
    target: str


def read(path: str, text: str) -> Readme:
    """What the README at `path` offers."""
    outside = _FENCE.sub("", text)
    headings = [(match["atx"] or match["setext"]).strip() for match in _HEADING.finditer(outside)]
    return Readme(
        path,
        len(re.findall(r"\w+", text)),
        len(headings),
        any(_INSTALL.search(each) for each in headings) or bool(_INSTALL_TEXT.search(text)),
        any(_USAGE.search(each) for each in headings),
    )


def broken_links(path: str, text: str, exists: Callable[[str], bool]) -> Iterator[BrokenLink]:
    """Relative links of a Markdown file that lead nowhere; `exists` knows files and folders by path from the root."""
    # Blanked, not cut out: the lines keep their numbers.
    blank = _FENCE.sub(lambda fence: "\n" * fence.group().count("\n"), text)
    blank = re.sub(r"`[^`\n]*`", "", blank)
    matches = sorted([*_LINK.finditer(blank), *_REFERENCE.finditer(blank)], key=lambda match: match.start())
    for match in matches[:LINKS_MAX]:
        target = match["target"]
        if _ELSEWHERE.match(target):
            continue
        bare = unquote(target.split("#")[0].split("?")[0])
        folder = "" if bare.startswith("/") else posixpath.dirname(path)
        resolved = posixpath.normpath(posixpath.join(folder, bare.lstrip("/")))
        if resolved.startswith("../") or resolved == "..":
            continue  # Above the checkout: a page of the hosting site, which cannot be seen from here.
        if resolved != "." and not exists(resolved):
            yield BrokenLink(blank.count("\n", 0, match.start("target")) + 1, target)
