"""Commands and events of the `router` actor: every completion of a task's roles. One session a role, one turn a
question."""

import msgspec

from protocol.message import Command, Event
from protocol.role import ToolRequest
from protocol.upcast import Upcast


class TextAdded(msgspec.Struct, frozen=True, tag="text"):
    """A turn adds what the role says: its brief."""

    text: str


class ResultAdded(msgspec.Struct, frozen=True, tag="result", omit_defaults=True):
    """A turn adds a tool's answer: the blob of the result, the event of the call, the model's own id of the call.

    `summary` says why there is no result, for a call that left none (`result` is "" then).
    """

    request: str
    tool: str
    call: str
    result: str
    summary: str = ""


Added = TextAdded | ResultAdded


class Complete(Command, frozen=True, tag="router.complete.v1", omit_defaults=True):
    """Ask the model on, under a playbook ("architect@1"). Only what this turn adds travels; the router knows the
    rest."""

    role: str
    turn: int
    adds: tuple[Added, ...]
    playbook: str


class RecordAnswer(Command, frozen=True, tag="router.record_answer.v1", omit_defaults=True):
    """The provider's answer. `conversation` is the blob of the conversation up to and with this answer.

    `cost_micros` are millionths of a US dollar; they mean something only when `priced`. `seconds` is what the provider
    took, by the worker's own clock (0: not measured). With an `error`, `provider` and `model` are whom was asked.
    """

    role: str
    turn: int
    conversation: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()
    text: str = ""
    text_bytes: int = 0
    provider: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    label: str = ""
    error: str = ""
    cost_micros: int = 0
    priced: bool = False
    seconds: float = 0.0


class CompletionAsked(Event, frozen=True, tag="router.completion_asked.v1", omit_defaults=True):
    role: str
    turn: int
    adds: tuple[Added, ...]
    playbook: str


class CompletionGiven(Event, frozen=True, tag="router.completion_given.v1", omit_defaults=True):
    """`cost_micros` are millionths of a US dollar by the provider's list price; not `priced`: no price is known.
    `seconds` is what the provider took (0: not measured)."""

    role: str
    turn: int
    conversation: str
    tool_calls: tuple[ToolRequest, ...] = ()
    text: str = ""
    text_bytes: int = 0
    provider: str = ""
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    label: str = ""
    cost_micros: int = 0
    priced: bool = False
    seconds: float = 0.0


class CompletionFailed(Event, frozen=True, tag="router.completion_failed.v1", omit_defaults=True):
    """No completion. `provider` and `model` are whom was asked ("": not known), `seconds` what the last attempt took
    the provider (0: not measured)."""

    role: str
    turn: int
    error: str
    provider: str = ""
    model: str = ""
    seconds: float = 0.0


class CompletionWork(msgspec.Struct, frozen=True, tag="router.completion", omit_defaults=True):
    """The effect: load the conversation, ask the provider, store what the turn added."""

    role: str
    turn: int
    adds: tuple[Added, ...]
    playbook: str
    conversation: str = ""


class StoredTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One link of a stored conversation: what the turn added and what came back; `previous` is the blob of the turn
    before."""

    adds: tuple[Added, ...]
    previous: str = ""
    system: str = ""
    text: str = ""
    tool_calls: tuple[ToolRequest, ...] = ()


COMMANDS = (Complete, RecordAnswer)
EVENTS = (CompletionAsked, CompletionGiven, CompletionFailed)
RETIRED: tuple[Upcast, ...] = ()
