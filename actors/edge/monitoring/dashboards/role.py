"""One role: its work, its tools, its models, what they cost, and what broke."""

from actors.edge.monitoring.dashboards.panels import RATE, Dashboard, Panel, Query, Row, Variable

_NOW = Row(
    "Now",
    (
        Panel(
            "Commands/s", "Commands settled for actors of this role.",
            (Query('sum(kind:troupe_commands:rate5m{kind="$role"})'),), "ops", stat=True, width=6,
        ),
        Panel(
            "Quarantines, 1 h", "Commands that broke an actor of this role.",
            (Query('sum(kind:troupe_quarantines:increase1h{kind="$role"})'),), stat=True, bad=1, width=6,
        ),
        Panel(
            "Troubled", "1 while more than ten of its commands break in a minute.",
            (Query('max(troupe_kind_troubled{kind="$role"})'),), "bool_yes_no", stat=True, bad=1, width=6,
        ),
        Panel(
            "Cost, 24 h", "US dollars by list price, of this role's completions.",
            (Query('sum(role:troupe_llm_cost_usd:increase1d{role="$role"})'),), "currencyUSD", stat=True, width=6,
        ),
    ),
)  # fmt: skip
_WORK = Row(
    "Work",
    (
        Panel(
            "Commands by outcome", "What its commands came to. Refusals are answers, not faults.",
            (Query('kind_outcome:troupe_commands:rate5m{kind="$role"}', "{{outcome}}"),), "ops", stacked=True,
        ),
        Panel(
            "Events", "Events a second in the streams of its actors.",
            (Query('kind:troupe_events_written:rate5m{kind="$role"}', "events"),), "ops",
        ),
        Panel(
            "Turns that lost", "Units decided again, by why.",
            (
                Query(
                    f'sum by (outcome) (rate(troupe_turns_total{{kind="$role", outcome!="committed"}}[{RATE}]))',
                    "{{outcome}}",
                ),
            ),
            "ops",
        ),
        Panel(
            "Tool runs", "Runs of its tools by what they came to.",
            (
                Query(
                    f'sum by (tool, status) (rate(troupe_tool_runs_total{{role="$role"}}[{RATE}]))',
                    "{{tool}} {{status}}",
                ),
            ),
            "ops", width=12,
        ),
        Panel(
            "Turned away", "Commands that were answered `busy` and left no trace.",
            (Query(f'sum by (code) (rate(troupe_commands_turned_away_total{{kind="$role"}}[{RATE}]))', "{{code}}"),),
            "ops", width=12,
        ),
    ),
)  # fmt: skip
_MODELS = Row(
    "Language models",
    (
        Panel(
            "Requests", "Requests of this role by provider and outcome.",
            (
                Query(
                    f'sum by (provider, outcome) (rate(troupe_llm_requests_total{{role="$role"}}[{RATE}]))',
                    "{{provider}} {{outcome}}",
                ),
            ),
            "ops",
        ),
        Panel(
            "Tokens", "Tokens a second that it sent (in) and got (out).",
            (Query('role_direction:troupe_llm_tokens:rate5m{role="$role"}', "{{direction}}"),), "cps",
        ),
        Panel(
            "Cost", "US dollars in the 24 hours before each moment.",
            (Query('role:troupe_llm_cost_usd:increase1d{role="$role"}', "{{role}}"),), "currencyUSD",
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    "troupe-role",
    "Troupe: one role",
    "A role's work, tools, models and cost.",
    (_NOW, _WORK, _MODELS),
    (Variable("role", "Role", "label_values(troupe_llm_cost_usd_total, role)"),),
)
