"""A process's way to the store: every call travels there and back, and may come to grief on either way.

A call that has left is carried out whatever becomes of its process, as a database does. StoreUnavailable says nothing:
the call may have failed, happened, or be about to happen. Whatever port the store has is reached in the same way.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from inspect import iscoroutinefunction
from random import Random
from typing import Any, Protocol, cast

import anyio

from actors.runtime.simulated.faults import CALL_LATE_S_MAX, DELAY_S_MIN, Faults
from actors.runtime.simulated.loop import VirtualLoop
from eventstore.store import EventStore, StoreUnavailable

_PLAIN: tuple[type, ...] = (str, bytes, int, float, bool, tuple, list, dict, set, frozenset, type(None))


class Caller(Protocol):
    """Whose calls they are."""

    def check(self) -> None:
        """Raises when that process is dead."""
        ...

    async def before(self, call: str) -> None:
        """It is about to make that call."""
        ...


class Way(Protocol):
    """What the calls of all processes share."""

    loop: VirtualLoop
    context: Context
    chance: Random
    faults: Faults
    store_away: bool

    def observe(self, who: str, call: str, args: tuple[Any, ...], result: Any) -> None:
        """A call has been carried out."""
        ...

    def unheard(self, who: str, call: str, lost: bool) -> None:
        """A call was carried out, and whoever made it was not told what came of it: the answer was `lost`, or nobody
        waited for it any more."""
        ...


class FaultyStore:
    """A port of the store, as one process reaches it. `target` is the port itself, or one of its parts."""

    def __init__(
        self, target: Any, owner: Caller, way: Way, name: str, path: str = "", whole: "FaultyStore | None" = None
    ) -> None:
        self._target, self._owner, self._way, self._name, self._path = target, owner, way, name, path
        self._whole = whole or self
        self._parts: dict[str, Any] = {}
        self.cut_until = 0.0

    def __getattr__(self, name: str) -> Any:
        part = self._parts.get(name)
        if part is None:
            self._parts[name] = part = self._wrapped(name, getattr(self._target, name))
        return part

    def _wrapped(self, name: str, found: Any) -> Any:
        path = f"{self._path}{name}"
        if iscoroutinefunction(found):
            return _Call(self, path, found)
        if callable(found) or isinstance(found, _PLAIN):
            return found
        return FaultyStore(found, self._owner, self._way, self._name, f"{path}.", self._whole)

    async def send(self, path: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call, there and back."""
        # Between what a process last looked at and what it sends there may be any time: others run here, or it freezes.
        await self._owner.before(path)
        self._owner.check()
        way = self._way
        answer: asyncio.Future[Any] = way.loop.create_future()
        serving = self._serve(answer, path, function, args, kwargs)
        task = way.loop.create_task(serving, context=way.context)
        try:
            return await answer
        finally:
            del task
            self._owner.check()

    async def _serve(
        self, answer: "asyncio.Future[Any]", path: str, function: Callable[..., Any], args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:  # fmt: skip
        way, chance, faults = self._way, self._way.chance, self._way.faults
        await anyio.sleep(chance.uniform(DELAY_S_MIN, faults.call_s))
        if way.store_away or way.loop.time() < self._whole.cut_until:
            _fail(answer, f"{path}: the store is away")
            return
        fate = chance.random() if faults.store_before or faults.store_after or faults.store_late else 1.0
        if fate < faults.store_before:
            _fail(answer, f"{path}: the connection broke")
            return
        late = faults.store_before <= fate < faults.store_before + faults.store_late
        if late:
            _fail(answer, f"{path}: no answer")
            await anyio.sleep(chance.uniform(0.0, CALL_LATE_S_MAX))
        try:
            result = await function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever the store says is told to the process
            if not answer.done():
                answer.set_exception(error)
            return
        way.observe(self._name, path, args, result)
        await anyio.sleep(chance.uniform(DELAY_S_MIN, faults.call_s))
        lost = fate < faults.store_before + faults.store_late + faults.store_after
        if answer.done():
            way.unheard(self._name, path, lost=late)
        elif lost or way.store_away or way.loop.time() < self._whole.cut_until:
            way.unheard(self._name, path, lost=True)
            _fail(answer, f"{path}: the connection broke before the answer")
        else:
            answer.set_result(result)


class _Call:
    """A method of the store."""

    __slots__ = ("_function", "_path", "_store")

    def __init__(self, store: FaultyStore, path: str, function: Callable[..., Any]) -> None:
        self._store, self._path, self._function = store, path, function

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self._store.send(self._path, self._function, args, kwargs)


def faulty(store: EventStore, owner: Caller, way: Way, name: str) -> tuple[EventStore, FaultyStore]:
    """The store as that process reaches it; and the same, to cut it off."""
    port = FaultyStore(store, owner, way, name)
    return cast("EventStore", port), port


def _fail(answer: "asyncio.Future[Any]", words: str) -> None:
    if not answer.done():
        answer.set_exception(StoreUnavailable(words))
