"""A bus that only notes what it was told to do, for tests of one part of the runtime."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from actors.runtime.ports import NO_TRACES, CommandFeed
from protocol.reply import Reply
from protocol.subjects import ROOT, Address


@dataclass
class NotingBus:
    """`witnesses`: what stands at each sequence of the stream."""

    root: str = ROOT
    stream: str = "COMMANDS"
    witnesses: dict[int, str] = field(default_factory=dict[int, str])
    rung: list[Address] = field(default_factory=list[Address])
    effects: list[str] = field(default_factory=list[str])
    replies: list[tuple[str, Reply]] = field(default_factory=list[tuple[str, Reply]])
    buried: list[tuple[Address, bytes]] = field(default_factory=list[tuple[Address, bytes]])
    purged: list[int] = field(default_factory=list[int])
    erased: list[int] = field(default_factory=list[int])
    traces: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # Of what, and its traceparent.

    async def open_feed(self, after: int, partitions: Sequence[int] = ()) -> CommandFeed:
        raise NotImplementedError("nobody reads a feed here")

    async def witness_at(self, sequence: int) -> str:
        return self.witnesses.get(sequence, "")

    async def last_sequence(self) -> int:
        return max(self.witnesses, default=0)

    async def purge_below(self, sequence: int) -> None:
        self.purged.append(sequence)

    async def erase(self, sequences: Collection[int]) -> None:
        self.erased.extend(sorted(sequences))

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        self.traces.extend((str(receiver), traces.get(receiver, "")) for receiver in receivers)
        self.rung.extend(receivers)

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        self.traces.extend((kind, traces.get(kind, "")) for kind in kinds)
        self.effects.extend(kinds)

    async def on_effects(self, kinds: Sequence[str], wake: Callable[[], None]) -> None:
        pass

    async def reply(self, inbox: str, body: bytes, traceparent: str = "") -> None:
        self.traces.append((inbox, traceparent))
        self.replies.append((inbox, msgspec.json.decode(body, type=Reply)))

    async def bury(self, address: Address, body: bytes, headers: dict[str, str]) -> None:
        self.buried.append((address, body))
