"""A running company, as Prometheus sees it: a real one where it is installed, its text format everywhere."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from actors.cli.client import Asker
from actors.host import Company, Settings, company
from protocol.registry import RegisterAgent
from protocol.subjects import Address
from tests.kit.prometheus import prometheus
from tests.kit.promtool import documented, expressions, family_of, need, panel_expressions, raw_metrics

NOWHERE = "http://127.0.0.1:9"  # No test asks a service of the world.
OPTIONAL = {"troupe_trace_spans_total"}  # Spans are counted where they are exported.
# What a series of a metric of that type is called.
ENDINGS = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_sum", "_count", "_created"), "gauge": ("",)}


@asynccontextmanager
async def at_work(state: Path) -> AsyncGenerator[Company]:
    """A company that has done something."""
    async with company(Settings(state=state, advisories_url=NOWHERE, metrics_port=0)) as running:
        async with Asker.open(running.nats_url, running.nats_token) as asker:
            await asker.command(Address("default", "registry", "main"), RegisterAgent("a-1", "tester", 1))
        yield running


async def scraped(run: Company) -> str:
    async with aiohttp.ClientSession() as session, session.get(run.metrics_url) as answer:
        return await answer.text()


async def test_a_scrape_has_every_metric_and_all_that_rules_and_panels_ask_for(tmp_path: Path) -> None:
    async with at_work(tmp_path / "state") as run:
        text = await scraped(run)
    check_names(text)
    check_samples(text)
    names = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)) | OPTIONAL
    for where, expression in expressions():
        assert {family_of(name, names) for name in raw_metrics(expression)} <= names, where
    assert "a-1" not in text
    assert "default" not in text


def check_names(text: str) -> None:
    """Every documented metric is there, with the type and the unit that its name says, and no other."""
    known = documented()
    there = types_in(text)
    assert there.keys() == known.keys() - OPTIONAL
    for name, type_ in there.items():
        assert (type_ == "counter") == name.endswith("_total"), name
        if type_ == "histogram":
            assert re.search(r"_(seconds|units|events)$", name), name


def check_samples(text: str) -> None:
    """Each sample is of a metric, is called after its type, and has the documented labels with short words."""
    known, there = documented(), types_in(text)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            metric = next(
                m for m in (name, f"{name.removesuffix('_created')}_total", family_of(name, known),
                            name.removesuffix("_created")) if m in known
            )  # fmt: skip
            base = metric.removesuffix("_total") if there[metric] == "counter" else metric
            assert name.removeprefix(base) in ENDINGS[there[metric]], name
            assert set(sample.labels) - {"le"} == known[metric], name
            for label, value in sample.labels.items():
                assert re.fullmatch(r"[\w.+-]{1,64}", value), (name, label, value)


def types_in(text: str) -> dict[str, str]:
    """The type of each metric."""
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    return {name: type_ for name, type_ in types.items() if not name.endswith("_created")}


async def test_a_real_prometheus_scrapes_a_company_and_evaluates_every_rule(tmp_path: Path) -> None:
    need("prometheus")
    async with (
        at_work(tmp_path / "state") as run,
        prometheus(tmp_path, urlsplit(run.metrics_url).netloc) as watched,
    ):
        await watched.until('up{job="troupe"} == 1')
        ((head,),) = [[float(s["value"][1]) for s in await watched.until("troupe_log_position > 0")]]
        assert head == await run.store.head()
        assert float((await watched.until("troupe:partitions_free:max"))[0]["value"][1]) == 0
        checks = {s["metric"]["check"]: s["value"][1] for s in await watched.until("troupe_check_ok")}
        assert checks == dict.fromkeys(("nats", "postgres", "views", "leases", "progress"), "1")
        # A rule that takes labels from two sides wrongly only fails when it is evaluated.
        await watched.until("troupe:commits:rate5m")
        groups = (await watched.api("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) > 50
        assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
        for _, expression in panel_expressions():
            await watched.query(expression)
