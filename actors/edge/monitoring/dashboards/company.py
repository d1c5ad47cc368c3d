"""The company at a glance: is it there, does it commit, does anything wait, does anything break."""

from actors.edge.monitoring.dashboards.panels import RATE, Dashboard, Panel, Query, Row

_NOW = Row(
    "Now",
    (
        Panel(
            "Processes", "Processes that have said lately that they are there.",
            (Query("max(troupe_workers_alive)"),), stat=True, bad=1, low_is_bad=True, width=4,
        ),
        Panel(
            "Checks failing", "Checks of /readyz that fail, over all processes; 0 is normal.",
            (Query("sum(1 - troupe_check_ok)"),), stat=True, bad=1, width=4,
        ),
        Panel(
            "Free partitions", "Partitions without an owner: their actors decide nothing. Normal for seconds only.",
            (Query("troupe:partitions_free:max"),), stat=True, bad=1, width=4,
        ),
        Panel(
            "Parked actors", "Actors that a command broke, or that this version cannot read; `troupe dead list`.",
            (Query("sum(troupe_actors_parked)"),), stat=True, warn=1, bad=10, width=4,
        ),
        Panel(
            "Doubted effects", "Effects of which only a human can say whether they happened; `troupe effect list`.",
            (Query('sum(effect_state:troupe_effects_open:max{state="unknown"})'),), stat=True, warn=1, bad=10, width=4,
        ),
        Panel(
            "Cost, 24 h", "US dollars by list price; the budget is on the dashboard of costs.",
            (Query("troupe:llm_cost_usd:increase1d"),), "currencyUSD", stat=True, width=4,
        ),
    ),
)  # fmt: skip
_COMMANDS = Row(
    "Commands and commits",
    (
        Panel(
            "Commands by outcome", "Commands settled a second; `known` are repetitions, `quarantined` broke an actor.",
            (Query("sum by (outcome) (kind_outcome:troupe_commands:rate5m)", "{{outcome}}"),), "ops", stacked=True,
        ),
        Panel(
            "Commands by kind", "Commands settled a second, by the kind of their actor.",
            (Query("kind:troupe_commands:rate5m", "{{kind}}"),), "ops", stacked=True,
        ),
        Panel(
            "From command to commit", "From a command's own time to its commit: its waiting and its turn.",
            (Query("troupe:command_commit_seconds:p99_5m", "p99"),), "s",
        ),
        Panel(
            "Commit time", "One batch, from its sending to its answer; the lease bounds it.",
            (Query("troupe:commit_seconds:p50_5m", "p50"), Query("troupe:commit_seconds:p99_5m", "p99")),
            "s", warn=0.25, bad=1,
        ),
        Panel(
            "Commits", "Batches a second, and events in each: the busier, the larger.",
            (Query("troupe:commits:rate5m", "commits/s"), Query("troupe:commit_events:mean5m", "events in one")),
        ),
        Panel(
            "Turns that lost", "Units decided again or refused: conflicts and fences are normal at takeovers only.",
            (Query(f'sum by (outcome) (rate(troupe_turns_total{{outcome!="committed"}}[{RATE}]))', "{{outcome}}"),),
            "ops",
        ),
    ),
)  # fmt: skip
_WAITS = Row(
    "What waits",
    (
        Panel(
            "Partition lag", "Messages of the stream of commands above the lowest cursor; a few at rest.",
            (Query("troupe:partition_lag_messages:max", "lag"), Query("sum(troupe_commands_open)", "open")),
            bad=5000,
        ),
        Panel(
            "Outbox", "Age of the oldest send that its actor has not accepted.",
            (Query("troupe:outbox_oldest_seconds:max", "oldest"),), "s", bad=60,
        ),
        Panel(
            "Effects open", "Effects that have not ended, by kind and how they stand.",
            (Query("effect_state:troupe_effects_open:max > 0", "{{effect}} {{state}}"),),
        ),
        Panel(
            "Asks", "How asks that are answered later ended, a second, and how many are open.",
            (Query("outcome:troupe_asks_ended:rate5m", "{{outcome}}/s"), Query("max(troupe_asks_open)", "open")),
        ),
        Panel(
            "Effect time", "One attempt, 99 of 100 are quicker.",
            (Query("effect:troupe_effect_seconds:p99_5m", "{{effect}}"),), "s",
        ),
        Panel(
            "Tool runs", "Runs of tools a second, by tool and what they came to.",
            (Query("tool_status:troupe_tool_runs:rate5m", "{{tool}} {{status}}"),), "ops",
        ),
    ),
)  # fmt: skip
_TROUBLE = Row(
    "Trouble and memory",
    (
        Panel(
            "Quarantines, 1 h", "Commands that broke their actor's turn, by kind.",
            (Query("kind:troupe_quarantines:increase1h", "{{kind}}"),),
        ),
        Panel(
            "Leases", "Partitions gained and ended a minute: a steady rate means that processes rob each other.",
            (
                Query(f"60 * sum by (outcome) (rate(troupe_leases_gained_total[{RATE}]))", "gained {{outcome}}"),
                Query(f"60 * sum by (outcome) (rate(troupe_leases_ended_total[{RATE}]))", "ended {{outcome}}"),
                Query(f"60 * sum(rate(troupe_commits_fenced_total[{RATE}]))", "commits fenced"),
            ),
        ),
        Panel(
            "Restarts of services", "Services that failed and were begun again, in 15 minutes.",
            (Query("sum by (service) (increase(troupe_service_restarts_total[15m]))", "{{service}}"),), bad=3,
        ),
        Panel(
            "Memory of processes", "What each process takes, and of it its actors, by the cache's own estimate.",
            (
                Query("troupe_process_resident_memory_bytes", "{{instance}}"),
                Query("troupe_actor_cache_bytes", "{{instance}} actors"),
            ),
            "bytes",
        ),
        Panel(
            "CPU", "CPU seconds a second of each process: one at most, but for what runs beside its event loop.",
            (Query(f"rate(troupe_process_cpu_seconds_total[{RATE}])", "{{instance}}"),),
        ),
        Panel(
            "Company's memory", "Recalls a second, by whether anything was remembered, and what was kept.",
            (
                Query(f"sum by (outcome) (rate(troupe_memory_queries_total[{RATE}]))", "{{outcome}}"),
                Query(f"sum(rate(troupe_memory_remembered_total[{RATE}]))", "remembered"),
            ),
            "ops",
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    "troupe-company",
    "Troupe: company",
    "Is the company there, does it commit, does anything wait, does anything break.",
    (_NOW, _COMMANDS, _WAITS, _TROUBLE),
)
