"""Tasks: submit one, list them, look at one."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from actors.cli import output
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.opening import AsSealed, opener_of
from actors.cli.options import HERE, AsJson, Place
from actors.cli.run import find_repository, new_task_id, submit
from actors.cli.running import execute
from actors.host import reader
from projections.answers import HistoryLine, TaskDetail
from projections.queries import HISTORY_LINES_MAX, TASKS_MAX
from protocol.personal import is_person
from protocol.subjects import BadSubject, check_token
from protocol.task import CONTACT_LENGTH_MAX, SubmitTask

app = App(name="task", help="Submit tasks and look at them.")


@app.command(name="submit")
def submit_(
    title: str,
    /,
    *,
    repo: Path | None = None,
    task: Annotated[str | None, Parameter(name="--id")] = None,
    person: str = "",
    contact: str = "",
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Submit a task to the running company; prints its id once it is committed.

    Parameters
    ----------
    title
        What is wanted, in a sentence.
    repo
        The git repository it is about; it is only read.
    task
        Its id. The same submission under the same id again changes nothing.
    person
        The pseudonymous id of whom it concerns: no name, no address. `troupe subject forget` takes the same id.
    contact
        How to reach them. It is sealed under that person's key before it is stored.
    """
    wanted = SubmitTask(
        title, str(find_repository(repo)) if repo is not None else "", _person(person, contact), contact
    )
    name = _id(task) if task is not None else new_task_id()
    settings = place.settings()

    async def work() -> int:
        async with open_asker(settings) as asker:
            await submit(asker, settings.project, name, wanted)
        output.data({"task": name}) if as_json else output.say(name)
        return Exit.OK

    return execute(work)


@app.command(name="list")
def list_(*, limit: int = TASKS_MAX, sealed: AsSealed = False, as_json: AsJson = False, place: Place = HERE) -> int:
    """List the project's tasks, newest first. Works without a running company.

    Parameters
    ----------
    limit
        At most that many.
    """
    if limit < 1:
        raise Stop(Exit.USAGE, f"--limit {limit}: ask for 1 task or more")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (store, queries):
            opener = opener_of(settings, store, sealed)
            rows = await opener.rows(settings.project, await queries.tasks(settings.project, limit))
        if as_json:
            output.data(rows)
        else:
            headers = ("Task", "Status", "Verdict", "Roles", "Events", "Submitted", "Title")
            output.table(
                headers,
                (
                    (
                        row.task,
                        row.status,
                        row.verdict or "-",
                        f"{row.roles_done}/{row.roles_total}",
                        row.events,
                        f"{row.submitted_at:%Y-%m-%d %H:%M:%S}",
                        row.title,
                    )
                    for row in rows
                ),
            )
        return opener.ended()

    return execute(work)


@app.command
def show(
    task: str,
    /,
    *,
    history: bool = False,
    after: int = 0,
    limit: int = HISTORY_LINES_MAX,
    sealed: AsSealed = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Show a task: its roles, its files, its events; or with --history what happened in it, in order.

    Works without a running company.

    Parameters
    ----------
    task
        Its id.
    history
        A line for each event that moved the task.
    after
        With --history: only what came after this position, such as that of the last line of the page before.
    limit
        With --history: at most that many lines.
    """
    name = _id(task)
    if after < 0 or limit < 1:
        raise Stop(Exit.USAGE, f"--after {after} --limit {limit}: ask for 1 line or more, after position 0 or later")
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (store, queries):
            opener = opener_of(settings, store, sealed)
            found = await queries.task(settings.project, name)
            if found is None:
                raise Stop(
                    Exit.NOT_FOUND, f"there is no task {name} in the project {settings.project}: see `troupe task list`"
                )
            if history:
                lines = await queries.task_history(settings.project, name, after, limit)
                output.data(lines) if as_json else _tell_history(lines)
                return Exit.OK
            (detail,) = await opener.rows(settings.project, [found])
        output.data(detail) if as_json else _tell(detail)
        return opener.ended()

    return execute(work)


def _id(text: str) -> str:
    try:
        return check_token("task id", text)
    except BadSubject as error:
        raise Stop(Exit.USAGE, str(error)) from error


def _person(person: str, contact: str) -> str:
    if person and not is_person(person):
        raise Stop(
            Exit.USAGE, "--person is to be a pseudonymous id of letters, digits, '_' and '-': no name, no address"
        )
    if contact and not person:
        raise Stop(Exit.USAGE, "--contact is about somebody: name them with --person")
    if len(contact) > CONTACT_LENGTH_MAX:
        raise Stop(Exit.USAGE, f"--contact has {len(contact)} characters, limit {CONTACT_LENGTH_MAX}")
    return person


def _tell(detail: TaskDetail) -> None:
    task = detail.task
    concerns = (("Person", task.person), ("Contact", task.contact or "-")) if task.person else ()
    for name, value in (
        ("Task", task.task),
        ("Title", task.title),
        ("Repository", task.repo or "-"),
        *concerns,
        ("Status", task.status),
        ("Verdict", task.verdict or "-"),
        ("Summary", task.summary or "-"),
        ("Events", str(task.events)),
    ):
        output.say(f"{name:<12} {value}")
    output.say()
    output.table(
        ("Role", "Status", "Agent", "Tools", "Files", "Seconds", "Waits for", "Summary"),
        (
            (
                row.role,
                row.status,
                row.agent,
                row.tool_calls,
                row.artifacts,
                row.seconds,
                ", ".join(row.blocked_by),
                row.summary or row.activity,
            )
            for row in detail.roles
        ),
    )
    output.say()
    output.table(
        ("File", "Bytes", "SHA-256"),
        ((f"{row.role}/{row.path}", row.size_bytes, row.sha256) for row in detail.artifacts),
    )


def _tell_history(lines: list[HistoryLine]) -> None:
    output.table(
        ("Position", "Time", "What", "Role", "Agent", "Detail", "Event"),
        (
            (
                line.position,
                f"{line.at:%Y-%m-%d %H:%M:%S}",
                line.happened.replace("_", " "),
                line.role,
                line.agent,
                line.detail,
                line.event,
            )
            for line in lines
        ),
    )
