"""The rules, alerts and dashboards that are delivered: Prometheus takes them, and they speak of what there is."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from actors.edge.monitoring.dashboards.__main__ import DASHBOARDS, FOLDER, main, rendered
from tests.kit.promtool import (
    PROMETHEUS,
    ROOT,
    RULES,
    documented,
    expressions,
    family_of,
    labels_in,
    panel_expressions,
    promtool,
    raw_metrics,
    recorded_metrics,
    rules,
)

SCRAPED = {"job", "instance", "le", "alertname", "alertstate"}  # Labels that Prometheus adds.


def test_promtool_takes_configuration_and_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", *sorted(RULES.glob("*.yml")))


def test_rules_and_alerts_do_what_they_say() -> None:
    promtool("test", "rules", *sorted((RULES / "tests").glob("*.yml")))


def test_every_alert_is_tested_both_ways() -> None:
    tests: list[dict[str, Any]] = yaml.safe_load((RULES / "tests/alerts.yml").read_text("utf-8"))["tests"]
    outcomes: dict[str, set[bool]] = {}
    for case in tests:
        for check in case["promql_expr_test"]:
            (alert,) = re.findall(r'alertname="(\w+)"', check["expr"])
            outcomes.setdefault(alert, set()).add(bool(check["exp_samples"]))
    assert outcomes == {rule["alert"]: {True, False} for rule in rules("alerts")}


def test_every_alert_says_what_to_do_next_and_has_its_page_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (PROMETHEUS / "README.md").read_text("utf-8"), re.MULTILINE)
    alerts = rules("alerts")
    assert sorted(headings) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        name, words = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert words.keys() == {"summary", "description", "runbook"}, name
        assert len(words["description"]) > 60, name
        assert words["runbook"] == f"deploy/prometheus/README.md#{name.lower()}"


def test_commands_that_alerts_name_exist() -> None:
    command_line = {path.stem for path in (ROOT / "actors/cli").glob("*.py")}
    said = (PROMETHEUS / "README.md").read_text("utf-8") + (RULES / "alerts.yml").read_text("utf-8")
    named = set(re.findall(r"`troupe ([a-z]+)", said))
    assert named
    assert named <= command_line


def test_expressions_ask_for_metrics_and_labels_that_there_are() -> None:
    metrics = documented()
    recorded = {rule["record"]: rule["expr"] for rule in rules("recording")}
    for where, expression in expressions():
        raw = {family_of(name, metrics) for name in raw_metrics(expression)}
        assert raw <= metrics.keys(), where
        used = recorded_metrics(expression)
        assert used <= recorded.keys(), where
        labels = {label for name in raw for label in metrics[name]} | SCRAPED
        labels |= {label for name in used for label in labels_in(recorded[name])}
        assert labels_in(expression) <= labels, where


def test_recording_rules_are_named_by_level_metric_and_operation() -> None:
    for rule in rules("recording"):
        level, metric, operation = rule["record"].split(":")
        grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        by = {label.strip() for group in grouped for label in group.split(",")} - {"le"}
        assert ({*level.split("_")} if level != "troupe" else set[str]()) == by, rule["record"]
        assert metric
        assert re.fullmatch(r"\w*(rate|increase|ratio|p\d+_|mean|max|day)\w*", operation), rule["record"]


def test_promtool_takes_every_expression_of_a_panel(tmp_path: Path) -> None:
    checked = [{"record": f"panel:p{n}:check", "expr": expr} for n, (_, expr) in enumerate(panel_expressions())]
    assert len(checked) > 40
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": checked}]}), "utf-8")
    promtool("check", "rules", file)


def test_dashboards_on_disk_are_those_of_their_modules() -> None:
    assert main([]) == 0, "python -P -m actors.edge.monitoring.dashboards --write"
    assert {path.name for path in FOLDER.iterdir()} == rendered().keys()


def test_dashboards_are_what_grafana_reads() -> None:
    titles: set[str] = set()
    for dashboard, text in zip(DASHBOARDS, rendered().values(), strict=True):
        model = json.loads(text)
        assert model["uid"] == dashboard.uid
        assert len(model["uid"]) <= 40
        titles.add(model["title"])
        panels = model["panels"]
        assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
        variables = {variable["name"] for variable in model["templating"]["list"]}
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not taken & cells, panel["title"]
            taken |= cells
            if panel["type"] == "row":
                continue
            assert panel["type"] in ("stat", "timeseries")
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
            for target in panel["targets"]:
                assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables
    assert len(titles) == len(DASHBOARDS)


def test_provisioning_is_yaml_for_grafana() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert source["type"] == "prometheus"
    (provider,) = yaml.safe_load((folder / "dashboards/troupe.yml").read_text("utf-8"))["providers"]
    assert provider["type"] == "file"
