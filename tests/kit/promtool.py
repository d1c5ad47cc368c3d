"""Prometheus' own tools, where this machine has them, and what rules and dashboards ask for."""

import re
import shutil
import subprocess
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.edge.monitoring import company
from actors.edge.monitoring.dashboards.__main__ import DASHBOARDS

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "rules"
CHECK_S_MAX = 30.0
NEEDS = "{} is not installed: `apt-get install prometheus` brings it (continuous integration does)"

_RAW = re.compile(r"(?<![\w:])troupe_\w+(?![\w:])")
_RECORDED = re.compile(r"(?<![\w:])[a-z_]+:troupe_\w+:\w+|(?<![\w:])troupe:\w+:\w+")
_QUOTED = re.compile(r'"[^"]*"')


def need(tool: str) -> str:
    """Where it is; skips the test where it is not."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(NEEDS.format(tool))
    return found


def promtool(*arguments: str | Path) -> None:
    """It has nothing to say against it."""
    command = [need("promtool"), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S_MAX)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of one file."""
    groups: list[dict[str, Any]] = yaml.safe_load((RULES / f"{name}.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Where each expression of a dashboard stands, and the expression as Grafana would send it."""
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            for panel in row.panels:
                for number, query in enumerate(panel.queries):
                    where = f"{dashboard.uid}/{panel.title}/{number}"
                    yield where, query.expr.replace("$role", "tester")


def expressions() -> Iterator[tuple[str, str]]:
    """All there are, of rules and dashboards."""
    for rule in (*rules("recording"), *rules("alerts")):
        yield rule.get("record") or rule["alert"], rule["expr"]
    yield from panel_expressions()


def raw_metrics(expression: str) -> set[str]:
    """The names in it that a scrape must have."""
    return set(_RAW.findall(_QUOTED.sub('""', expression)))


def recorded_metrics(expression: str) -> set[str]:
    """The names in it that a rule must record."""
    return set(_RECORDED.findall(_QUOTED.sub('""', expression)))


def labels_in(expression: str) -> set[str]:
    """The labels that it selects or groups by."""
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(matched)


def documented() -> dict[str, set[str]]:
    """Every metric with its labels, by the table that tests/unit/test_metrics.py holds to what there is."""
    readme = Path(company.__file__).with_name("README.md").read_text("utf-8")
    table = re.findall(r"^\| `(troupe_\w+)` \| ([\w, ]*?) ?\|", readme, re.MULTILINE)
    return {name: {label for label in labels.split(", ") if label} for name, labels in table}


def family_of(name: str, known: Container[str]) -> str:
    """The metric that a series of that name is of."""
    bare = re.sub(r"_(bucket|sum|count)$", "", name)
    return name if name in known or bare not in known else bare
