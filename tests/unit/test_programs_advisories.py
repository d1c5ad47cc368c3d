"""advisories.lookup against a small service of our own on loopback: what it is asked, what comes of its answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from actors.services.tools import advisories
from protocol.tools import ToolResult
from tests.kit.tool_inputs import given

PACKAGES = [
    {"ecosystem": "PyPI", "name": "django", "version": "1.0", "pinned": True, "source": "requirements.txt"},
    {"ecosystem": "PyPI", "name": "six", "version": "1.16.0", "pinned": True, "source": "requirements.txt"},
    {"ecosystem": "npm", "name": "left-pad", "version": None, "pinned": False, "source": "package.json"},
]


class Service:
    """Answers every request with `status` and `body` (made from the queries if None); `asked` keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.status = 200
        self.body: bytes | None = None
        self.named: dict[str, list[str]] = {}
        self.hold = threading.Event()
        self.hold.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append((self.path, asked))
                service.hold.wait()
                answer = service.body if service.body is not None else service.answer(asked)
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def answer(self, asked: Any) -> bytes:
        names = [self.named.get(query["package"]["name"], []) for query in asked["queries"]]
        return json.dumps(
            {"results": [{"vulns": [{"id": each} for each in ids]} if ids else {} for ids in names]}
        ).encode()


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.hold.set()
    running.server.shutdown()
    running.server.server_close()
    thread.join()


async def looked_up(url: str, packages: list[dict[str, Any]] | None = None) -> ToolResult:
    listed = ToolResult("ok", "", data={"packages": PACKAGES if packages is None else packages})
    return await advisories.lookup(given("advisories.lookup", {"dependencies.list": listed}), url)


async def test_a_named_package_is_a_finding_of_high_severity(service: Service) -> None:
    service.named = {"django": ["PYSEC-2", "GHSA-1"]}
    result = await looked_up(service.url)
    assert result.status == "ok"
    assert (result.facts["advisories"], result.facts["packages_affected"], result.facts["packages_checked"]) == (
        2,
        1,
        2,
    )
    assert result.facts["packages_unpinned"] == 1
    assert [(each.severity, each.message) for each in result.findings] == [
        ("high", "django 1.0 (PyPI) is named by GHSA-1, PYSEC-2")
    ]
    assert result.data["affected"][0]["ids"] == ["GHSA-1", "PYSEC-2"]
    path, asked = service.asked[0]
    assert path == "/v1/querybatch"
    assert asked["queries"][0] == {"package": {"ecosystem": "PyPI", "name": "django"}, "version": "1.0"}


async def test_no_advisory_is_said_with_its_base(service: Service) -> None:
    result = await looked_up(service.url)
    assert (result.facts["advisories"], result.findings) == (0, ())
    assert result.summary == "0 advisories for 0 of 2 pinned packages; 1 packages not looked up"


async def test_many_packages_are_asked_in_batches(service: Service) -> None:
    packages = [{"ecosystem": "npm", "name": f"p{number:03}", "version": "1.0.0"} for number in range(250)]
    service.named = {"p249": ["GHSA-9"]}
    result = await looked_up(service.url, packages)
    assert [len(asked["queries"]) for _, asked in service.asked] == [100, 100, 50]
    assert result.data["affected"][0]["name"] == "p249"


async def test_further_pages_are_said(service: Service) -> None:
    page = {"vulns": [{"id": "GHSA-1"}], "next_page_token": "more"}
    service.body = json.dumps({"results": [page, {}]}).encode()
    result = await looked_up(service.url)
    assert result.summary.startswith("at least 1 advisory")
    assert "and more" in result.findings[0].message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (404, b"{}"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"results": []}'),
        (200, b'{"results": [{"vulns": 3}, {}]}'),
        (200, b'{"results": ["x", {}]}'),
    ],
)
async def test_a_bad_answer_is_unreachable_never_clean(service: Service, status: int, body: bytes) -> None:
    service.status, service.body = status, body
    result = await looked_up(service.url)
    assert result.status == "could_not_run"
    assert result.summary.startswith("advisories unreachable")
    assert (result.facts, result.findings) == ({}, ())


async def test_a_silent_service_is_unreachable(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisories, "LOOKUP_TIMEOUT_S", 0.2)
    service.hold.clear()
    result = await looked_up(service.url)
    assert (result.status, result.summary[:22]) == ("could_not_run", "advisories unreachable")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "file:///etc/passwd", "nonsense", "http://[::1", "http://127.0.0.1:x"]
)
async def test_what_cannot_be_reached_is_unreachable(url: str) -> None:
    result = await looked_up(url)
    assert (result.status, result.summary[:22]) == ("could_not_run", "advisories unreachable")


async def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await looked_up(service.url)).status == "ok"


async def test_an_empty_address_is_not_consulted() -> None:
    result = await looked_up("")
    assert (result.status, result.summary) == (
        "could_not_run",
        "advisories not consulted: TROUPE_ADVISORIES_URL is empty",
    )


@pytest.mark.parametrize("packages", [[], [PACKAGES[2]], [{"odd": 1}]])
async def test_nothing_pinned_does_not_apply(packages: list[dict[str, Any]]) -> None:
    assert (await looked_up("http://127.0.0.1:9", packages)).status == "not_applicable"


async def test_without_a_list_it_does_not_apply() -> None:
    result = await advisories.lookup(given("advisories.lookup"), "http://127.0.0.1:9")
    assert result.status == "not_applicable"
