"""Writes the dashboards as files (`--write`), or says which of them differ."""

import sys
from collections.abc import Sequence
from pathlib import Path

from actors.edge.monitoring.dashboards import company, cost, log, role
from actors.edge.monitoring.dashboards.panels import Dashboard, render
from protocol import golden

FOLDER = Path(__file__).parents[4] / "deploy" / "grafana" / "dashboards"
DASHBOARDS: tuple[Dashboard, ...] = (company.DASHBOARD, role.DASHBOARD, cost.DASHBOARD, log.DASHBOARD)


def rendered() -> dict[str, str]:
    """Every file that should be in `FOLDER`, by its name."""
    return {f"{dashboard.uid}.json": render(dashboard) for dashboard in DASHBOARDS}


def main(arguments: Sequence[str]) -> int:
    """1 when a file differs, 2 for other arguments."""
    differs = "{name} differs from its module; write it with --write"
    return golden.keep(FOLDER, rendered(), arguments, "actors.edge.monitoring.dashboards", differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
