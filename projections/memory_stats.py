"""How a project's memory is used: what was remembered and recalled, by role, and by role and subject.

Counts only. What a memory says may be about a person, so none of its text is here; a subject is a repository's path or
a topic, and a role has as many subjects as it has rows in `memory_subjects`.
"""

from datetime import datetime
from hashlib import sha256

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.memory import Recalled, Remembered
from protocol.message import Event

TYPES: tuple[type[Event], ...] = (Remembered, Recalled)


class MemoryStats(Row, kw_only=True):
    """What a role keeps and asks for. `recalls` were asked, `empty` of them found nothing, `handed_out` memories came
    of the others. `at` is the last use of any kind."""

    project: str
    role: str
    remembered: int = 0
    recalls: int = 0
    empty: int = 0
    handed_out: int = 0
    remembered_at: datetime | None = None
    recalled_at: datetime | None = None


class SubjectStats(MemoryStats, kw_only=True):
    """The same of one subject. `subject_hash` (SHA-256, hex) stands for it in the key: a path may be too long for an
    index."""

    subject: str
    subject_hash: str


def _later(earlier: MemoryStats, later: MemoryStats) -> None:
    earlier.remembered += later.remembered
    earlier.recalls += later.recalls
    earlier.empty += later.empty
    earlier.handed_out += later.handed_out
    earlier.remembered_at = later.remembered_at or earlier.remembered_at
    earlier.recalled_at = later.recalled_at or earlier.recalled_at


STATS = Table("memory_stats", MemoryStats, ("project", "role"), merge=_later)
SUBJECTS = Table("memory_subjects", SubjectStats, ("project", "role", "subject_hash"), merge=_later)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """What one event adds, to the role and to the subject."""
    match event:
        case Remembered(memory=memory):
            for stats in _of(recorded, memory.role, memory.subject, rows):
                stats.remembered += 1
                stats.remembered_at = recorded.at
        case Recalled(role=role, subject=subject, memories=memories):
            for stats in _of(recorded, role, subject, rows):
                stats.recalls += 1
                stats.empty += not memories
                stats.handed_out += len(memories)
                stats.recalled_at = recorded.at
        case _:
            return


def _of(recorded: Recorded, role: str, subject: str, rows: Rows) -> tuple[MemoryStats, SubjectStats]:
    name = recorded.address.project
    of_role = rows.find(STATS, name, role) or rows.add(STATS, MemoryStats(project=name, role=role))
    hashed = sha256(subject.encode()).hexdigest()
    of_subject = rows.find(SUBJECTS, name, role, hashed) or rows.add(
        SUBJECTS, SubjectStats(project=name, role=role, subject=subject, subject_hash=hashed)
    )
    return of_role, of_subject


VIEW = View("memory_stats", 1, "memory_stats_schema", (STATS, SUBJECTS), TYPES, project)
