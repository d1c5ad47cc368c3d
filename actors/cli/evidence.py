"""What the log says about one task, as the report needs it: tool calls, deliveries, beginning and end, by reference."""

import re
from dataclasses import dataclass, field
from typing import TypeVar

from eventstore.store import PAGE_EVENTS_MAX, Log, Recorded
from protocol.message import Event
from protocol.retired import vocabulary_of
from protocol.role import ROLES, RoleDelivered
from protocol.subjects import Address, parse_reference
from protocol.task import TaskConcluded, TaskSubmitted
from protocol.tools import ToolCalled, ToolReturned

_CITATION = re.compile(r"\[([A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9_-]*@[0-9]{1,18})\]")
_VOCABULARY = vocabulary_of((TaskSubmitted, TaskConcluded, ToolCalled, ToolReturned, RoleDelivered))

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call and what it came to (None: it has not returned)."""

    reference: str
    called: ToolCalled
    returned: ToolReturned | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Events by their reference; `deliveries` by role, with the reference."""

    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    deliveries: dict[str, tuple[str, RoleDelivered]] = field(default_factory=dict[str, tuple[str, RoleDelivered]])
    submitted: str = ""
    concluded: str = ""

    def calls_of(self, role_name: str) -> list[Call]:
        """The role's tool calls, in order."""
        return [call for call in self.calls.values() if call.called.role == role_name]


async def read_evidence(log: Log, project: str, name: str) -> Evidence:
    """Read the task's own streams; nothing else of the log is touched."""
    calls: dict[str, Call] = {}
    for recorded in await _stream(log, Address(project, "tools", name)):
        if called := _as(recorded, ToolCalled):
            calls[recorded.reference] = Call(recorded.reference, called)
        elif (returned := _as(recorded, ToolReturned)) and returned.call in calls:
            calls[returned.call] = Call(returned.call, calls[returned.call].called, returned)
    deliveries: dict[str, tuple[str, RoleDelivered]] = {}
    for role_name in ROLES:
        for recorded in await _stream(log, Address(project, role_name, name)):
            if delivered := _as(recorded, RoleDelivered):
                deliveries.setdefault(role_name, (recorded.reference, delivered))
    bounds: dict[type[Event], str] = {}
    for recorded in await _stream(log, Address(project, "task", name)):
        for event_type in (TaskSubmitted, TaskConcluded):
            if _as(recorded, event_type):
                bounds[event_type] = recorded.reference
    return Evidence(calls, deliveries, bounds.get(TaskSubmitted, ""), bounds.get(TaskConcluded, ""))


def citations(text: str) -> list[str]:
    """The references cited in a text ("[tools/t1@3]"), each once, in the order of their first mention."""
    return list(dict.fromkeys(_CITATION.findall(text)))


async def find_event(log: Log, project: str, reference: str) -> Recorded | None:
    """The event of a reference, None when the project's log has no such event."""
    kind, name, version = parse_reference(reference)
    if version < 1:
        return None
    found = await log.read_stream(Address(project, kind, name), after=version - 1, limit=1)
    return found[0] if found else None


async def _stream(log: Log, address: Address) -> list[Recorded]:
    events: list[Recorded] = []
    while page := await log.read_stream(address, after=len(events), limit=PAGE_EVENTS_MAX):
        events += page
    return events


def _as(recorded: Recorded, event_type: type[E]) -> E | None:
    """The event if it is of that type. Tags of newer versions are none of our business here."""
    if recorded.type not in _VOCABULARY:
        return None
    event = _VOCABULARY.decode(recorded.body, recorded.type)
    return event if isinstance(event, event_type) else None
