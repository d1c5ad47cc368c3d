"""Grafana's dashboards as values: one module a dashboard, written to deploy/grafana by `--write` (__main__.py)."""
