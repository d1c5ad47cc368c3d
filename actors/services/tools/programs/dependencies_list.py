"""dependencies.list: what the repository depends on, by its manifests and lock files, and what of it is pinned.

A declared dependency counts as pinned when its manifest allows exactly one version, or when a lock file of the same
ecosystem names it. Only the files are read: nothing is resolved, installed or asked for over the network.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from actors.services.tools.analysis import manifests_other, manifests_python
from actors.services.tools.analysis.findings import bounded, clean, finding, noun, severity_facts
from actors.services.tools.analysis.package import Malformed, Package
from actors.services.tools.analysis.sources import is_test
from actors.services.tools.programs.checkout import VENDORED, files, read_text
from protocol.tools import Fact, Finding, ToolInput, ToolResult

PACKAGES_MAX = 2_000  # in `data`, for the tools that look them up; the facts count all
MANIFEST_BYTES_MAX = 20_000_000  # lock files grow large

_Parser = Callable[[str, str], Iterator[Package]]
_BY_NAME: dict[str, _Parser] = {
    "pyproject.toml": manifests_python.pyproject,
    "uv.lock": manifests_python.toml_lock,
    "poetry.lock": manifests_python.toml_lock,
    "Pipfile.lock": manifests_python.pipfile_lock,
    "package.json": manifests_other.package_json,
    "package-lock.json": manifests_other.package_lock,
    "npm-shrinkwrap.json": manifests_other.package_lock,
    "yarn.lock": manifests_other.yarn_lock,
    "go.mod": manifests_other.go_mod,
    "Cargo.toml": manifests_other.cargo_toml,
    "Cargo.lock": manifests_other.cargo_lock,
}
_REQUIREMENTS = re.compile(r"^[\w.-]*requirements[\w.-]*\.(txt|in|lock)$|^requirements/[\w.-]+\.(txt|in)$")
_LOCKS = re.compile(r"(\.lock|package-lock\.json|npm-shrinkwrap\.json|go\.mod)$")


def run(given: ToolInput) -> ToolResult:
    """List the dependencies. Not applicable where no manifest or lock file is found."""
    packages: list[Package] = []
    found: list[Finding] = []
    manifests: list[str] = []
    for file in files(given.source, skip=VENDORED):
        parser = _parser(file.path)
        if parser is None or is_test(file.path):
            continue  # A manifest among the tests is their data.
        text = read_text(given.source, file.path, bytes_max=MANIFEST_BYTES_MAX)
        if text is None:
            found.append(
                finding("low", "manifest-not-read", "too large or no text: its dependencies are not listed", file.path)
            )
            continue
        manifests.append(file.path)
        try:
            packages += parser(file.path, text)
        except Malformed as error:
            found.append(
                finding("medium", "manifest-malformed", f"its dependencies are not listed: {error}", file.path)
            )
    if not manifests and not found:
        return ToolResult("not_applicable", "no manifest or lock file of Python, Node, Go or Rust")
    declared, unpinned = _declared(packages)
    found += _remarks(declared, unpinned, packages)
    return _result(packages, declared, unpinned, found, manifests)


def _parser(path: str) -> _Parser | None:
    name = path.rsplit("/", 1)[-1]
    if name in _BY_NAME:
        return _BY_NAME[name]
    tail = "/".join(path.split("/")[-2:])
    return manifests_python.requirements if _REQUIREMENTS.match(name) or _REQUIREMENTS.match(tail) else None


def _declared(packages: Sequence[Package]) -> tuple[list[Package], list[Package]]:
    """The declared dependencies, one of each name, and those of them that neither their manifest nor a lock pins."""
    pinned = {(each.ecosystem, each.name) for each in packages if each.pinned}
    declared: dict[tuple[str, str], Package] = {}
    for each in packages:
        key = (each.ecosystem, each.name)
        if each.scope != "locked" and not _is_lock(each) and (key not in declared or each.scope == "runtime"):
            declared[key] = each
    unpinned = [each for key, each in declared.items() if key not in pinned]
    return list(declared.values()), [each for each in unpinned if each.scope == "runtime"]


def _is_lock(package: Package) -> bool:
    # A requirements.lock lists what was resolved; go.mod is a manifest as well as a lock.
    return bool(_LOCKS.search(package.source)) and package.ecosystem != "Go"


def _remarks(
    declared: Sequence[Package], unpinned: Sequence[Package], packages: Iterable[Package]
) -> Iterator[Finding]:
    for each in unpinned:
        if not each.origin:
            said = f"{each.name} is not pinned: neither its version here nor a lock file fixes it"
            yield finding("low", "unpinned", said, each.source, each.line)
    for each in {(each.ecosystem, each.name, each.source): each for each in packages}.values():
        if each.origin:
            said = f"{each.name} comes from {_without_login(each.origin)}, not from a registry: no advisories name it"
            yield finding("medium", "url-dependency", said, each.source, each.line)
    if not declared:
        yield finding("info", "nothing-declared", "the manifests declare no dependency")


def _without_login(url: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", url)


def _result(
    packages: Sequence[Package],
    declared: Sequence[Package],
    unpinned: Sequence[Package],
    found: Sequence[Finding],
    manifests: Sequence[str],
) -> ToolResult:
    distinct = {(each.ecosystem, each.name, each.version): each for each in sorted(packages, key=_order, reverse=True)}
    listed = sorted(distinct.values(), key=_order)
    named = {(each.ecosystem, each.name) for each in listed if each.pinned}
    # A range in a manifest says nothing beside the version that a lock file chose for it.
    listed = [each for each in listed if each.pinned or (each.ecosystem, each.name) not in named]
    pinned = sum(each.pinned for each in listed)
    ecosystems = ", ".join(sorted({each.ecosystem for each in listed}))
    facts: dict[str, Fact] = {
        "declared": len(declared),
        "packages": len(listed),
        "pinned": pinned,
        "unpinned": len(unpinned),
        "ecosystems": ecosystems,
        "manifests": len(manifests),
        "packages_omitted": max(0, len(listed) - PACKAGES_MAX),
    }
    summary = (
        f"{noun(len(declared), 'dependency', 'dependencies')} declared in {noun(len(manifests), 'manifest')}; "
        f"{noun(pinned, 'pinned package')}, {len(unpinned)} declared for use but not pinned"
    )
    data = [
        {
            "ecosystem": each.ecosystem,
            "name": clean(each.name),
            "version": clean(each.version) if each.version is not None else None,
            "pinned": each.pinned,
            "source": each.source,
        }
        for each in listed[:PACKAGES_MAX]
    ]
    return ToolResult(
        "ok", summary, facts=facts | severity_facts(found), findings=bounded(found), data={"packages": data}
    )


def _order(package: Package) -> tuple[str, str, str, str, int]:
    return (package.ecosystem, package.name, package.version or "", package.source, package.line)
