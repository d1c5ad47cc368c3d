"""What a tool says: findings, facts and files. And the commands and events of the `tools` actor."""

from typing import Any, Literal

import msgspec

from protocol.message import Command, Event
from protocol.upcast import Upcast

Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
Fact = str | int | float | bool

Status = Literal["ok", "not_applicable", "could_not_run", "failed"]
# ok: it did its work (a failing test suite is an ok run of the tool `tests.run`).
# not_applicable: there is nothing here it is for; the summary says why.
# could_not_run: something it needs is missing; the summary names it.
# failed: it broke, timed out or printed nonsense; the summary says what happened.


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a tool noticed. `path` is relative to the checkout's root ("" = the repository), `line` counts from 1
    (0 = the file)."""

    severity: Severity
    rule: str
    message: str
    path: str = ""
    line: int = 0


class ProducedFile(msgspec.Struct, frozen=True):
    """A file a tool wrote for people: a relative POSIX path, its media type and its bytes."""

    path: str
    media_type: str
    content: bytes


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run of a tool came to.

    `summary` is one line for people; `facts` are the numbers and words other tools and the report rely on;
    `data` is structured detail for later tools (JSON values only).
    """

    status: Status
    summary: str
    facts: dict[str, Fact] = {}
    findings: tuple[Finding, ...] = ()
    files: tuple[ProducedFile, ...] = ()
    data: dict[str, Any] = {}


class Prior(msgspec.Struct, frozen=True):
    """An earlier result of the same task that a tool builds on, and the event of its tool call ("tools/t1@3")."""

    call: str
    result: ToolResult


class ToolInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything one run of a tool may know. Paths are absolute.

    `call` is the event of this very tool call ("tools/t1@3"): texts the tool writes cite it for the tool's own
    numbers and
    `prior[name].call` for the numbers of others. `source` is the isolated clone at HEAD (read-only), `scratch` an empty
    writable folder of this run, `repo` the user's own repository ("" when the task names none), `at` the time of the
    call
    (ISO 8601, UTC).
    """

    tool: str
    call: str
    task: str
    title: str
    at: str
    repo: str = ""
    source: str = ""
    workspace: str = ""
    scratch: str = ""
    args: dict[str, Any] = {}
    prior: dict[str, Prior] = {}


class FileRef(msgspec.Struct, frozen=True):
    """A produced file by the hash of its bytes (SHA-256, hex), which the blob store holds."""

    path: str
    media_type: str
    blob: str
    size_bytes: int


class StoredResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ToolResult as a blob: its files by hash, so that each is stored once."""

    status: Status
    summary: str
    facts: dict[str, Fact] = {}
    findings: tuple[Finding, ...] = ()
    files: tuple[FileRef, ...] = ()
    data: dict[str, Any] = {}


class RunTool(Command, frozen=True, tag="tools.run.v1", omit_defaults=True):
    """Run a tool for a role. `request` is the role's own name for this call and makes a repetition harmless."""

    role: str
    request: str
    tool: str
    title: str
    repo: str = ""
    args: dict[str, Any] = {}


class RecordReturn(Command, frozen=True, tag="tools.record_return.v1", omit_defaults=True):
    """What the run came to. `result` is the blob of the whole ToolResult without the files' bytes."""

    call: str
    status: Status
    summary: str
    result: str = ""
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()
    findings: int = 0
    seconds: float = 0.0
    sandbox: str = ""


class ToolCalled(Event, frozen=True, tag="tools.called.v1", omit_defaults=True):
    """A tool call. This event is what every finding and number of its result cites."""

    role: str
    request: str
    tool: str
    title: str
    repo: str = ""
    args: dict[str, Any] = {}


class ToolReturned(Event, frozen=True, tag="tools.returned.v1", omit_defaults=True):
    """The result of the tool call `call` ("tools/t1@3"). `seconds` is the run's own wall time."""

    call: str
    role: str
    tool: str
    status: Status
    summary: str
    result: str = ""
    facts: dict[str, Fact] = {}
    files: tuple[FileRef, ...] = ()
    findings: int = 0
    seconds: float = 0.0
    sandbox: str = ""


class PriorRef(msgspec.Struct, frozen=True):
    """An earlier result of the task: the event of its call and the blob of its result."""

    tool: str
    call: str
    result: str


class ToolWork(msgspec.Struct, frozen=True, tag="tools.run", omit_defaults=True):
    """The effect: run the tool in its sandbox and store what it produced."""

    call: str
    tool: str
    role: str
    title: str
    repo: str = ""
    args: dict[str, Any] = {}
    prior: tuple[PriorRef, ...] = ()


COMMANDS = (RunTool, RecordReturn)
EVENTS = (ToolCalled, ToolReturned)
RETIRED: tuple[Upcast, ...] = ()
