"""Artifacts: what the roles delivered, by name; the bytes come from the log's blobs."""

import hashlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from projections.queries import ARTIFACTS_MAX

app = App(name="artifact", help="Look at what the roles delivered.")


@app.command(name="list")
def list_(
    *,
    task: str | None = None,
    role: str | None = None,
    limit: int = ARTIFACTS_MAX,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """List the project's artifacts, the latest delivery first. Works without a running company.

    Parameters
    ----------
    task
        Only of that task.
    role
        Only of that role.
    limit
        At most that many.
    """
    if limit < 1:
        raise Stop(Exit.USAGE, f"--limit {limit}: ask for 1 artifact or more")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (_, queries):
            rows = await queries.artifacts(settings.project, task, role, limit)
        if as_json:
            output.data(rows)
        else:
            output.table(
                ("Task", "File", "Bytes", "Type", "SHA-256", "Delivered"),
                (
                    (
                        row.task,
                        f"{row.role}/{row.path}",
                        row.size_bytes,
                        row.media_type,
                        row.sha256[:12],
                        None if row.delivered_at is None else f"{row.delivered_at:%Y-%m-%d %H:%M:%S}",
                    )
                    for row in rows
                ),
            )
        return Exit.OK

    return execute(work)


@app.command
def get(
    task: str,
    file: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Write one artifact to stdout, or into a file. Works without a running company.

    Parameters
    ----------
    task
        The task's id.
    file
        Role and path, as `troupe artifact list` shows them ("architect/report.md").
    to
        Write it here instead; a file that is there already is left alone.
    """
    role, _, path = file.partition("/")
    if not role or not path:
        raise Stop(Exit.USAGE, f"{file!r} names no artifact: write role and path, such as architect/report.md")
    if to is not None and to.exists():
        raise Stop(Exit.USAGE, f"{to} is there already: name another file")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (log, queries):
            found = await queries.artifact(settings.project, task, role, path)
            if found is None:
                known = f"see `troupe artifact list --task {task}`"
                raise Stop(Exit.NOT_FOUND, f"{task} has no artifact {file} in the project {settings.project}: {known}")
            content = await log.get_blob(settings.project, found.sha256)
        if content is None or hashlib.sha256(content).hexdigest() != found.sha256:
            what = "is not in the store" if content is None else "is not what was delivered"
            raise Stop(Exit.DIVERGENCE, f"{file} of {task} {what} (SHA-256 {found.sha256}): restore it from a backup")
        if to is not None:
            _write(to, content)
            output.note(f"{len(content)} bytes written to {to}")
        elif not as_json:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        if as_json:
            output.data(found)
        return Exit.OK

    return execute(work)


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise Stop(Exit.FAILURE, f"cannot write {path}: {error}") from error
