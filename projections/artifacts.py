"""The artifacts of a project: each file a role delivered in a task, as it is now, and every version it has had.

A file is the same one while project, task, role and path are; its bytes are the blob of its hash. Unlike on the task
board, a file counts whether or not anything is known of its task.
"""

from datetime import datetime

from eventstore.store import Recorded
from projections.rows import Rows
from projections.table import Row, Table
from projections.view import View
from protocol.message import Event
from protocol.role import RoleDelivered

TYPES: tuple[type[Event], ...] = (RoleDelivered,)


class Artifact(Row, kw_only=True):
    """A file as of its last delivery, which `at` and `position` are of. `ordinal` is its place in it: the report is
    first."""

    project: str
    task: str
    role: str
    path: str
    ordinal: int = 0
    media_type: str = ""
    sha256: str = ""
    size_bytes: int = 0
    versions: int = 0
    first_at: datetime
    first_position: int


class Version(Row, kw_only=True):
    """A file as it was delivered once."""

    project: str
    task: str
    role: str
    path: str
    media_type: str
    sha256: str
    size_bytes: int


def _later(earlier: Artifact, later: Artifact) -> None:
    earlier.ordinal, earlier.media_type = later.ordinal, later.media_type
    earlier.sha256, earlier.size_bytes = later.sha256, later.size_bytes
    earlier.versions += later.versions


ARTIFACTS = Table("artifacts", Artifact, ("project", "task", "role", "path"), merge=_later)
VERSIONS = Table("artifact_versions", Version, ("project", "task", "role", "path", "position"), once=True)


def project(recorded: Recorded, event: Event | None, rows: Rows) -> None:
    """The files of one delivery. Of a path that is in it twice, the last is what the delivery holds."""
    if not isinstance(event, RoleDelivered):
        return
    name, task, role = recorded.address.project, recorded.address.name, recorded.address.kind
    for ordinal, file in {file.path: (place, file) for place, file in enumerate(event.files)}.values():
        artifact = rows.find(ARTIFACTS, name, task, role, file.path) or rows.add(
            ARTIFACTS,
            Artifact(
                project=name,
                task=task,
                role=role,
                path=file.path,
                first_at=recorded.at,
                first_position=recorded.position,
            ),
        )
        artifact.ordinal, artifact.media_type = ordinal, file.media_type
        artifact.sha256, artifact.size_bytes = file.blob, file.size_bytes
        artifact.versions += 1
        version = Version(
            project=name,
            task=task,
            role=role,
            path=file.path,
            media_type=file.media_type,
            sha256=file.blob,
            size_bytes=file.size_bytes,
        )
        rows.add(VERSIONS, version)


VIEW = View("artifacts", 1, "artifacts_schema", (ARTIFACTS, VERSIONS), TYPES, project)
