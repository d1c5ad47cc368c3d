"""What dashboards are made of: panels with queries, in rows, as the JSON that Grafana reads (schema 39).

Only what ships with Grafana is used: time series and single figures. The data source is a variable, so that a dashboard
can be imported anywhere. The same values give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from protocol import golden

SCHEMA_VERSION = 39
COLUMNS = 24  # Of Grafana's grid.
STAT_ROWS, GRAPH_ROWS = 4, 8
RATE = "5m"  # The range of rates that no recording rule has.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Unit = Literal[
    "short", "s", "ops", "percentunit", "currencyUSD", "bytes", "cps", "none", "bool_yes_no", "dtdurations"
]  # fmt: skip


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and what its series are called (Grafana's `{{label}}`)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """`stat`: one figure, with colours from `warn` and `bad` on (for `low_is_bad`: below them); else a graph.
    `description` says what is seen and what is normal."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    stat: bool = False
    warn: float | None = None
    bad: float | None = None
    low_is_bad: bool = False
    stacked: bool = False
    width: int = 8


@dataclass(frozen=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the dashboard, filled by a query."""

    name: str
    label: str
    query: str


@dataclass(frozen=True)
class Dashboard:
    """One dashboard. `uid` is its name in addresses, for ever."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    span: str = "now-6h"


def render(dashboard: Dashboard) -> str:
    """The file, with a line end."""
    return golden.document(_model(dashboard))


def _model(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["troupe"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": dashboard.span, "to": "now"},
        "annotations": {"list": [_alerts()]},
        "links": [
            {"type": "dashboards", "title": "Troupe", "tags": ["troupe"], "asDropdown": True, "includeVars": False}
        ],
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "panels": _laid_out(dashboard.rows),
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Troupe.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "step": "60s",
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": "StandardVariableQuery"},
        "definition": variable.query,
        "refresh": 2,  # When the time range changes: roles come with their first command.
        "sort": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
    }


def _laid_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    laid: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        laid.append({
            "id": len(laid) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        })  # fmt: skip
        y, x, deepest = y + 1, 0, 0
        for panel in row.panels:
            height = STAT_ROWS if panel.stat else GRAPH_ROWS
            if x + panel.width > COLUMNS:
                x, y, deepest = 0, y + deepest, 0
            laid.append(_panel(len(laid) + 1, panel, {"x": x, "y": y, "w": panel.width, "h": height}))
            x, deepest = x + panel.width, max(deepest, height)
        y += deepest
    return laid


def _panel(id_: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": query.expr,
                "legendFormat": query.legend or "__auto", "instant": panel.stat, "range": not panel.stat,
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }  # fmt: skip


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)}
    if not panel.stat:
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 5, "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.bad is None else "line"},
        }  # fmt: skip
    return defaults


def _thresholds(panel: Panel) -> dict[str, Any]:
    first, last = ("red", "green") if panel.low_is_bad else ("green", "red")
    steps: list[dict[str, Any]] = [{"color": first, "value": None}]
    if panel.warn is not None:
        steps.append({"color": "yellow", "value": panel.warn})
    if panel.bad is not None:
        steps.append({"color": last, "value": panel.bad})
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.stat:
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background",
            "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto",
        }  # fmt: skip
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
