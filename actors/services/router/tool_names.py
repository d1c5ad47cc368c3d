"""Names of tools on the wire: providers allow letters, digits, `_` and `-`, at most 64; ours have dots. Pure."""

import re
from collections.abc import Iterable

NAME_LENGTH_MAX = 64

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")


class ToolNames:
    """Both directions for the tools of one request: `security.scan` is `security__scan` on the wire."""

    def __init__(self, names: Iterable[str]) -> None:
        self._to_wire: dict[str, str] = {}
        self._from_wire: dict[str, str] = {}
        for name in names:
            self._add(name)

    def to_wire(self, name: str) -> str:
        """The provider's name for the tool; also for one of an earlier turn that is no longer offered."""
        return self._to_wire.get(name) or _wire(name)

    def from_wire(self, name: str) -> str | None:
        """Our name, None when no such tool is offered. A model that uses our own name means it."""
        return self._from_wire.get(name) or (name if name in self._to_wire else None)

    def _add(self, name: str) -> None:
        wire, number = _wire(name), 2
        while wire in self._from_wire:  # Two of our names that look the same on the wire stay two.
            suffix = f"_{number}"
            wire, number = _wire(name)[: NAME_LENGTH_MAX - len(suffix)] + suffix, number + 1
        self._to_wire[name], self._from_wire[wire] = wire, name


def _wire(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name.replace(".", "__"))[:NAME_LENGTH_MAX]
