"""The entries of the changelog draft, as release note and deck read them."""

from dataclasses import dataclass
from typing import cast

from actors.services.tools.composing.citing import Evidence

ENTRIES_MAX = 200  # read; a longer section is not read by anybody either
_ORDER = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Documentation", "Other")


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: the section it stands under, what it says, and whether users have to change something for it."""

    section: str
    text: str
    breaking: bool


def entries(evidence: Evidence) -> list[Entry]:
    """The draft's entries by section, breaking ones first; empty without an ok draft or with data of another form."""
    found = evidence.prior.get("changelog.draft")
    if found is None or found.result.status != "ok":
        return []
    listed = cast("object", found.result.data.get("entries"))
    if not isinstance(listed, list):
        return []
    read = [_entry(each) for each in cast("list[object]", listed)[:ENTRIES_MAX]]
    found_entries = [each for each in read if each is not None]
    return sorted(found_entries, key=lambda each: (_rank(each.section), not each.breaking))


def _rank(section: str) -> int:
    return _ORDER.index(section) if section in _ORDER else len(_ORDER)


def _entry(raw: object) -> Entry | None:
    if not isinstance(raw, dict):
        return None
    named = cast("dict[str, object]", raw)
    text, section = named.get("text"), named.get("section")
    if not isinstance(text, str) or not text.strip():
        return None
    return Entry(section if isinstance(section, str) and section else "Other", text, named.get("breaking") is True)
