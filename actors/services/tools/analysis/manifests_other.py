"""Dependencies of Node, Go and Rust projects: manifests and lock files."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from actors.services.tools.analysis.documents import as_table, read_toml, table_of
from actors.services.tools.analysis.package import Malformed, Package, Scope

_EXACT = re.compile(r"^[=v]?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$")
_NODE_URL = re.compile(r"^(git|https?|ssh|github|gitlab|bitbucket)[+:]|^[\w.-]+/[\w.-]+(#.*)?$")
_NODE_LOCAL = ("file:", "link:", "workspace:", "portal:")
_GO_REQUIRE = re.compile(r"^(?:require\s+)?(?P<name>[\w.~-]+(?:/[\w.~-]+)+)\s+(?P<version>v\S+)\s*(?P<note>//.*)?$")
_YARN_HEAD = re.compile(r'^"?(?P<name>@?[^@"\s]+)@')
_YARN_VERSION = re.compile(r'^\s+version:?\s+"?(?P<version>[^"\s]+)"?')


def package_json(path: str, text: str) -> Iterator[Package]:
    """The dependencies of package.json. Raises Malformed."""
    document = _json(text)
    tables: tuple[tuple[str, Scope], ...] = (
        ("dependencies", "runtime"),
        ("optionalDependencies", "runtime"),
        ("devDependencies", "development"),
    )
    for key, scope in tables:
        for name, wanted in table_of(document, key).items():
            spec = str(wanted)
            if spec.startswith(_NODE_LOCAL):
                continue
            origin = spec if _NODE_URL.match(spec) and not spec.startswith("npm:") else ""
            yield Package("npm", name, spec.lstrip("=v") if _EXACT.match(spec) else None, path, 0, scope, origin)


def package_lock(path: str, text: str) -> Iterator[Package]:
    """The packages of package-lock.json or npm-shrinkwrap.json, of any lock file version. Raises Malformed."""
    document = _json(text)
    for location, entry in table_of(document, "packages").items():
        details = as_table(entry)
        if "node_modules/" not in location or details.get("link") or "version" not in details:
            continue
        name = str(details.get("name") or location.rpartition("node_modules/")[2])
        yield Package("npm", name, str(details["version"]), path, 0, _locked(details), _origin(details))
    if "packages" not in document:
        yield from _lock_version_1(path, document)


def yarn_lock(path: str, text: str) -> Iterator[Package]:
    """The packages of yarn.lock, classic and later, line by line."""
    name = ""
    for line in text.split("\n"):
        if line and not line[0].isspace():
            head = _YARN_HEAD.match(line)
            name = head["name"] if head and not line.startswith("#") and "@workspace:" not in line else ""
        else:
            version = _YARN_VERSION.match(line)
            if name and version:
                yield Package("npm", name, version["version"], path, 0, "locked")
                name = ""


def go_mod(path: str, text: str) -> Iterator[Package]:
    """The requirements of go.mod; a module named there is pinned by the format itself."""
    block = ""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        opened = re.match(r"^(\w+)\s*\($", line)
        if opened:
            block = opened[1]
        elif line == ")":
            block = ""
        elif block == "require" or line.startswith("require "):
            match = _GO_REQUIRE.match(line)
            if match:
                scope: Scope = "locked" if "indirect" in (match["note"] or "") else "runtime"
                yield Package("Go", match["name"], match["version"].removeprefix("v"), path, number, scope)


def cargo_toml(path: str, text: str) -> Iterator[Package]:
    """The dependencies of Cargo.toml. A bare "1.2.3" there means ^1.2.3, so only "=" pins. Raises Malformed."""
    document = read_toml(text)
    tables: list[tuple[Mapping[str, Any], Scope]] = [
        (table_of(document, "dependencies"), "runtime"),
        (table_of(table_of(document, "workspace"), "dependencies"), "runtime"),
        (table_of(document, "build-dependencies"), "development"),
        (table_of(document, "dev-dependencies"), "development"),
    ]
    for table, scope in tables:
        for name, entry in table.items():
            details = as_table(entry) or {"version": entry}
            if "path" in details or details.get("workspace") is True:
                continue
            spec = str(details.get("version", ""))
            exact = spec.startswith("=") and bool(_EXACT.match(spec.removeprefix("=").strip()))
            version = spec.removeprefix("=").strip() if exact else None
            name = str(details.get("package") or name)
            yield Package("crates.io", name, version, path, 0, scope, str(details.get("git", "")))


def cargo_lock(path: str, text: str) -> Iterator[Package]:
    """The packages of Cargo.lock, without the workspace's own (they have no source). Raises Malformed."""
    entries: object = read_toml(text).get("package", [])
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        package = as_table(entry)
        source = str(package.get("source", ""))
        if source and "name" in package and "version" in package:
            origin = source if source.startswith("git+") else ""
            yield Package("crates.io", str(package["name"]), str(package["version"]), path, 0, "locked", origin)


def _lock_version_1(path: str, document: Mapping[str, Any]) -> Iterator[Package]:
    work = [table_of(document, "dependencies")]
    while work:
        for name, entry in work.pop().items():
            details = as_table(entry)
            version = str(details.get("version", ""))
            if _EXACT.match(version):
                yield Package("npm", name, version, path, 0, _locked(details))
            elif version and not version.startswith(_NODE_LOCAL):
                yield Package("npm", name, None, path, 0, _locked(details), version)
            work.append(table_of(details, "dependencies"))


def _locked(details: Mapping[str, Any]) -> Scope:
    return "development" if details.get("dev") is True else "locked"


def _origin(details: Mapping[str, Any]) -> str:
    resolved = str(details.get("resolved", ""))
    return resolved if resolved.startswith(("git+", "git:", "git@")) else ""


def _json(text: str) -> Mapping[str, Any]:
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise Malformed("no JSON object")
    return cast("Mapping[str, Any]", loaded)
