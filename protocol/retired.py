"""Every retired tag of the wire. A module of this package declares its own in RETIRED, beside COMMANDS and EVENTS."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from protocol import memory, orchestrator, registry, role, router, runtime, task, tools
from protocol.codec import Vocabulary
from protocol.message import tag_of
from protocol.upcast import Upcast, leading_to

M = TypeVar("M", bound=msgspec.Struct)

RETIRED: tuple[Upcast, ...] = (
    *memory.RETIRED,
    *orchestrator.RETIRED,
    *registry.RETIRED,
    *role.RETIRED,
    *router.RETIRED,
    *runtime.RETIRED,
    *task.RETIRED,
    *tools.RETIRED,
)


def vocabulary_of(classes: Iterable[type[M]]) -> Vocabulary[M]:
    """The messages of these classes, also where they were stored under a tag that is retired by now (for readers of
    many kinds: views, reports)."""
    every = tuple(classes)
    return Vocabulary(every, leading_to({tag_of(cls) for cls in every}, RETIRED))
