"""The log and what follows it: its growth, its views, its mirror, and reads of the views."""

from actors.edge.monitoring.dashboards.panels import RATE, Dashboard, Panel, Query, Row

_LOG = Row(
    "Log",
    (
        Panel(
            "Position", "The position of the last event: so many there are.",
            (Query("max(troupe_log_position)"),), stat=True, width=6,
        ),
        Panel(
            "Views stopped", "Views that met an event they cannot fold; they skip none.",
            (Query("sum(troupe_view_stopped)"),), stat=True, bad=1, width=6,
        ),
        Panel(
            "Streams left out", "By all views together; `troupe projection list`.",
            (Query("sum(max by (view) (troupe_view_quarantined_streams))"),), stat=True, warn=1, width=6,
        ),
        Panel(
            "Figures are fresh", "Whether what is said here of views and of what waits could be read just now.",
            (Query("min(troupe_views_readable) * min(troupe_backlog_readable)"),),
            "bool_yes_no", stat=True, bad=1, low_is_bad=True, width=6,
        ),
        Panel(
            "Growth", "Events a second, by the log's position.",
            (Query("troupe:log_position:rate5m", "events"),), "ops", width=12,
        ),
        Panel(
            "Events by kind", "Events a second, by the kind of their stream, of the processes that are scraped.",
            (Query("kind:troupe_events_written:rate5m", "{{kind}}"),), "ops", stacked=True, width=12,
        ),
    ),
)  # fmt: skip
_VIEWS = Row(
    "Views",
    (
        Panel(
            "Lag in seconds", "Age of the oldest event a view has yet to fold; `.next` is a build beside it.",
            (Query("view:troupe_view_lag_seconds:max", "{{view}}"),), "s", warn=5, bad=60,
        ),
        Panel(
            "Lag in events", "Events a view has yet to fold.",
            (Query("view:troupe_view_lag_events:max", "{{view}}"),), bad=5000,
        ),
        Panel(
            "Differences", "Rows that differed from a fold aside when the view was last verified; any is a fault.",
            (Query("max by (view) (troupe_view_differences)", "{{view}}"),), bad=1,
        ),
        Panel(
            "Reads over NATS", "Reads a second by view and what they came to.",
            (Query(f"sum by (view, outcome) (rate(troupe_queries_total[{RATE}]))", "{{view}} {{outcome}}"),), "ops",
            width=12,
        ),
        Panel(
            "Time of a read", "With its wait for a position; 99 of 100 are quicker.",
            (
                Query(
                    f"histogram_quantile(0.99, sum by (view, le) (rate(troupe_query_seconds_bucket[{RATE}])))",
                    "{{view}}",
                ),
            ),
            "s", width=12,
        ),
    ),
)  # fmt: skip
_MIRROR = Row(
    "Mirror, traces and lines for people",
    (
        Panel(
            "Mirror lag", "Events that are not in the stream of events yet, by who publishes it.",
            (Query("troupe_mirror_lag_events and troupe_mirror_leading == 1", "{{instance}}"),), bad=5000,
        ),
        Panel(
            "Mirror", "Events published a second, and how often the stream was made anew in an hour.",
            (
                Query(f"sum(rate(troupe_mirror_events_total[{RATE}]))", "events/s"),
                Query("sum(increase(troupe_mirror_rebuilds_total[1h]))", "made anew, 1 h"),
            ),
        ),
        Panel(
            "Lost on the way", "Log lines that could not be written, and spans that no collector took, a second.",
            (
                Query(f"sum(rate(troupe_log_lines_lost_total[{RATE}]))", "log lines"),
                Query(f'sum(rate(troupe_trace_spans_total{{outcome!="exported"}}[{RATE}]))', "spans"),
            ),
            "ops",
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    "troupe-log",
    "Troupe: log and projections",
    "The log's growth, its views, its mirror, and reads of the views.",
    (_LOG, _VIEWS, _MIRROR),
)
