"""Dependencies of Python projects: requirements files, pyproject.toml, uv.lock, poetry.lock, Pipfile.lock.

Requirement lines follow PEP 508; what pip adds to them (options, hashes, continuations) is understood where it matters.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from actors.services.tools.analysis.documents import as_table, read_toml, table_of
from actors.services.tools.analysis.package import Malformed, Package, Scope

_NAME = r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_REQUIREMENT = re.compile(
    rf"^{_NAME}\s*(?:\[[^\]]*\])?\s*(?:@\s*(?P<url>\S+)|\(?(?P<spec>(?:[<>=!~][^;)]*)?)\)?)\s*(?:;.*)?$"
)
_PIN = re.compile(r"^===?\s*(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)$")
_URL = re.compile(r"^(?:git|hg|svn|bzr)\+|^(?:https?|file|ssh)://", re.IGNORECASE)
_EGG = re.compile(rf"[#&]egg={_NAME}")


def requirements(path: str, text: str) -> Iterator[Package]:
    """The requirements of a pip requirements file; lines that are none (options, paths) are passed over."""
    scope: Scope = "development" if re.search(r"(dev|test|lint|doc|ci|typing)", path.rsplit("/", 1)[-1]) else "runtime"
    number, pending, started = 0, "", 0
    for raw in text.split("\n"):
        number += 1
        started = started if pending else number
        joined = pending + re.sub(r"(^|\s)#.*$", "", raw).strip()
        if joined.endswith("\\"):
            pending = joined[:-1].rstrip() + " "
            continue
        pending = ""
        package = _line(path, joined, started, scope)
        if package is not None:
            yield package


def pyproject(path: str, text: str) -> Iterator[Package]:
    """Dependencies of [project], its extras, dependency groups, the build, and Poetry's tables. Raises Malformed."""
    document = read_toml(text)
    project = table_of(document, "project")
    yield from _listed(path, project.get("dependencies"), "runtime")
    for extra in table_of(project, "optional-dependencies").values():
        yield from _listed(path, extra, "development")
    for group in table_of(document, "dependency-groups").values():
        yield from _listed(path, group, "development")
    yield from _listed(path, table_of(document, "build-system").get("requires"), "development")
    poetry = table_of(table_of(document, "tool"), "poetry")
    yield from _poetry(path, table_of(poetry, "dependencies"), "runtime")
    yield from _poetry(path, table_of(poetry, "dev-dependencies"), "development")
    for group in table_of(poetry, "group").values():
        inner = as_table(group)
        yield from _poetry(path, table_of(inner, "dependencies"), "development")


def toml_lock(path: str, text: str) -> Iterator[Package]:
    """The packages of uv.lock or poetry.lock, without the project itself. Raises Malformed."""
    entries: object = read_toml(text).get("package", [])
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        package = cast("Mapping[str, Any]", entry)
        source = table_of(package, "source")
        if {"virtual", "editable", "directory"} & set(source):
            continue
        origin = next((str(source[kind]) for kind in ("git", "url") if kind in source and "registry" not in source), "")
        if source.get("type") == "legacy":
            origin = ""  # Poetry's word for another registry.
        if "name" in package and "version" in package:
            yield _package(path, str(package["name"]), str(package["version"]), "locked", origin)


def pipfile_lock(path: str, text: str) -> Iterator[Package]:
    """The packages of Pipfile.lock. Raises Malformed."""
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from error
    document = as_table(loaded)
    for section, scope in (("default", "locked"), ("develop", "development")):
        for name, entry in table_of(document, section).items():
            details = as_table(entry)
            pin = _PIN.match(str(details.get("version", "")))
            yield _package(
                path, name, pin["version"] if pin else None, cast("Scope", scope), str(details.get("git", ""))
            )


def requirement(path: str, text: str, scope: Scope, line: int = 0) -> Package | None:
    """One PEP 508 requirement; None when the text is none."""
    match = _REQUIREMENT.match(text.strip())
    if match is None:
        return None
    if match["url"]:
        return _package(path, match["name"], None, scope, match["url"], line)
    pin = _PIN.match((match["spec"] or "").strip())
    wild = pin is not None and pin["version"].endswith(".*")
    return _package(path, match["name"], pin["version"] if pin and not wild else None, scope, "", line)


def _line(path: str, text: str, number: int, scope: Scope) -> Package | None:
    bare = re.split(r"\s--hash[=\s]|\s--\w", text, maxsplit=1)[0].strip()
    if bare.startswith(("-e ", "--editable ", "--editable=")):
        bare = re.split(r"[ =]", bare, maxsplit=1)[1].strip()
    if not bare or bare.startswith(("-", ".", "/")):
        return None
    if _URL.match(bare):
        egg = _EGG.search(bare)
        name = egg["name"] if egg else re.split(r"[@#?]", bare.rstrip("/").rsplit("/", 1)[-1])[0].removesuffix(".git")
        return _package(path, name or bare, None, scope, bare, number)
    return requirement(path, bare, scope, number)


def _listed(path: str, entries: object, scope: Scope) -> Iterator[Package]:
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        package = requirement(path, entry, scope) if isinstance(entry, str) else None
        if package is not None:
            yield package


def _poetry(path: str, table: Mapping[str, Any], scope: Scope) -> Iterator[Package]:
    for name, entry in table.items():
        if name.lower() == "python":
            continue
        details = as_table(entry) or {"version": entry}
        if "path" in details:
            continue
        pin = _PIN.match(str(details.get("version", "")))
        origin = str(details.get("git") or details.get("url") or "")
        yield _package(path, name, pin["version"] if pin else None, scope, origin)


def _package(path: str, name: str, version: str | None, scope: Scope, origin: str = "", line: int = 0) -> Package:
    # PEP 503: one spelling for names that mean the same project.
    return Package("PyPI", re.sub(r"[-_.]+", "-", name).lower(), version, path, line, scope, origin)
