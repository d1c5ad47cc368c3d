"""Each guarantee switched off, one at a time: the checkers must then see it, or they would see nothing.

What is switched off is patched for one test only; the same seed without the patch holds.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.runtime import intake as intake_module
from actors.runtime import work as work_module
from actors.runtime.cursor import Cursors, Place
from actors.runtime.simulated import Faults, Outcome
from eventstore.memory import tables as tables_module
from eventstore.memory.store import MemoryStore
from eventstore.memory.tables import Tables
from tests.simulation import kinds
from tests.simulation.conftest import Simulation
from tests.simulation.workload import workload

SEEDS = 12  # Within so many a broken guarantee must show.

Mutate = Callable[[pytest.MonkeyPatch], Any]


class _Forgetful(dict[Any, Any]):
    """A table in which nothing is found when it is asked whether it is there."""

    def __contains__(self, key: object) -> bool:
        return False


class _Undeletable(dict[Any, Any]):
    """A table of which some rows stay when they are deleted for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: set[Any] = set()

    def pop(self, key: Any, default: Any = None) -> Any:
        if key % 5 == 0 and key in self and key not in self._kept:
            self._kept.add(key)  # Not for ever: what is taken again and again sends more and more.
            return self[key]
        return super().pop(key, default)


def _store_with(**instead: Callable[[], dict[Any, Any]]) -> Callable[[Callable[[], Any], Tables], MemoryStore]:
    def make(now: Callable[[], Any], tables: Tables) -> MemoryStore:
        for name, table in instead.items():
            setattr(tables, name, table())
        return MemoryStore(now, tables)

    return make


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    """Whoever has ever owned a partition may write it."""

    def anybody(_partition: tables_module.Partition, _fence: object) -> bool:
        return True

    patch.setattr(tables_module.Partition, "held_by", anybody)


def _no_inbox(_: pytest.MonkeyPatch) -> Any:
    """What was settled before is not known."""
    return _store_with(inbox=_Forgetful)


def _no_witness(patch: pytest.MonkeyPatch) -> None:
    """A stream that was made anew is taken for the one that was settled."""

    async def none(_: object) -> list[int]:
        return []

    patch.setattr(intake_module.Intake, "_wrong_witnesses", none)


def _no_outbox(_: pytest.MonkeyPatch) -> Any:
    """A send that is accepted keeps its row."""
    return _store_with(outbox=_Undeletable)


def _no_quarantine(patch: pytest.MonkeyPatch) -> None:
    """A command that breaks its actor is settled, and nothing says so."""
    original = work_module.quarantine

    def swallowed(*args: Any, **options: Any) -> work_module.Work:
        work = original(*args, **options)
        work.unit = msgspec.structs.replace(work.unit, events=())
        return work

    patch.setattr(work_module, "quarantine", swallowed)


def _no_window(patch: pytest.MonkeyPatch) -> None:
    """The cursor passes what is still open."""
    original = Cursors.preview

    def beyond(cursors: Cursors, partition: int, settling: Any = ()) -> Place:
        opened = list(cursors._open.get(partition, {}))  # pyright: ignore[reportPrivateUsage]
        return original(cursors, partition, {*settling, *opened})

    patch.setattr(Cursors, "preview", beyond)


def _no_trace(patch: pytest.MonkeyPatch) -> None:
    """What another actor sent begins a trace of its own."""
    original = intake_module.from_row

    def forgetful(*args: Any) -> Any:
        return msgspec.structs.replace(original(*args), trace="")

    patch.setattr(intake_module, "from_row", forgetful)


MUTATIONS: dict[str, tuple[Mutate, Faults, int, str]] = {
    "fence": (_no_fence, Faults(stalls=6), 3, r"wrote .* in epoch"),
    "inbox": (_no_inbox, Faults(duplication=0.4, reply_loss=0.3), 1, r"was applied \d+ times"),
    "witness": (_no_witness, Faults(wipes=3, restarts=1), 2, r"nobody has settled it|never answered"),
    "outbox": (_no_outbox, Faults(), 2, r"was applied \d+ times"),
    "quarantine": (_no_quarantine, Faults(), 1, r"has no event of its quarantine"),
    "trace": (_no_trace, Faults(), 1, r"which was given the trace"),
    "window": (_no_window, Faults(crashes=4, call_s=0.1), 1, r"nobody has settled it"),
}


def _run(simulation: Simulation, seed: int, faults: Faults, workers: int, make_store: Any) -> Outcome:
    return simulation(
        kinds.KINDS, kinds.performers, seed=seed, workload=workload, faults=faults, workers=workers, heard=kinds.HEARD,
        make_store=make_store,
    )  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checkers_see_what_is_switched_off(
    name: str, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate, faults, workers, said = MUTATIONS[name]
    for seed in range(SEEDS):
        with monkeypatch.context() as patch:
            make_store = mutate(patch) or MemoryStore
            broken = _run(simulation, seed, faults, workers, make_store)
        if any(re.search(said, problem) for problem in broken.problems):
            _run(simulation, seed, faults, workers, MemoryStore).check()
            return
    pytest.fail(f"without its {name} the runtime held for {SEEDS} seeds: the checkers do not see it")
