"""Whether the traces that publishers gave went on through everything that followed, whatever happened meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

from actors.runtime.simulated.seen import RUNTIME
from eventstore.store import Recorded
from protocol.trace import TraceContext, read_stored, span_id, trace_id

GIVEN_IN = 3  # Of so many commands one comes with a trace.


def given_to(id_: str) -> TraceContext | None:
    """The trace that comes with the command of that id: the same each time it is sent; None: it comes with none."""
    if crc32(id_.encode()) % GIVEN_IN:
        return None
    return TraceContext(trace_id("publisher", id_), span_id("send", "publisher", id_), state=f"p={len(id_)}")


def check_traces(
    log: Sequence[Recorded],
    stored: Mapping[tuple[str, str], str],
    given: Callable[[str], TraceContext | None] = given_to,
) -> list[str]:
    """Every event belongs to the trace that was given to the command at its root, and to none if none was. `stored`:
    what the store knows, by project and event. What a timer set off is passed over: its id does not say who set it."""
    causes = {(event.address.project, event.reference): event.causation for event in log}
    wrong: list[str] = []
    for event in log:
        project = event.address.project
        root = event.causation
        while "@" in root and (project, root.partition(".")[0]) in causes:
            root = causes[project, root.partition(".")[0]]
        if event.address.kind == RUNTIME or root.startswith("timer:"):
            continue
        wanted, found = given(root), read_stored(stored.get((project, event.reference), ""))
        expected = wanted and wanted.at(span_id("process", project, event.causation))
        if found != expected:
            wrong.append(f"{event.reference} follows from {root}, which was given the trace {wanted}; it has {found}")
    return wrong
