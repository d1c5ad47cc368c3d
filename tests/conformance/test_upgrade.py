"""The check before a deploy says the same of every store."""

from dataclasses import replace
from typing import Any

from eventstore.store import EventStore
from protocol.message import Event
from tests.kit.counting import COUNTER, WORKER, Add, Added, Begin, Count, Forget, Report
from tests.kit.histories import C1, C2, W1, W3, W4, check, found, write_history


def _adds_more(_: Count, command: Add) -> tuple[Event, ...]:
    return (Added(command.n + (command.n > 4)),) if command.n > 0 else ()


def _no_work(*_: object) -> tuple[()]:
    return ()


async def test_the_same_code_goes_on_with_everything(store: EventStore) -> None:
    await write_history(store)
    checked = await check(store)
    assert checked.diverging == {}
    streams = [stream for stream in await store.streams() if stream.fenced]
    assert (checked.actors, checked.events) == (len(streams), await store.head())
    # Serves, balls, the outcome of an effect, and the firing of a timer too.
    assert (checked.unkept, checked.retired, checked.unnamed) == (0, 0, 0)
    causes = {event.causation for event in await store.read(0)}
    assert checked.decided == len(causes)
    assert checked.pending == 3, "a ball, an effect and a timer"


async def test_changed_code_is_found_out(store: EventStore) -> None:
    await write_history(store)
    assert found(await check(store, replace(COUNTER, decide=_adds_more))) == [(C2, 1)]
    assert found(await check(store, replace(WORKER, react=_no_work))) == [(W1, 1), (W3, 1), (W4, 1)]
    fewer: Any = replace(WORKER, commands=(Begin, Forget, Report))
    assert found(await check(store, fewer)) == [(W4, 0)], "what is under way cannot be taken up"
    assert found(await check(store, works={})) == [(W3, 0)]
    assert (C1, 1) in found(await check(store, without="counter"))
    assert found(await check(store, sample=1)) == []
