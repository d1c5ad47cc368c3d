"""Writes the dashboards as files (`--write`), or says which of them differ."""

import sys
from collections.abc import Sequence
from pathlib import Path

from actors.edge.monitoring.dashboards import company, cost, log, role
from actors.edge.monitoring.dashboards.panels import Dashboard, render

FOLDER = Path(__file__).parents[4] / "deploy" / "grafana" / "dashboards"
DASHBOARDS: tuple[Dashboard, ...] = (company.DASHBOARD, role.DASHBOARD, cost.DASHBOARD, log.DASHBOARD)


def rendered() -> dict[str, str]:
    """Every file that should be in `FOLDER`, by its name."""
    return {f"{dashboard.uid}.json": render(dashboard) for dashboard in DASHBOARDS}


def main(arguments: Sequence[str]) -> int:
    """1 when a file differs, 2 for other arguments."""
    if list(arguments) not in ([], ["--write"]):
        sys.stderr.write("usage: python -P -m actors.edge.monitoring.dashboards [--write]\n")
        return 2
    wanted = rendered()
    actual = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    differing = sorted(name for name in wanted.keys() | actual.keys() if wanted.get(name) != actual.get(name))
    if not arguments:
        sys.stderr.writelines(f"{name} differs from its module; write it with --write\n" for name in differing)
        return 1 if differing else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], "utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
