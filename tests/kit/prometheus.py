"""A real Prometheus with the delivered rules, on a free loopback port and a folder of its own."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.abc
import yaml

from tests.kit.promtool import RULES, need

START_S = 20.0
LOOK_AGAIN_S = 0.1
EVERY = "500ms"  # The delivered 5 and 15 s would make a test wait.
_LISTENS = re.compile(rb'msg="Listening on" address=(127\.0\.0\.1:\d+)')


class Prometheus:
    """Its HTTP API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def api(self, path: str, **parameters: str) -> Any:
        """The data of an answer that was a success."""
        async with self._session.get(f"/api/v1/{path}", params=parameters) as answer:
            said = json.loads(await answer.read())
        assert said["status"] == "success", said
        return said["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """What it comes to now: a sample has `metric` and `value`; a scalar is one without labels."""
        data = await self.api("query", query=expression)
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """What it comes to, as soon as that is anything."""
        with anyio.fail_after(START_S):
            while True:
                if found := await self.query(expression):
                    return found
                await anyio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncGenerator[Prometheus]:
    """Scrapes `target` ("127.0.0.1:9464") until the block ends; skips the test where there is no Prometheus."""
    program = need("prometheus")
    config = folder / "prometheus.yml"
    scraped = [{"job_name": "troupe", "static_configs": [{"targets": [target]}]}]
    times = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
    settings = {"global": times, "rule_files": [str(RULES / "*.yml")], "scrape_configs": scraped}
    config.write_text(yaml.safe_dump(settings), "utf-8")
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]  # fmt: skip
    log = folder / "prometheus.log"
    with log.open("wb") as out:
        async with await anyio.open_process(command, stdout=out, stderr=out) as process:
            try:
                address = await _address(process, log)
                async with aiohttp.ClientSession(f"http://{address}") as session:
                    yield Prometheus(session)
            finally:
                if process.returncode is None:
                    process.terminate()


async def _address(process: anyio.abc.Process, log: Path) -> str:
    with anyio.fail_after(START_S):
        while process.returncode is None:
            said = log.read_bytes()
            if b"Server is ready" in said and (found := _LISTENS.search(said)):
                return found[1].decode()
            await anyio.sleep(LOOK_AGAIN_S)
    raise AssertionError(f"Prometheus did not start: {log.read_text('utf-8')}")
