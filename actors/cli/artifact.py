"""Artifacts: what the roles delivered, by name; the bytes come from the log's blobs."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.blob_files import diverging, fetch, save, show
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, Opener, opener_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from eventstore.store import Log
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
    sealed: AsSealed = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Write one artifact to stdout, or into a file. Works without a running company.

    One that a model wrote of personal text is opened where the master key is, and [erased] once one of its subjects
    was forgotten.

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
            opener = opener_of(settings, log, sealed)
            with diverging(f"{file} of {task}", found.sha256):
                await _deliver(log, opener, settings.project, found.sha256, to, quiet=as_json)
        if as_json:
            output.data(found)
        return opener.ended()

    return execute(work)


async def _deliver(log: Log, opener: Opener, project: str, sha256: str, to: Path | None, quiet: bool) -> None:
    content = await fetch(log.blobs, project, sha256)
    if content is not None:
        content = await opener.content(project, content)
    if to is not None:
        if content is None:  # Too big to be anything that was sealed.
            size = await save(log.blobs, project, sha256, to)
        else:
            size = len(content)
            _write(to, content)
        output.note(f"{size} bytes written to {to}")
    elif not quiet:
        if content is None:
            await show(log.blobs, project, sha256)
        else:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise Stop(Exit.FAILURE, f"cannot write {path}: {error}") from error
