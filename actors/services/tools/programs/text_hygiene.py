"""text.hygiene: what is wrong with files whatever their language: conflict marks, broken data, line ends, links.

Generated and vendored files are left alone. Nothing is changed.
"""

import os
import posixpath
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from actors.services.tools.analysis import text_faults
from actors.services.tools.analysis.findings import bounded, finding, noun, severity_facts
from actors.services.tools.analysis.sources import is_test
from actors.services.tools.programs import checkout
from protocol.tools import Fact, Finding, ToolInput, ToolResult

LARGE_BYTES = 5_000_000  # a file beyond this makes every clone slow for ever
TARGET_BYTES_MAX = 4_096  # of a link: no file system follows a longer one
LIMIT_S = 40.0  # leaves room within the tool's own time limit; what is not reached by then is counted

_WHAT = {
    text_faults.CONFLICT: "with conflict marks",
    text_faults.BROKEN_DATA: "that cannot be read",
    "broken-link": "that are links to nothing",
    "large-file": "larger than 5 MB",
}


def run(given: ToolInput) -> ToolResult:
    """Findings by file and line. Applies to every checkout with a file in it."""
    source = Path(given.source)
    deadline = time.monotonic() + LIMIT_S
    found: list[Finding] = list(_links(source))
    looked = unreached = 0
    for file in checkout.files(source):
        if file.size > LARGE_BYTES:
            said = f"{file.size / 1_000_000:.1f} MB: every clone carries it for ever"
            found.append(finding("low", "large-file", said, file.path))
        if time.monotonic() >= deadline:
            unreached += 1
            continue
        text = checkout.text_of(file)
        if text is not None:
            looked += 1
            found += text_faults.look(text)
    if not looked and not unreached and not found:
        return ToolResult("not_applicable", "there is no text file to look at")
    rules = Counter(each.rule for each in found if not is_test(each.path))
    facts: dict[str, Fact] = {
        "files_looked_at": looked,
        "files_not_reached": unreached,
        "complete": not unreached,
        "conflicts": rules[text_faults.CONFLICT],
        "broken_data_files": rules[text_faults.BROKEN_DATA],
        "broken_links": rules["broken-link"],
        "large_files": rules["large-file"],
    }
    summary = _summary(found, looked, unreached)
    return ToolResult("ok", summary, facts=facts | severity_facts(found), findings=bounded(found))


def _links(source: Path) -> Iterator[Finding]:
    """Links that lead out of the repository or to nothing in it; in the clone each is a file that holds its target."""
    tracked = checkout.links(source)
    for path in sorted(tracked):
        try:
            target = _target(source / path)
        except OSError:
            continue  # A clone with a part of the files only.
        led = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        shown = checkout.printable(path)
        if target.startswith("/"):
            said = f"is a link to the absolute path {checkout.printable(target)}, which exists on some machines only"
            yield finding("low", "broken-link", said, shown)
        elif led == ".." or led.startswith("../"):
            said = f"is a link that leads out of the repository: {checkout.printable(target)}"
            yield finding("medium", "broken-link", said, shown)
        elif not _through(led, tracked) and not (source / led).exists():
            said = f"is a link to {checkout.printable(target)}, which is not under version control"
            yield finding("low", "broken-link", said, shown)


def _target(location: Path) -> str:
    if location.is_symlink():
        return os.readlink(location)
    with location.open("rb") as held:
        return os.fsdecode(held.read(TARGET_BYTES_MAX))


def _through(path: str, tracked: frozenset[str]) -> bool:
    """Whether the way to `path` goes through another link: where that ends is not looked at."""
    parts = path.split("/")
    return any("/".join(parts[:count]) in tracked for count in range(1, len(parts)))


def _summary(found: list[Finding], looked: int, unreached: int) -> str:
    rules = Counter(each.rule for each in found)
    worst = [f"{rules[rule]} {what}" for rule, what in _WHAT.items() if rules[rule]]
    said = [f"{noun(looked, 'file')} looked at, {noun(len(set(found)), 'finding')}", *worst]
    if unreached:
        said.append(f"{noun(unreached, 'file')} not reached in {LIMIT_S:g} s")
    return "; ".join(said)
