"""What led to what: every event is in the tree once, below its cause; what hangs on nothing is told, never left out."""

from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest

from actors.cli.causes import Causes, answer_of, tree
from actors.cli.figures import Sums, figures_of
from actors.runtime.correlated import correlated
from actors.runtime.firings import setters
from actors.runtime.lineage import Source, Step, below, lineage, source_of
from eventstore.memory.store import MemoryStore
from eventstore.store import Recorded
from protocol.codec import encode
from protocol.message import Event, tag_of
from protocol.router import CompletionFailed, CompletionGiven
from protocol.subjects import Address
from protocol.tools import ToolReturned
from tests.kit.clockwork import KINDS, WHEELS, HandClock, HandCompany, Turn, wheel
from tests.kit.units import NOON


@pytest.mark.parametrize(
    ("causation", "source"),
    [
        ("01a1fdf8-31d4-70bf", Source("outside")),
        ("order-7.0", Source("outside")),
        ("tools/t1@3.0", Source("send", "tools/t1@3")),
        ("tools/t1@3.12", Source("send", "tools/t1@3")),
        ("tools/t1@3.0:outcome", Source("outcome", "tools/t1@3")),
        ("tools/t1@3.0:name:outcome", Source("outcome", "tools/t1@3")),
        ("tools/t1@3.0:outcome:outcome", Source("outcome", "tools/t1@3")),
        ("tools/t1@3.0:unknown.2", Source("doubt", "tools/t1@3")),
        ("tools/t1@3.0:name:unknown.2", Source("doubt", "tools/t1@3")),
        ("timer:late:7", Source("timer")),
        ("timer:a:b:7", Source("timer")),
    ],
)
def test_an_id_says_where_a_command_came_from(causation: str, source: Source) -> None:
    assert source_of(causation) == source


async def run(seed: int) -> MemoryStore:
    """Actors that do all that actors can, for a while."""
    clock = HandClock()
    store, chance = MemoryStore(clock), Random(seed)
    company = await HandCompany(store, KINDS, clock, chance).open()
    for _ in range(25):
        match chance.randrange(4):
            case 0:
                company.arrive(wheel(chance.choice(WHEELS)), Turn(chance.randrange(12), 3))
                await company.commit(0.5)
            case 1:
                await company.perform()
            case 2:
                clock.advance(1.5)
                await store.fire_timers(100)
            case _:
                await company.commit(0.7)
    return store


async def events_of(store: MemoryStore) -> list[Recorded]:
    return [each async for each in correlated(store, "demo", "run", await store.head())]


async def steps_of(store: MemoryStore, events: Sequence[Recorded]) -> list[Step]:
    firings: dict[Address, set[str]] = {}
    for each in events:
        if each.causation.startswith("timer:"):
            firings.setdefault(each.address, set()).add(each.causation)
    return lineage(events, await setters(store, KINDS, firings))


@pytest.mark.parametrize("seed", range(8))
async def test_every_event_is_in_the_tree_once_below_what_caused_it(seed: int) -> None:
    store = await run(seed)
    events = await events_of(store)
    steps = await steps_of(store, events)
    assert len(events) > 10
    assert not [step.lost for step in steps if step.lost]
    roots = [step for step in steps if step.parent is None]
    assert {step.source.origin for step in roots} == {"outside"}
    in_tree = [each.position for step in below(roots) for each in step.events]
    assert sorted(in_tree) == [each.position for each in events]
    for step in steps:
        assert {each.causation for each in step.events} == {step.command}
        if step.parent is not None and step.cause is not None:
            assert step.cause in step.parent.events
            assert step.cause.position < step.first.position
            if step.source.origin != "timer":
                assert step.command.startswith(f"{step.cause.reference}.")
            else:
                assert step.cause.address == step.address


async def test_timers_effects_and_sends_were_all_met() -> None:
    origins: set[str] = set()
    for seed in range(8):
        store = await run(seed)
        origins |= {step.source.origin for step in await steps_of(store, await events_of(store))}
    assert origins == {"outside", "send", "outcome", "timer"}


def event(version: int, causation: str, name: str = "t1", second: float = 0.0, said: Event | None = None) -> Recorded:
    """The actors' events in turn; positions are versions."""
    type_, body = ("task.noted.v1", b"{}") if said is None else (tag_of(said), encode(said))
    at = NOON + timedelta(seconds=second)
    return Recorded(version, Address("demo", "task", name), version, type_, at, "t1", causation, body)


def causes(events: Sequence[Recorded]) -> Causes:
    figures = {each.position: figures_of(each) for each in events}
    return Causes("demo", "t1", len(events), lineage(events), figures, {}, ())


def test_what_hangs_on_nothing_is_told_with_what_follows_from_it() -> None:
    shown = causes([
        event(1, "x1"), event(2, "task/elsewhere@9.0"), event(3, "task/t1@2.0"), event(4, "timer:late:1"),
        event(5, "task/t1@5.0"), event(6, "task/t1@1.0"),
    ])  # fmt: skip
    assert [step.first.position for step in shown.roots] == [1]
    assert [(step.first.position, step.lost) for step in shown.unattached] == [
        (2, "task/elsewhere@9, which it came from, is no earlier event of this correlation"),
        (4, "who set the timer of timer:late:1 is not known"),
        (5, "task/t1@5, which it came from, is no earlier event of this correlation"),
    ]
    assert [step.first.position for step in below(shown.unattached)] == [2, 3, 4, 5]
    answer = answer_of(shown)
    assert len(answer.steps) == 6
    assert [step.number for step in answer.steps if step.unattached] == [2, 4, 5]
    assert [step.parent for step in answer.steps] == [None, None, 2, None, None, 1]


def test_a_tree_a_thousand_steps_deep_stays_in_its_column() -> None:
    events = [event(1, "x1"), *(event(n, f"task/t1@{n - 1}.0", second=n) for n in range(2, 3_000))]
    shown = causes(events)
    lines = list(tree(shown, shown.roots))
    assert len(lines) == len(events)
    assert not [line for line in lines if "│" in line or "├" in line]
    assert lines[-1].split() == ["2999.000", "1.000", "task", "noted"]


def test_branches_begin_with_a_mark_and_ends_come_first() -> None:
    shown = causes([
        event(1, "x1"), event(2, "task/t1@1.0"), event(3, "task/t1@1.1"), event(4, "task/t1@3.0", "other"),
        event(5, "task/t1@1.2"), event(6, "task/t1@5.0"), event(7, "task/t1@1.0"),
    ])  # fmt: skip
    assert [line.split("  ")[-2:] if "│" in line else line[21:] for line in tree(shown, shown.roots)] == [
        "task  noted  <- a command from outside, x1",
        "├ task  noted ×2",
        "├ task  noted",
        ["│ task/other", "noted"],
        "├ task  noted",
        ["│ task", "noted"],
    ]


def test_figures_are_summed_and_an_unknown_price_is_no_price() -> None:
    given = CompletionGiven("tester", 1, "ab" * 32, provider="p", model="m", tokens_in=100, tokens_out=10, seconds=0.5)
    priced = CompletionGiven("tester", 2, "ab" * 32, tokens_in=50, cost_micros=1_500, priced=True)
    said = (
        given, priced, CompletionFailed("tester", 3, "no answer", seconds=2.0),
        ToolReturned("tools/t1@1", "tester", "tests.run", "ok", "s", seconds=1.25),
        ToolReturned("tools/t1@1", "tester", "lint.fix", "could_not_run", "s"),
    )  # fmt: skip
    shown = causes([event(n, f"x{n}", said=each) for n, each in enumerate(said, start=1)])
    total = shown.total()
    assert total == Sums(3, 1, 1, 150, 10, 1_500, 2.5, 2, 1, 1.25)
    assert total.cost == "0.0015 + ?"
    assert shown.by_role() == {"tester": ("", total)}
    assert Sums(completions=2).cost == "?"
    assert Sums(completions=1, completions_failed=1).cost == "-"
    assert Sums().cost == "-"
    lines = list(tree(shown, shown.roots))
    assert "tester: p/m 100+10 tokens in 0.500 s" in lines[0]
    assert "tester: no model 50+0 tokens $0.001500 in 0.000 s" in lines[1]
    assert "failed in 2.000 s" in lines[2]
    assert "tester: tests.run ok in 1.250 s" in lines[3]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"role":7,"request":{"tool":3}}', b'{"request":{"tool":"' + b"x" * 99 + b'"}}']
)
def test_an_event_that_says_nothing_readable_has_no_figures(body: bytes) -> None:
    nothing = Recorded(1, Address("demo", "task", "t1"), 1, "router.completion_given.v1", NOON, "t1", "c", body)
    assert figures_of(nothing) == figures_of(event(1, "c"))


async def test_known_positions_and_the_rest_of_the_log_are_the_whole_correlation() -> None:
    store = await run(3)
    events = await events_of(store)
    head, positions = await store.head(), [each.position for each in events]
    for covered in (0, positions[2], positions[-1] - 1, head):
        known = [position for position in positions if position <= covered]
        assert [each async for each in correlated(store, "demo", "run", head, known, covered)] == events
    upto = positions[4]
    assert [each async for each in correlated(store, "demo", "run", upto, positions, head)] == events[:5]
