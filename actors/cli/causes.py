"""What `troupe trace` shows: the tree for people, the same as JSON, and the sums."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby

import msgspec

from actors.cli import output
from actors.cli.figures import Figures, Sums
from actors.runtime.lineage import Origin, Step, below
from eventstore.store import InboxRow, Recorded
from protocol.envelope import format_time

SECONDS_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Waiting:
    """An effect that has not ended. `state` "unknown": it waits for a human."""

    key: str
    kind: str
    state: str
    attempts: int
    claimed: bool
    at: datetime

    @property
    def event(self) -> str:
        """The event that wanted it."""
        return self.key.partition(".")[0]


@dataclass(frozen=True)
class Causes:
    """A trace. `head`: the last position that was looked at; `figures` by position; `settled` by command."""

    project: str
    correlation: str
    head: int
    steps: Sequence[Step]
    figures: Mapping[int, Figures]
    settled: Mapping[str, InboxRow]
    waiting: Sequence[Waiting]

    @property
    def roots(self) -> list[Step]:
        return [step for step in self.steps if step.parent is None and not step.lost]

    @property
    def unattached(self) -> list[Step]:
        return [step for step in self.steps if step.lost]

    @cached_property
    def begun(self) -> datetime:
        return min(step.first.at for step in self.steps)

    @property
    def seconds(self) -> float:
        return (max(each.at for step in self.steps for each in step.events) - self.begun).total_seconds()

    def since(self, at: datetime) -> float:
        """Seconds since the beginning."""
        return (at - self.begun).total_seconds()

    def by_role(self) -> dict[str, tuple[str, Sums]]:
        """Agent and sums of each role that did something, in the order of their first event."""
        agents: dict[str, str] = {}
        sums: dict[str, Sums] = {}
        for step in self.steps:
            for event in step.events:
                figures = self.figures[event.position]
                role = figures.role or event.address.kind
                if figures.agent:
                    agents.setdefault(role, figures.agent)
                if figures.completions or figures.tool_runs:
                    sums.setdefault(role, Sums()).add(figures)
        return {role: (agents.get(role, ""), sum_) for role, sum_ in sums.items()}

    def total(self) -> Sums:
        """The figures of all events."""
        total = Sums()
        for figures in self.figures.values():
            total.add(figures)
        return total


class EventAnswer(msgspec.Struct, frozen=True):
    """An event in `--json`. `figures` has what it says, without what it does not."""

    position: int
    event: str
    type: str
    at: str
    figures: Figures


class StepAnswer(msgspec.Struct, frozen=True):
    """A command and what it led to. `parent`: the number of the step it hangs on (None: of none), `cause`: the event.
    `type`, `outcome`: the command's, where the inbox keeps them. `unattached`: why it hangs on none."""

    number: int
    parent: int | None
    cause: str
    command: str
    origin: Origin
    type: str
    outcome: str
    actor: str
    start_s: float
    took_s: float
    events: list[EventAnswer]
    unattached: str


class WaitingAnswer(msgspec.Struct, frozen=True):
    """An effect that has not ended."""

    key: str
    kind: str
    cause: str
    state: str
    attempts: int
    claimed: bool
    since: str


class RoleAnswer(msgspec.Struct, frozen=True):
    """What one role used."""

    role: str
    agent: str
    sums: Sums


class TraceAnswer(msgspec.Struct, frozen=True):
    """What `troupe trace --json` prints. `position`: the log was looked at up to there."""

    project: str
    correlation: str
    position: int
    begun: str
    seconds: float
    events: int
    steps: list[StepAnswer]
    waiting: list[WaitingAnswer]
    roles: list[RoleAnswer]
    total: Sums


def answer_of(causes: Causes) -> TraceAnswer:
    """The trace as one value."""
    return TraceAnswer(
        causes.project, causes.correlation, causes.head, format_time(causes.begun), causes.seconds,
        sum(len(step.events) for step in causes.steps), [_step(causes, step) for step in causes.steps],
        [
            WaitingAnswer(e.key, e.kind, e.event, e.state, e.attempts, e.claimed, format_time(e.at))
            for e in causes.waiting
        ],
        [RoleAnswer(role, agent, sums) for role, (agent, sums) in causes.by_role().items()],
        causes.total(),
    )  # fmt: skip


def _step(causes: Causes, step: Step) -> StepAnswer:
    row = causes.settled.get(step.command)
    return StepAnswer(
        step.number, None if step.parent is None else step.parent.number,
        "" if step.cause is None else step.cause.reference, step.command, step.source.origin,
        "" if row is None else row.type, "" if row is None else row.outcome, str(step.address),
        causes.since(step.first.at), step.took_s, [_event(causes, each) for each in step.events], step.lost,
    )  # fmt: skip


def _event(causes: Causes, event: Recorded) -> EventAnswer:
    return EventAnswer(
        event.position, event.reference, event.type, format_time(event.at), causes.figures[event.position]
    )


def tell(causes: Causes) -> None:
    """The tree, what hangs nowhere, what is still to come, and the sums."""
    output.say(f"{'Since':>{SECONDS_WIDTH}} {'Took':>{SECONDS_WIDTH}}  What (seconds)")
    for line in tree(causes, causes.roots):
        output.say(line)
    if causes.unattached:
        output.say()
        output.say("Unattached")
        for step in causes.unattached:
            for line in tree(causes, [step]):
                output.say(line)
            output.say(f"{'':>{2 * SECONDS_WIDTH + 1}}  ^ {step.lost}")
    if causes.waiting:
        output.say()
        output.say("Not ended yet")
    for effect in causes.waiting:
        how = "waits for a human" if effect.state == "unknown" else "runs" if effect.claimed else "waits"
        start = f"{causes.since(effect.at):>{SECONDS_WIDTH}.3f} {'':>{SECONDS_WIDTH}}"
        output.say(f"{start}  {effect.kind} {effect.key}: {how}, attempt {effect.attempts}")
    output.say()
    _tell_sums(causes)


def tree(causes: Causes, roots: Sequence[Step]) -> Iterator[str]:
    """The steps as lines. However deep, without recursion."""
    waiting = [(step, 0, False) for step in reversed(roots)]
    while waiting:
        step, depth, branches = waiting.pop()
        prefix = "│ " * (depth - branches) + "├ " * branches
        start, took = f"{causes.since(step.first.at):.3f}", f"{step.took_s:.3f}" if step.cause else ""
        yield f"{start:>{SECONDS_WIDTH}} {took:>{SECONDS_WIDTH}}  {prefix}{_line(causes, step)}"
        # What leads to nothing more is told at once; if one way is left then, it goes on in this column.
        ends = [child for child in step.children if not child.children]
        ways = [child for child in step.children if child.children]
        alone = len(ways) == 1 or (len(ends) == 1 and not ways)
        if alone and not ways:
            ends, ways = [], ends
        waiting.extend((way, depth if alone else depth + 1, not alone) for way in reversed(ways))
        waiting.extend((end, depth + 1, True) for end in reversed(ends))


def _line(causes: Causes, step: Step) -> str:
    """A step in words: whose, what happened, what was used."""
    words = [_actor(causes, step)]
    names: list[str] = []
    for name, same in groupby(_name(event.type) for event in step.events):
        times = len(list(same))
        names.append(f"{name} ×{times}" if times > 1 else name)
    words.append(", ".join(names))
    words.extend(dict.fromkeys(text for event in step.events if (text := _used(causes.figures[event.position]))))
    if step.source.origin == "outside":
        row = causes.settled.get(step.command)
        came_to = f" ({row.outcome})" if row and row.outcome != "accepted" else ""
        words.append(f"<- {row.type if row else 'a command'} from outside, {step.command}{came_to}")
    elif step.source.origin in ("timer", "doubt"):
        words.append(f"<- {step.command}")
    return "  ".join(word for word in words if word)


def _name(type_: str) -> str:
    """What happened, without whose vocabulary it is of and its version: `--json` has the whole type."""
    return type_.partition(".")[2].rpartition(".v")[0] or type_


def _actor(causes: Causes, step: Step) -> str:
    address = step.address
    return address.kind if address.name == causes.correlation else f"{address.kind}/{address.name}"


def _used(figures: Figures) -> str:
    if figures.completions:
        what = "/".join(filter(None, (figures.provider, figures.model))) or "no model"
        cost = f" ${figures.cost_micros / 1_000_000:.6f}" if figures.priced else ""
        tokens = "failed" if figures.failed else f"{figures.tokens_in}+{figures.tokens_out} tokens{cost}"
        return f"{figures.role}: {what} {tokens} in {figures.seconds:.3f} s"
    if figures.tool_runs:
        return f"{figures.role}: {figures.tool} {figures.status} in {figures.seconds:.3f} s"
    return " ".join(filter(None, (figures.agent or figures.role, figures.tool, figures.status, figures.outcome)))


def _tell_sums(causes: Causes) -> None:
    roles, total = causes.by_role(), causes.total()
    rows = [(role, agent or "-", *_summed(sums)) for role, (agent, sums) in roles.items()]
    if rows:
        rows.append(("all", "", *_summed(total)))
        output.table(
            (
                "Role",
                "Agent",
                "Completions",
                "Failed",
                "Tokens in",
                "Tokens out",
                "USD",
                "Model s",
                "Tools",
                "Failed",
                "Tool s",
            ),
            rows,
        )
        output.say()
    events = sum(len(step.events) for step in causes.steps)
    output.say(
        f"{causes.correlation}: {len(causes.steps)} commands led to {events} events in {causes.seconds:.3f} s, "
        f"since {format_time(causes.begun)}"
    )
    if causes.unattached:
        lost = sum(1 for _ in below(causes.unattached))
        output.say(f"{len(causes.unattached)} commands hang on nothing here, and {lost} with what they led to")


def _summed(sums: Sums) -> tuple[object, ...]:
    return (
        sums.completions, sums.completions_failed, sums.tokens_in, sums.tokens_out, sums.cost,
        f"{sums.provider_seconds:.3f}", sums.tool_runs, sums.tool_runs_failed, f"{sums.tool_seconds:.3f}",
    )  # fmt: skip
