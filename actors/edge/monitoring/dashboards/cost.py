"""What language models cost, who spends it, and how well they answer."""

from actors.edge.monitoring.dashboards.panels import RATE, Dashboard, Panel, Query, Row

_BUDGET = Row(
    "Budget",
    (
        Panel(
            "Spent, 24 h", "US dollars by list price, of completions whose price is known.",
            (Query("troupe:llm_cost_usd:increase1d"),), "currencyUSD", stat=True, width=6,
        ),
        Panel(
            "Of the budget", "Share of the day's budget (troupe:llm_budget_usd:day in rules/recording.yml).",
            (Query("troupe:llm_cost_usd:increase1d / scalar(troupe:llm_budget_usd:day)"),),
            "percentunit", stat=True, warn=0.8, bad=1, width=6,
        ),
        Panel(
            "A day at this rate", "The last hour, 24 times.",
            (Query("24 * troupe:llm_cost_usd:increase1h"),), "currencyUSD", stat=True, width=6,
        ),
        Panel(
            "Without a price, 24 h", "Completions whose price nobody knows: they cost something, and are not counted.",
            (Query("sum(increase(troupe_llm_unpriced_total[1d]))"),), stat=True, warn=1, width=6,
        ),
    ),
)  # fmt: skip
_SPENDERS = Row(
    "Who spends",
    (
        Panel(
            "Cost by role, 24 h", "US dollars in the 24 hours before each moment.",
            (Query("role:troupe_llm_cost_usd:increase1d", "{{role}}"),), "currencyUSD", stacked=True, width=12,
        ),
        Panel(
            "Cost by provider, 1 h", "US dollars in the hour before each moment.",
            (Query("sum by (provider) (increase(troupe_llm_cost_usd_total[1h]))", "{{provider}}"),),
            "currencyUSD", stacked=True, width=12,
        ),
        Panel(
            "Tokens in by role", "Tokens a second that providers read.",
            (Query('role_direction:troupe_llm_tokens:rate5m{direction="in"}', "{{role}}"),),
            "cps", stacked=True, width=12,
        ),
        Panel(
            "Tokens out by role", "Tokens a second that providers wrote.",
            (Query('role_direction:troupe_llm_tokens:rate5m{direction="out"}', "{{role}}"),),
            "cps", stacked=True, width=12,
        ),
    ),
)  # fmt: skip
_ANSWERS = Row(
    "How they answer",
    (
        Panel(
            "Requests", "Requests a second by provider and outcome.",
            (
                Query(
                    f"sum by (provider, outcome) (rate(troupe_llm_requests_total[{RATE}]))", "{{provider}} {{outcome}}"
                ),
            ),
            "ops",
        ),
        Panel(
            "Errors", "Share of the requests that bring no completion.",
            (Query("provider:troupe_llm_errors:ratio5m", "{{provider}}"),), "percentunit", warn=0.05, bad=0.2,
        ),
        Panel(
            "Time of a request", "With its retries; 95 of 100 are quicker.",
            (Query("provider:troupe_llm_request_seconds:p95_5m", "{{provider}}"),), "s",
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    "troupe-cost",
    "Troupe: cost",
    "What language models cost, who spends it, and how well they answer.",
    (_BUDGET, _SPENDERS, _ANSWERS),
    span="now-24h",
)
