"""Submit a task, follow it to its end, write its report. What was begun and not finished goes on; nothing runs twice.

Where a company runs in the state folder the task is given to it; otherwise one runs here for as long as the task takes.
A company that goes away under us is replaced by one of our own, on the same log.
"""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from actors.cli import live, output
from actors.cli.client import Asker, NoReply, Unreachable
from actors.cli.desk import Desk, open_desk
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, THINKING, AsJson, ModelChoice, Place
from actors.cli.report import INDEX, check_target, write_report
from actors.cli.running import execute
from actors.cli.summary import RunSummary
from actors.embedded.watch import disk_full
from actors.host import Settings
from eventstore.store import StoreUnavailable
from projections.answers import TaskDetail
from protocol.subjects import Address
from protocol.task import SubmitTask

POLL_S = 0.2
OUTAGE_POLL_S = 1.0
QUIET_S = 0.5  # Without another event of the task after its conclusion: the last bookkeeping has been written.
SETTLE_S_MAX = 10.0
UNFINISHED_MAX = 1_000  # Tasks looked through for one to go on with.

Report = Annotated[Path | None, Parameter(help="Report folder (default: in the state folder, under reports/).")]


@dataclass(frozen=True)
class Job:
    """What to run. `task` is the id for a new task; a task of the same title and repository that has not finished is
    gone on with instead."""

    title: str
    repo: Path
    task: str
    report: Path | None = None


def run(
    title: str,
    /,
    *,
    repo: Path,
    report: Report = None,
    as_json: AsJson = False,
    place: Place = HERE,
    thinking: ModelChoice = THINKING,
) -> int:
    """Run a task on a repository, from submission to report.

    Parameters
    ----------
    title
        What is wanted, in a sentence.
    repo
        The git repository it is about; it is only read.
    """
    job = Job(title, find_repository(repo), new_task_id(), report)
    return carry_out(job, place.settings(thinking), as_json)


def carry_out(job: Job, settings: Settings, as_json: bool) -> int:
    """Do the job and say how it went; FAILURE only when the task itself failed, whatever its verdict."""
    if job.report is not None:
        check_target(job.report.absolute(), job.repo)

    async def work() -> int:
        try:
            summary = await _complete(job, settings)
        except anyio.get_cancelled_exc_class():
            output.note("troupe: the task has not finished; the same command goes on with it")
            raise
        output.data(summary) if as_json else _tell(summary)
        return Exit.OK if summary.status == "completed" else Exit.FAILURE

    return execute(work)


def find_repository(path: Path) -> Path:
    """The working tree (or bare repository) that `path` is or lies in; Stop(NOT_FOUND) when there is none."""
    try:
        str(path).encode("utf-8")
        here = path.resolve(strict=True)
    except UnicodeEncodeError as error:
        raise Stop(
            Exit.USAGE, f"the path {str(path)!r} is not UTF-8 and cannot travel in a message: rename it"
        ) from error
    except (OSError, RuntimeError) as error:
        raise Stop(Exit.NOT_FOUND, f"there is no repository at {path} ({error})") from error
    if not here.is_dir():
        raise Stop(Exit.NOT_FOUND, f"{path} is not a folder: name the folder of a git repository")
    for folder in (here, *here.parents):
        if (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir()):
            return folder
    raise Stop(Exit.NOT_FOUND, f"{here} is no git repository: name one, or make one with `git init` and a commit")


def new_task_id() -> str:
    """`t-` and 12 characters: 60 random bits."""
    return f"t-{random_letters(12)}"


def random_letters(count: int) -> str:
    """Lower-case base32."""
    return base64.b32encode(secrets.token_bytes(count)).decode("ascii").lower()[:count]


async def _complete(job: Job, settings: Settings) -> RunSummary:
    with live.progress() as progress:
        while True:
            async with open_desk(settings) as desk:
                detail = await _through(desk, job, progress)
                if detail is not None:
                    folder = (job.report or desk.folder.reports / detail.task.task).absolute()
                    return await write_report(desk.log, desk.project, detail, folder, desk.opener)
            progress.remark("the company that had the task is gone; going on with one of our own")


async def _through(desk: Desk, job: Job, progress: live.Progress) -> TaskDetail | None:
    """Submit or resume, then follow; None when the company went away."""
    task = await _unfinished(desk, job)
    if task is not None:
        progress.remark(f"going on with {task}, which had not finished")
    else:
        try:
            async with Asker.open(desk.nats_url, desk.nats_token, desk.settings.root) as asker:
                await submit(asker, desk.project, job.task, SubmitTask(job.title, str(job.repo)))
        except (NoReply, Unreachable):
            if desk.attended():
                raise
            return None
        task = job.task
    return await _follow(desk, task, progress)


async def _unfinished(desk: Desk, job: Job) -> str | None:
    await desk.queries.at_least(await desk.log.head())
    for row in await desk.queries.tasks(desk.project, UNFINISHED_MAX):
        if row.status in ("submitted", "active") and (row.title, row.repo) == (job.title, str(job.repo)):
            return row.task
    return None


async def submit(asker: Asker, project: str, task: str, wanted: SubmitTask) -> None:
    """Submit a task and wait for the commit; Stop(FAILURE) with the company's reason when it refuses."""
    reply = await asker.command(Address(project, "task", task), wanted)
    if reply.outcome not in ("accepted", "silent"):
        raise Stop(Exit.FAILURE, f"the task was {reply.outcome}: {reply.message or reply.code}")


async def _follow(desk: Desk, task: str, progress: live.Progress) -> TaskDetail | None:
    reachable, full = True, False
    while True:
        if disk_full(desk.folder) != full:
            full = not full
            where = desk.folder.path
            progress.remark(
                f"the disk of {where} is full: free some space, the run waits for it"
                if full
                else f"there is room in {where} again"
            )
        try:
            detail = await desk.queries.task(desk.project, task)
            if detail is not None:
                progress.show(detail)
                if detail.task.status in ("completed", "failed"):
                    return await _settled(desk, detail, progress)
            reachable = True
        except StoreUnavailable as error:
            if reachable:
                progress.remark(f"PostgreSQL is out of reach, waiting for it ({error})")
            reachable = False
        if not desk.attended():
            return None
        await anyio.sleep(POLL_S if reachable else OUTAGE_POLL_S)


async def _settled(desk: Desk, detail: TaskDetail, progress: live.Progress) -> TaskDetail:
    """The concluded task once its last events are in: releases and memories follow the conclusion by a moment."""
    with anyio.move_on_after(SETTLE_S_MAX):
        while True:
            before = detail.task.position
            await anyio.sleep(QUIET_S)
            detail = await desk.queries.task(desk.project, detail.task.task) or detail
            if detail.task.position == before:
                break
    progress.show(detail)
    return detail


def _tell(summary: RunSummary) -> None:
    output.say()
    output.say(f"Verdict  {summary.verdict or summary.status}")
    output.say(f"         {summary.summary}")
    took = "" if summary.seconds is None else f" in {summary.seconds:.1f} s"
    calls = sum(role.tool_calls for role in summary.roles.values())
    counts = f"{summary.events} events, {calls} tool calls, {len(summary.artifacts)} files{took}"
    output.say(f"Run      {summary.task}: {counts}")
    output.say(f"Report   {summary.report}/{INDEX}")
