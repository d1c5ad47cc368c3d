"""The report folder of a task, made from the log alone: every role's files, REPORT.md and summary.json.

The folder appears whole or not at all: it is written under another name and renamed. Bytes that do not have the hash
the log gives them are never written; that is a divergence.
"""

import hashlib
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import structs

from actors.cli.blob_files import diverging, fetch
from actors.cli.evidence import Evidence, citations, find_event, read_evidence
from actors.cli.exits import Exit, Stop
from actors.cli.opening import Opener
from actors.cli.report_page import compose
from actors.cli.summary import RunSummary, summarize
from eventstore.store import Log
from projections.answers import ArtifactRow, TaskDetail

INDEX = "REPORT.md"
SUMMARY = "summary.json"


async def write_report(
    log: Log, project: str, detail: TaskDetail, folder: Path, opener: Opener | None = None
) -> RunSummary:
    """Write the report of a task to `folder`, over an earlier report if there is one; the run's summary.

    Sealed files are written opened, with the hash of what is written: what is exported is beyond the reach of
    `troupe subject forget`. Stop(DIVERGENCE) when a file's bytes are missing or are not what the log says.
    """
    summary = summarize(detail, str(folder))
    evidence = await read_evidence(log, project, detail.task.task)
    cited: dict[str, str] = {}
    written: dict[str, str] = {}
    with _replacing(folder) as building:
        for row in detail.artifacts:
            content = await _content(log, project, row, opener or Opener())
            written[f"{row.role}/{row.path}"] = hashlib.sha256(content).hexdigest()
            _write(building, f"{row.role}/{row.path}", content)
            if row.media_type == "text/markdown":
                for reference in citations(content.decode("utf-8", "replace")):
                    cited[reference] = cited.get(reference) or await _meaning(log, project, evidence, reference)
        files = tuple(structs.replace(file, sha256=written[file.path]) for file in summary.artifacts)
        summary = structs.replace(summary, artifacts=files)
        _write(building, INDEX, compose(summary, detail, evidence, cited).encode())
        _write(building, SUMMARY, msgspec.json.format(msgspec.json.encode(_with_citations(summary, cited))) + b"\n")
    return summary


def check_target(folder: Path, repo: Path) -> None:
    """Stop(USAGE), before any work is done, when the report cannot go to `folder`."""
    if folder.resolve().is_relative_to(repo):
        raise Stop(
            Exit.USAGE, f"the report folder {folder} lies in {repo}, which stays as it is: choose another --report"
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Stop(Exit.USAGE, f"{folder} is not a folder: choose another --report")
    if any(folder.iterdir()) and not (folder / SUMMARY).is_file():
        raise Stop(
            Exit.USAGE, f"{folder} holds files and no earlier report: choose an empty or a new folder as --report"
        )


async def _content(log: Log, project: str, row: ArtifactRow, opener: Opener) -> bytes:
    with diverging(f"{row.role}/{row.path}", row.sha256):
        content = await fetch(log.blobs, project, row.sha256)
    if content is None:
        words = f"{row.role}/{row.path} is too big for a report ({row.size_bytes} bytes)"
        raise Stop(Exit.FAILURE, f"{words}: read it with `troupe artifact get`")
    return await opener.content(project, content)


async def _meaning(log: Log, project: str, evidence: Evidence, reference: str) -> str:
    """What the cited event was, in a few words; "" when there is no such event."""
    call = evidence.calls.get(reference)
    if call is not None:
        outcome = f"{call.returned.status}: {call.returned.summary}" if call.returned else "has not returned"
        return f"{call.called.role} called {call.called.tool}; {outcome}"
    recorded = await find_event(log, project, reference)
    return f"{recorded.type} of {recorded.at:%Y-%m-%d %H:%M:%S} UTC" if recorded else ""


def _with_citations(summary: RunSummary, cited: Mapping[str, str]) -> dict[str, object]:
    return {**msgspec.to_builtins(summary), "citations": dict(cited)}


def _write(root: Path, relative: str, content: bytes) -> None:
    if any(part in ("", ".", "..") for part in relative.split("/")):
        raise Stop(Exit.DIVERGENCE, f"the log names the file {relative!r}, which is no path inside a report folder")
    target = root / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


@contextmanager
def _replacing(folder: Path) -> Generator[Path]:
    """A new folder that takes the place of `folder` at the end of the block, or vanishes if the block fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    building.mkdir()
    try:
        yield building
        if folder.exists():
            old = building.with_suffix(".old")
            folder.rename(old)
            building.rename(folder)
            shutil.rmtree(old)
        else:
            building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
