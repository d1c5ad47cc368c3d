"""What happened in a simulation, line by line, and a digest of it: two runs of one seed have the same."""

import hashlib
from collections.abc import Callable
from pathlib import Path


class Trace:
    """Lines of what anyone outside a process could have seen, with the virtual time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lines: list[str] = []

    def note(self, what: str) -> None:
        """It happened now."""
        self.lines.append(f"{self._now():11.6f} {what}")

    @property
    def digest(self) -> str:
        """A fingerprint of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """All lines, for a person to read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(self.lines) + "\n", "utf-8")
