"""What single events say of work done: by whom, with which tool or model, how long, at what price."""

from typing import Any

import msgspec

from eventstore.store import Recorded
from protocol.codec import Malformed
from protocol.message import Event
from protocol.retired import vocabulary_of
from protocol.router import CompletionFailed, CompletionGiven
from protocol.tools import ToolReturned

MICROS = 1_000_000
_KNOWN = vocabulary_of((CompletionGiven, CompletionFailed, ToolReturned))
WORD_LENGTH_MAX = 60  # Characters of a name.


class _Request(msgspec.Struct):
    tool: str = ""


class _Telling(msgspec.Struct):
    """Fields that say what an event is about, whosever it is: names, never content."""

    role: Any = ""
    agent: Any = ""
    tool: Any = ""
    status: Any = ""
    outcome: Any = ""
    request: Any = None


_telling = msgspec.json.Decoder(_Telling)


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one event says. `cost_micros` are millionths of a US dollar by list price, and mean something only when
    `priced`. `seconds` is what the provider or the tool took, by its worker's clock. `failed`: a completion that was
    not given, a tool run that did not work."""

    role: str = ""
    agent: str = ""
    tool: str = ""
    status: str = ""
    outcome: str = ""
    provider: str = ""
    model: str = ""
    completions: int = 0
    tool_runs: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    priced: bool = False
    seconds: float = 0.0


class Sums(msgspec.Struct):
    """The figures of several events. `priced` completions have a known price: the others' cost is in no sum."""

    completions: int = 0
    completions_failed: int = 0
    priced: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    provider_seconds: float = 0.0
    tool_runs: int = 0
    tool_runs_failed: int = 0
    tool_seconds: float = 0.0

    def add(self, figures: Figures) -> None:
        """Count an event."""
        if figures.completions:
            self.completions += 1
            self.completions_failed += figures.failed
            self.priced += figures.priced
            self.tokens_in += figures.tokens_in
            self.tokens_out += figures.tokens_out
            self.cost_micros += figures.cost_micros if figures.priced else 0
            self.provider_seconds += figures.seconds
        elif figures.tool_runs:
            self.tool_runs += 1
            self.tool_runs_failed += figures.failed
            self.tool_seconds += figures.seconds

    @property
    def cost(self) -> str:
        """US dollars by list price; "+ ?" where some completions have no known price."""
        given = self.completions - self.completions_failed
        if not self.priced:
            return "-" if not given else "?"
        known = f"{self.cost_micros / MICROS:.4f}"
        return known if self.priced == given else f"{known} + ?"


def figures_of(recorded: Recorded) -> Figures:
    """What the event says; of one that cannot be read nothing."""
    event = _decoded(recorded)
    if isinstance(event, CompletionGiven):
        return Figures(
            role=event.role, provider=event.provider, model=event.model, completions=1, tokens_in=event.tokens_in,
            tokens_out=event.tokens_out, cost_micros=event.cost_micros if event.priced else 0, priced=event.priced,
            seconds=event.seconds,
        )  # fmt: skip
    if isinstance(event, CompletionFailed):
        return Figures(
            role=event.role, provider=event.provider, model=event.model, completions=1, failed=1, seconds=event.seconds
        )
    if isinstance(event, ToolReturned):
        failed = event.status in ("failed", "could_not_run")
        return Figures(
            role=event.role, tool=event.tool, status=event.status, tool_runs=1, failed=int(failed),
            seconds=event.seconds,
        )  # fmt: skip
    return _told(recorded)


def _decoded(recorded: Recorded) -> Event | None:
    if recorded.type not in _KNOWN:
        return None
    try:
        return _KNOWN.decode(recorded.body, recorded.type)
    except Malformed:
        return None


def _told(recorded: Recorded) -> Figures:
    """The telling fields of any event, its own or those of the tool request in it."""
    try:
        telling = _telling.decode(recorded.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Figures()
    try:
        tool = telling.tool or msgspec.convert(telling.request, _Request).tool
    except msgspec.ValidationError:
        tool = ""
    role, agent, tool, status, outcome = map(
        _word, (telling.role, telling.agent, tool, telling.status, telling.outcome)
    )
    return Figures(role, agent, tool, status, outcome)


def _word(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= WORD_LENGTH_MAX else ""
