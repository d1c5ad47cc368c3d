"""advisories.lookup: ask an OSV service which published advisories name the pinned dependencies.

What could not be asked is never called clean: a service that does not answer, answers with an error or with something
else than OSV's format ends in `could_not_run`, with a summary that begins "advisories unreachable".
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit

import anyio

from actors.services.tools.analysis.findings import bounded, finding, noun, severity_facts
from protocol.tools import Fact, Finding, ToolInput, ToolResult

LOOKUP_TIMEOUT_S = 8.0  # for all batches together
BATCH_PACKAGES = 100  # of one request
PACKAGES_MAX = 2_000  # looked up; more are counted as not looked up
ANSWER_BYTES_MAX = 8_000_000  # of one answer
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
IDS_SHOWN_MAX = 5  # of one package in its finding; all are in `data`

_Package = tuple[str, str, str]  # ecosystem, name, version


@dataclass(frozen=True, slots=True)
class _Named:
    """The advisories that name a package; `more` when the service has further pages of them."""

    ids: tuple[str, ...]
    more: bool


class Unreachable(Exception):
    """The service gave no answer that can be used; the text says what happened."""


async def lookup(given: ToolInput, url: str) -> ToolResult:
    """Advisories for the packages of dependencies.list. `url` is the service's root, "" when none is to be asked."""
    prior = given.prior.get("dependencies.list")
    if prior is None or prior.result.status != "ok":
        why = "has no result in this task" if prior is None else prior.result.summary
        return ToolResult("not_applicable", f"no dependencies to look up: dependencies.list: {why}")
    packages, unpinned = _packages(prior.result.data.get("packages"))
    if not packages:
        return ToolResult("not_applicable", f"no pinned dependencies to look up; {unpinned} without a version")
    if not url:
        return ToolResult("could_not_run", "advisories not consulted: TROUPE_ADVISORIES_URL is empty")
    asked = packages[:PACKAGES_MAX]
    try:
        with anyio.fail_after(LOOKUP_TIMEOUT_S):
            # The thread may outlive the deadline by its own socket timeout; it holds nothing but its socket.
            found = await anyio.to_thread.run_sync(_ask_all, url, asked, abandon_on_cancel=True)
    except TimeoutError:
        return ToolResult("could_not_run", f"advisories unreachable: no answer within {LOOKUP_TIMEOUT_S:g} s")
    except Unreachable as error:
        return ToolResult("could_not_run", f"advisories unreachable: {error}")
    return _result(found, asked, unpinned, len(packages) - len(asked))


def _packages(listed: object) -> tuple[list[_Package], int]:
    """The pinned packages, each once and sorted, and how many have no version."""
    pinned: set[_Package] = set()
    without = 0
    for entry in cast("Sequence[object]", listed) if isinstance(listed, list | tuple) else ():
        package = _table(entry)
        if package.get("version") and package.get("name") and package.get("ecosystem"):
            pinned.add((str(package["ecosystem"]), str(package["name"]), str(package["version"])))
        else:
            without += 1
    return sorted(pinned), without


def _ask_all(url: str, packages: Sequence[_Package]) -> dict[_Package, _Named]:
    until = time.monotonic() + LOOKUP_TIMEOUT_S
    found: dict[_Package, _Named] = {}
    for start in range(0, len(packages), BATCH_PACKAGES):
        batch = packages[start : start + BATCH_PACKAGES]
        left = until - time.monotonic()
        if left <= 0:
            raise Unreachable(f"{start} of {len(packages)} packages were answered within {LOOKUP_TIMEOUT_S:g} s")
        found |= zip(batch, _ask(url, batch, left), strict=True)
    return {package: named for package, named in found.items() if named.ids}


def _ask(url: str, batch: Sequence[_Package], timeout_s: float) -> list[_Named]:
    try:
        address = urlsplit(url)
    except ValueError as error:
        raise Unreachable(f"TROUPE_ADVISORIES_URL is no address: {error}") from error
    if address.scheme not in ("http", "https"):
        raise Unreachable("TROUPE_ADVISORIES_URL is no http or https address")
    queries = [{"package": {"ecosystem": eco, "name": name}, "version": version} for eco, name, version in batch]
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        f"{url.rstrip('/')}/v1/querybatch",
        data=json.dumps({"queries": queries}).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "troupe"},
        method="POST",
    )
    # A service on this machine is never reached through a proxy, whatever the environment names.
    local = (address.hostname or "") in _LOOPBACK
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            content = answer.read(ANSWER_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unreachable(f"the service answered {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(str(getattr(error, "reason", "") or error) or type(error).__name__) from error
    if len(content) > ANSWER_BYTES_MAX:
        raise Unreachable(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return _ids(content, len(batch))


def _ids(content: bytes, expected: int) -> list[_Named]:
    """The advisory ids of each query, in the queries' order. Source of the format: the OSV API, querybatch."""
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreachable("the answer is no JSON") from error
    results = _table(document).get("results")
    if not isinstance(results, list) or len(cast("list[object]", results)) != expected:
        raise Unreachable("the answer is not in OSV's format")
    found: list[_Named] = []
    for entry in cast("list[object]", results):
        answer = _table(entry)
        listed: object = answer.get("vulns") or []
        if not isinstance(listed, list) or (entry is not None and not isinstance(entry, dict)):
            raise Unreachable("the answer is not in OSV's format")
        names = {str(_table(each).get("id", "")) for each in cast("list[object]", listed)}
        found.append(_Named(tuple(sorted(names - {""})), bool(answer.get("next_page_token"))))
    return found


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _result(found: Mapping[_Package, _Named], asked: Sequence[_Package], unpinned: int, omitted: int) -> ToolResult:
    findings = [_finding(package, named) for package, named in sorted(found.items(), key=_by_package)]
    advisories = len({each for named in found.values() for each in named.ids})
    facts: dict[str, Fact] = {
        "advisories": advisories,
        "packages_affected": len(found),
        "packages_checked": len(asked),
        "packages_unpinned": unpinned,
        "packages_not_checked": omitted,
    }
    least = "at least " if any(named.more for named in found.values()) else ""
    said = (
        f"{least}{noun(advisories, 'advisory', 'advisories')} for {len(found)} of {noun(len(asked), 'pinned package')}"
    )
    if unpinned or omitted:
        said += f"; {unpinned + omitted} packages not looked up"
    affected = [
        {"ecosystem": ecosystem, "name": name, "version": version, "ids": list(named.ids), "more": named.more}
        for (ecosystem, name, version), named in sorted(found.items(), key=_by_package)
    ]
    return ToolResult(
        "ok", said, facts=facts | severity_facts(findings), findings=bounded(findings), data={"affected": affected}
    )


def _finding(package: _Package, named: _Named) -> Finding:
    ecosystem, name, version = package
    shown = ", ".join(named.ids[:IDS_SHOWN_MAX])
    further = len(named.ids) - IDS_SHOWN_MAX
    if further > 0 or named.more:
        shown += f" and {further} more" if further > 0 and not named.more else " and more"
    return finding("high", "advisory", f"{name} {version} ({ecosystem}) is named by {shown}")


def _by_package(item: tuple[_Package, _Named]) -> _Package:
    return item[0]
