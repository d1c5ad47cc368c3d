"""How much of what is public says what it is for: docstrings in Python, JSDoc in JavaScript and TypeScript, apart."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from actors.services.tools.analysis import docstrings, jsdoc, python_code
from actors.services.tools.analysis.docstrings import Documentable
from actors.services.tools.analysis.findings import finding
from actors.services.tools.analysis.sources import SCRIPT_SUFFIXES, is_generated, is_test
from actors.services.tools.programs.checkout import TextFile
from protocol.tools import Finding

LOW_PERCENT = 50.0
SHOWN_MAX = 20  # as findings of each kind; the facts count all


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many public things there are, how many are documented, and where the others are."""

    documented: int
    total: int
    missing: Sequence[tuple[str, Documentable]]

    @property
    def percent(self) -> float:
        """Of the public things, with one decimal; 100.0 when there are none."""
        return round(100 * self.documented / self.total, 1) if self.total else 100.0


def python(texts: Iterable[TextFile]) -> Coverage:
    """Of public modules, classes, functions and methods; what does not parse is the architect's to report."""
    return _over((file for file in texts if file.suffix == ".py"), _python)


def scripts(texts: Iterable[TextFile]) -> Coverage:
    """Of exported functions and classes; files of declarations (.d.ts) are left out."""
    wanted = (file for file in texts if file.suffix in SCRIPT_SUFFIXES and ".d." not in file.name)
    return _over(wanted, lambda file: jsdoc.documentables(file.text))


def findings(coverage: Coverage, kind: str, what: str, form: str) -> list[Finding]:
    """A `low` finding where less than LOW_PERCENT is documented, and the first SHOWN_MAX that are not as `info`."""
    found: list[Finding] = []
    if coverage.total and coverage.percent < LOW_PERCENT:
        said = f"{coverage.documented} of {coverage.total} {what} have a {form} ({coverage.percent} %)"
        found.append(finding("low", f"{kind}-coverage", said))
    found += [
        finding("info", f"{kind}-missing", f"{each.kind} `{each.name}` has no {form}", path, each.line)
        for path, each in coverage.missing[:SHOWN_MAX]
    ]
    return found


def _python(file: TextFile) -> Iterable[Documentable]:
    tree = python_code.parse(file.text)
    if isinstance(tree, python_code.Unparsable):
        return ()
    return docstrings.documentables(tree, file.name.removesuffix(".py"))


def _over(texts: Iterable[TextFile], read: Callable[[TextFile], Iterable[Documentable]]) -> Coverage:
    total = documented = 0
    missing: list[tuple[str, Documentable]] = []
    for file in texts:
        hidden = any(part.startswith(("_", ".")) for part in file.path.split("/")[:-1])
        if hidden or is_test(file.path) or is_generated(file.path):
            continue
        for each in read(file):
            total += 1
            documented += each.documented
            if not each.documented:
                missing.append((file.path, each))
    return Coverage(documented, total, missing)
