"""Usage of language models, and what the log holds."""

from datetime import date
from typing import Annotated

from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.host import reader
from projections.answers import EventCountRow, ModelRow, UsageRow
from projections.queries import DIMENSIONS, Dimension

MICROS = 1_000_000


def usage(
    *,
    by: Annotated[str, Parameter(help=f"What to tell apart: some of {','.join(DIMENSIONS)}.")] = "role,provider,model",
    since: str | None = None,
    until: str | None = None,
    models: bool = False,
    events: bool = False,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Show completions, tokens and cost of the project, with --models how each language model does, or with --events
    how many events of each type there are.

    Works without a running company.

    Parameters
    ----------
    since
        The first day (UTC), such as 2026-01-31.
    until
        The last day (UTC).
    models
        Show instead for each model: success, latency, how often it called tools, and the deliveries of its roles.
    events
        Count events instead, by the kind of their stream and their type.
    """
    if models and events:
        raise Stop(Exit.USAGE, "--models and --events are different answers: ask for one of them")
    apart, first, last = _dimensions(by), _day("--since", since), _day("--until", until)
    settings = place.settings()

    async def work() -> int:
        async with reader(settings) as (_, queries):
            if events:
                counts = await queries.log_counts(settings.project)
                output.data(counts) if as_json else _tell_counts(counts)
            elif models:
                known = await queries.models(settings.project, first, last)
                output.data(known) if as_json else _tell_models(known)
            else:
                rows = await queries.usage(settings.project, apart, first, last)
                output.data(rows) if as_json else tell_usage(rows, apart)
        return Exit.OK

    return execute(work)


def tell_usage(rows: list[UsageRow], apart: tuple[Dimension, ...]) -> None:
    """A table of what is told apart, and its sum. A failed completion has no provider; an unknown price is no price."""
    headers = (*(name.capitalize() for name in apart), "Requests", "Failed", "Tokens in", "Tokens out", "USD")
    lines: list[tuple[object, ...]] = [
        (*(getattr(row, name) or "-" for name in apart), *_counted([row])) for row in rows
    ]
    if apart and len(rows) > 1:
        lines.append(("all", *("" for _ in apart[1:]), *_counted(rows)))
    output.table(headers, lines)


def _counted(rows: list[UsageRow]) -> tuple[object, ...]:
    sums = (sum(getattr(row, name) for row in rows) for name in ("requests", "errors", "tokens_in", "tokens_out"))
    return (*sums, _cost(rows))


def _cost(rows: list[UsageRow]) -> str:
    return dollars(
        sum(row.cost_micros for row in rows), sum(row.priced for row in rows), sum(row.requests for row in rows)
    )


def dollars(cost_micros: int, priced: int, requests: int) -> str:
    """US dollars by list price; "+ ?" where some requests have no known price."""
    if not priced:
        return "-"
    known = f"{cost_micros / MICROS:.4f}"
    return known if priced == requests else f"{known} + ?"


def _tell_models(rows: list[ModelRow]) -> None:
    headers = (
        "Provider", "Model", "Completions", "Failed", "Success", "Tokens in", "Tokens out", "USD", "Seconds", "Longest",
        "Called tools", "Delivered",
    )  # fmt: skip
    output.table(
        headers,
        (
            (
                row.provider or "-", row.model or "-", row.completions, row.failures, _share(row.success_rate),
                row.tokens_in, row.tokens_out, dollars(row.cost_micros, row.priced, row.completions),
                _seconds(row.latency_s), _seconds(row.latency_max_s), _share(row.asked_tools_rate),
                f"{row.delivered}/{row.deliveries}",
            )
            for row in rows
        ),
    )  # fmt: skip


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.0%}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _tell_counts(rows: list[EventCountRow]) -> None:
    output.table(
        ("Kind", "Type", "Events", "Last", "Position"),
        ((row.kind, row.type, row.events, f"{row.last_at:%Y-%m-%d %H:%M:%S}", row.last_position) for row in rows),
    )


def _dimensions(text: str) -> tuple[Dimension, ...]:
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in DIMENSIONS]
    if unknown:
        raise Stop(Exit.USAGE, f"--by {unknown[0]}: take some of {', '.join(DIMENSIONS)}, separated by commas")
    return tuple(name for name in DIMENSIONS if name in wanted)


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"{option} {text}: write a day such as 2026-01-31") from error
