"""One dependency as a manifest or lock file states it, and the names that ecosystems have in the OSV schema."""

from dataclasses import dataclass
from typing import Literal

Ecosystem = Literal["PyPI", "npm", "Go", "crates.io"]
Scope = Literal["runtime", "development", "locked"]
# runtime: declared for use.   development: declared for work on the project.   locked: named by a lock file only.


@dataclass(frozen=True, slots=True)
class Package:
    """A dependency. `version` is set where exactly one fits; `origin` is the URL it comes from, "" for a registry."""

    ecosystem: Ecosystem
    name: str
    version: str | None
    source: str  # the file that states it
    line: int = 0  # from 1; 0 where the format has no lines of its own
    scope: Scope = "runtime"
    origin: str = ""

    @property
    def pinned(self) -> bool:
        """Whether exactly one version fits."""
        return self.version is not None


class Malformed(Exception):
    """The file is not what its name says; the text says how."""
