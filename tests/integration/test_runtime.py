"""The runtime on real servers, when all is well and when somebody sends nonsense."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import cycle
from typing import Any

import anyio
import pytest

from actors.embedded.servers import Servers
from actors.runtime import services
from actors.runtime.effects import EffectWorker
from actors.runtime.kind import EffectCall, Performer
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ports import NO_TRACES
from actors.runtime.retry import Retry
from eventstore.store import NewEvent
from protocol.codec import BODY_BYTES_MAX, encode
from protocol.message import Command
from protocol.reply import Reply
from protocol.subjects import Address, partition_of
from tests.kit.company import PATIENCE_S, Company, accepted, at, company
from tests.kit.counting import Add, Begin, Forget, Job, Remind, Report, Serve
from tests.kit.units import NOON

C1 = at("counter", "c1")


@pytest.fixture
async def office(servers: Servers, database: str) -> AsyncGenerator[Company]:
    async with company(servers, database) as opened:
        yield opened


async def ask_all(office: Company, commands: Sequence[tuple[Address, Command, str]]) -> list[Reply]:
    """Ask all at once; the replies in the same order."""
    replies: dict[int, Reply] = {}

    async def ask(n: int, to: Address, command: Command, key: str) -> None:
        replies[n] = await office.asker.ask(to, command, key)

    async with anyio.create_task_group() as group:
        for n, (to, command, key) in enumerate(commands):
            group.start_soon(ask, n, to, command, key)
    return [replies[n] for n in range(len(commands))]


async def test_a_reply_speaks_of_what_is_committed(office: Company) -> None:
    async with office.runs():
        replies = await ask_all(office, [(at("counter", f"c{n % 3}"), Add(n), f"k{n}") for n in range(1, 31)])
        log = {event.reference: event.position for event in await office.store.read(0)}
        for reply in replies:
            assert reply.outcome == "accepted"
            assert [log[reference] for reference in reply.events] == [reply.position]
    await office.check_log()
    await office.check_counters(accepted(replies))
    await office.check_settled()


async def test_a_repetition_is_applied_once_and_told_how_it_ended(office: Company) -> None:
    """The same id many times at once: from one asker, to one actor, in one batch or in several."""
    async with office.runs():
        for n in range(40):
            await office.asker.publish(C1, Add(1), f"k{n % 4}")
        for n in range(4):
            with anyio.fail_after(PATIENCE_S):
                replies = [await office.asker.heard(f"k{n}", times) for times in range(10)]
            first = next(reply for reply in replies if not reply.known)
            assert first.outcome == "accepted"
            assert all((r.outcome, r.position, r.id) == (first.outcome, first.position, first.id) for r in replies)
            assert sum(reply.known for reply in replies) == 9
    await office.check_counters([f"k{n}" for n in range(4)])
    await office.check_settled()


async def test_an_id_is_known_in_its_whole_project_and_nowhere_else(office: Company) -> None:
    other = Address("other", "counter", "c1")
    async with office.runs():
        first = await office.asker.ask(C1, Add(1), "same")
        elsewhere = await office.asker.ask(at("counter", "c2"), Add(1), "same")
        assert (elsewhere.known, elsewhere.actor, elsewhere.position) == (True, str(C1), first.position)
        assert not (await office.asker.ask(other, Add(1), "same")).known
        # At once, to two actors: whoever is first.
        for n in range(2):
            await office.asker.publish(at("counter", f"d{n}"), Add(1), f"k{n}", ce_id="both")
        with anyio.fail_after(PATIENCE_S):
            replies = [await office.asker.heard(f"k{n}") for n in range(2)]
        assert sorted(reply.known for reply in replies) == [False, True]
        assert len({reply.actor for reply in replies}) == 1
    assert await office.events(at("counter", "c2")) == []


async def test_silence_and_refusal_are_answers_and_repeated_as_such(office: Company) -> None:
    async with office.runs():
        silent = await office.asker.ask(C1, Add(0), "zero")
        assert (silent.outcome, silent.position, silent.events, silent.known) == ("silent", 0, (), False)
        refused = await office.asker.ask(C1, Add(-1), "minus")
        assert (refused.outcome, refused.code) == ("refused", "negative")
        for reply in (silent, refused):
            again = await office.asker.ask(C1, Add(5), reply.id)
            assert again.known
            assert (again.outcome, again.code, again.message) == (reply.outcome, reply.code, reply.message)
    assert await office.events(C1) == []


NONSENSE: list[tuple[str, Address, bytes, dict[str, str], str]] = [
    ("no-json", C1, b"hello", {}, "malformed"),
    ("empty", C1, b"", {}, "malformed"),
    ("array", C1, b"[1]", {}, "malformed"),
    ("no-type", C1, b'{"n":1}', {}, "malformed"),
    ("no-text", C1, b'{"type":"\xff"}', {}, "malformed"),
    ("nul-type", C1, b'{"type":"a\\u0000"}', {}, "malformed"),
    ("long-type", C1, b'{"type":"%s"}' % (b"x" * 100_000), {}, "malformed"),
    ("unknown-type", C1, b'{"type":"counter.fly.v1"}', {}, "malformed"),
    ("wrong-field", C1, b'{"type":"counter.add.v1","n":"many"}', {}, "malformed"),
    ("deep", C1, b'{"type":"counter.add.v1","x":' + b"[" * 100_000, {}, "malformed"),
    ("too-big", C1, b" " * (BODY_BYTES_MAX + 1), {}, "malformed"),
    ("no-kind", at("nobody", "n1"), encode(Add()), {}, "unknown-kind"),
    ("the-runtimes", at("runtime", "7"), encode(Add()), {}, "unknown-kind"),
    ("internal", at("worker", "w1"), encode(Remind("x")), {}, "internal"),
    ("expired", C1, encode(Add()), {"Troupe-Deadline": "2020-01-01T00:00:00Z"}, "expired"),
    ("far", C1, encode(Add()), {"Troupe-Deadline": "9999-12-31T23:59:59Z"}, "bad-header"),
    ("no-priority", C1, encode(Add()), {"Troupe-Priority": "now"}, "bad-header"),
    ("no-cancel", C1, b'{"type":"runtime.cancel.v1","id":7}', {}, "malformed"),
    ("no-time", C1, encode(Add()), {"Troupe-Deadline": "soon"}, "bad-header"),
    ("no-day", C1, encode(Add()), {"ce-time": "0001-01-01T00:00:00+23:00"}, "bad-header"),
    ("long-header", C1, encode(Add()), {"Troupe-Correlation": "x" * 600}, "bad-header"),
    ("control", C1, encode(Add()), {"Troupe-Sender": "a\x01b"}, "bad-header"),
]


async def test_nonsense_is_refused_in_words_and_its_bytes_are_not_kept(office: Company) -> None:
    """Nobody can say what is in bytes that cannot be read: it may be about somebody."""
    async with office.runs():
        for key, to, body, headers, code in NONSENSE:
            reply = await office.asker.ask(to, body, key, **headers)
            assert (reply.outcome, reply.code, reply.id) == ("refused", code, key)
            assert reply.message
            again = await office.asker.ask(to, body, key, **headers)
            assert (again.known, again.code) == (True, code)
        assert (await office.asker.ask(C1, Add())).outcome == "accepted", "and the company goes on"
    kept = {id_: (kind, body) for id_, kind, body in await office.sql("select id, kind, body from inbox")}
    for key, to, body, _, _ in NONSENSE:
        assert kept[key] == (to.kind, encode({"withheld_bytes": len(body)}))
    await office.check_settled()


async def test_a_reply_header_can_address_nothing_but_an_inbox(office: Company) -> None:
    """A command that asks for its reply on another actor's subject is refused, and nobody is sent anything."""
    async with office.runs():
        await office.asker.publish(C1, Add(1), "forged", Troupe_Reply_To="x.cmd.demo.counter.c2")
        await office.asker.ask(C1, Add(1), "after")
        ((outcome, detail),) = await office.sql("select outcome, detail from inbox where id = 'forged'")
    assert outcome == "refused"
    assert detail.startswith("bad-header: the header Troupe-Reply-To")


@pytest.mark.parametrize("name", ["läuft", "a%b", "-a", "x" * 129])
async def test_a_name_no_actor_can_have_is_turned_away(office: Company, name: str) -> None:
    async with office.runs():
        reply = await office.asker.ask(f"{office.bus.root}.cmd.demo.counter.{name}", Add(), "k1")
        assert (reply.outcome, reply.code) == ("refused", "bad-address")
        assert (await office.asker.ask(C1, Add(), "k2")).outcome == "accepted"
    await office.check_counters(["k2"])


async def test_ids_that_cannot_be_kept_are_replaced(office: Company) -> None:
    async with office.runs():
        for id_ in ("tools/t1@3.0", "läuft", "x" * 300, "a b"):
            reply = await office.asker.ask(C1, Add(), ce_id=id_)
            assert reply.outcome == "accepted"
            assert reply.id.startswith(office.bus.stream)
    assert len(await office.events(C1)) == 4


async def test_what_one_sends_another_comes_in_the_order_it_was_sent(office: Company) -> None:
    balls = 120
    async with office.runs():
        for player, other in (("p1", "p2"), ("p2", "p1")):
            await office.asker.ask(at("player", player), Serve(other, balls))
        await office.quiet()
    for player, other in (("p1", "p2"), ("p2", "p1")):
        hits = [json.loads(event.body) for event in await office.events(at("player", player))]
        served = [hit["n"] for hit in hits if hit["n"] == hit["rallies"]]
        returned = [hit["n"] for hit in hits if hit["to"] == other and hit["rallies"] == hit["n"] - 1]
        assert served[:balls] == list(range(1, balls + 1))
        assert returned[:balls] == list(range(1, balls + 1)), "as they were served, each once"
    await office.check_log()
    await office.check_settled()


async def test_a_command_that_breaks_its_actor_is_set_aside_and_its_neighbours_do_not_notice(office: Company) -> None:
    troubles = ["decide", "evolve", "react", "many", "big", "send", "undeclared", "timer"]
    broken = {trouble: at("counter", f"x-{trouble}") for trouble in troubles}
    dead = await office.asker.listen_to(f"{office.bus.root}.dead.demo.counter.*")
    async with office.runs():
        wanted: list[tuple[Address, Command, str]] = [(C1, Add(1), "before"), (at("counter", "c2"), Add(1), "other")]
        wanted += [(to, Add(1, trouble), trouble) for trouble, to in broken.items()]
        wanted += [(C1, Add(1), "after"), (at("counter", "c3"), Add(1), "third")]
        replies = await ask_all(office, wanted)
        healthy = [reply for reply in replies if reply.id not in troubles]
        assert [reply.outcome for reply in healthy] == ["accepted"] * 4
        for reply in replies:
            if reply.id in troubles:
                assert (reply.outcome, reply.code) == ("quarantined", "broke")
                again = await office.asker.ask(broken[reply.id], Add(1), reply.id)
                assert (again.known, again.outcome, again.message) == (True, "quarantined", reply.message)
        buried = [(await dead.next_msg(PATIENCE_S)).data for _ in troubles]
    assert sorted(buried) == sorted(encode(Add(1, trouble)) for trouble in troubles)
    assert sorted(letter.id for letter in await office.store.dead.letters("demo")) == sorted(troubles)
    assert [found.address for found in await office.store.dead.parked("demo")] == sorted(broken.values())
    assert len(await office.events(C1)) == 2
    rows = await office.sql("select id, body from inbox where outcome = 'quarantined' order by id")
    assert rows == sorted((trouble, encode(Add(1, trouble))) for trouble in troubles)
    await office.check_log()
    await office.check_counters(accepted(healthy))
    await office.check_settled()


async def test_killers_of_many_actors_of_one_partition_at_once(office: Company) -> None:
    """They share the stream in which they are kept: one after another, and none is lost."""
    names = [f"n{n}" for n in range(2_000)]
    partition = partition_of(at("counter", names[0]))
    together = [at("counter", n) for n in names if partition_of(at("counter", n)) == partition][:6]
    async with office.runs():
        replies = await ask_all(office, [(to, Add(1, "decide"), to.name) for to in together])
    assert [reply.outcome for reply in replies] == ["quarantined"] * 6
    assert len(await office.events(at("runtime", str(partition)))) == 6
    await office.check_settled()


async def test_an_actor_whose_history_cannot_be_read_is_left_alone(office: Company) -> None:
    """As after a step back to an older version: it is refused to people, its mail waits, the others go on."""
    old = at("player", "old")
    await office.store.append(old, [NewEvent("player.flew.v9", b"{}", NOON, "", "c")])
    async with office.runs():
        refused = await office.asker.ask(old, Serve("p1", 1), "serve")
        assert (refused.outcome, refused.code) == ("refused", "parked")
        assert "player.flew.v9" in refused.message
        assert (await office.asker.ask(at("player", "p1"), Serve("old", 3), "mail")).outcome == "accepted"
        for n in range(5):
            assert (await office.asker.ask(C1, Add(), f"k{n}")).outcome == "accepted"
            assert (await office.asker.ask(old, Serve("p1", 1))).code == "parked"
    waiting = await office.sql("select type, name from outbox order by id")
    assert waiting == [("player.ball.v1", "old")] * 3
    await office.check_counters([f"k{n}" for n in range(5)])


async def test_the_cursors_move_although_nothing_rests_and_what_is_settled_is_purged(
    office: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.commit.ADVANCE_EVERY_S", 0.05)
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(services, "PURGE_EVERY_SWEEPS", 1)
    stream = office.bus.client.jetstream()
    async with office.runs():
        with anyio.fail_after(PATIENCE_S):
            first = 0
            while first < 20:
                await office.asker.ask(C1, Add())
                first = (await stream.stream_info(office.bus.stream)).state.first_seq
    await office.check_settled()


class Desk:
    """A performer of jobs that a test directs: `plans[job]` is what each attempt does."""

    def __init__(self, **plans: list[Any]) -> None:
        self.plans = plans
        self.calls: list[tuple[str, str, int]] = []
        self.busy = anyio.Event()

    async def perform(self, call: EffectCall, work: Job) -> Command:
        self.calls.append((work.job, call.key, call.attempt))
        plan = self.plans.get(work.job, [])
        step = plan[call.attempt - 1] if call.attempt <= len(plan) else "done"
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            self.busy.set()
            await anyio.sleep_forever()
        return Report(work.job, step)

    def performers(self, **more: Any) -> dict[str, Performer]:
        settings: dict[str, Any] = {"concurrent_max": 4, "attempts_max": 3, "timeout_s": PATIENCE_S} | more
        return {"job": Performer("job", Job, self.perform, give_up, unknown=_unknown, **settings)}


def _unknown(_: EffectCall, work: Job) -> Command:
    return Report(work.job, "unknown")


def give_up(_: EffectCall, work: Job, error: str) -> Command:
    return Report(work.job, f"gave up: {error}")


W1 = at("worker", "w1")


async def test_an_effect_is_performed_and_its_outcome_is_a_command(office: Company) -> None:
    desk = Desk()
    async with office.runs(desk.performers()):
        await office.asker.ask(W1, Begin("a"))
        assert await office.bodies(W1, "came_to", 2) == [None, "done"]
    assert desk.calls == [("a", "worker/w1@1.0", 1)]
    assert await office.sql("select key from effects") == []
    assert await office.sql("select id, type from inbox where outbox > 0") == [
        ("worker/w1@1.0:outcome", "worker.report.v1")
    ]
    await office.check_settled()


async def test_a_failed_attempt_is_made_again_and_an_effect_always_ends(
    office: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.effects.SWEEP_EVERY_S", 0.05)
    wrong = ValueError("no\0good")
    big = "x" * BODY_BYTES_MAX
    desk = Desk(twice=[wrong, wrong], never=[wrong] * 9, once=[wrong] * 9, slow=["hang"] * 9, big=[big, big, big])
    async with office.runs(desk.performers(timeout_s=0.1, retry=Retry(first_s=0.02))):
        async with anyio.create_task_group() as group:
            for n, job in enumerate(desk.plans):
                group.start_soon(office.asker.ask, at("worker", f"w{n}"), Begin(job))
        ends = {job: (await office.bodies(at("worker", f"w{n}"), "came_to", 2))[1] for n, job in enumerate(desk.plans)}
    assert ends["twice"] == "done"
    assert ends["never"] == "gave up: ValueError: no\\0good"
    assert ends["once"] == "gave up: ValueError: no\\0good", "what is to be done once is not tried again"
    assert ends["slow"].startswith("gave up: TimeoutError")
    assert "store big content as a blob" in ends["big"]
    tried = [job for job, _, _ in desk.calls]
    assert {job: tried.count(job) for job in desk.plans} == {"twice": 3, "never": 3, "once": 1, "slow": 3, "big": 3}
    await office.check_settled()


async def test_the_work_of_a_dead_worker_is_done_by_the_next(office: Company) -> None:
    desk = Desk(a=["hang"], once=["hang"])
    with anyio.CancelScope() as life:
        async with office.runs(desk.performers()):
            await office.asker.ask(W1, Begin("a"))
            await office.asker.ask(at("worker", "w2"), Begin("once"))
            with anyio.fail_after(PATIENCE_S):
                while len(desk.calls) < 2:
                    await desk.busy.wait()
                    desk.busy = anyio.Event()
            life.cancel()
    async with office.runs(desk.performers()):
        assert await office.bodies(W1, "came_to", 2) == [None, "done"]
        (_, unknown) = await office.bodies(at("worker", "w2"), "came_to", 2)
    assert unknown == "unknown", "nobody guesses whether it happened"
    assert await office.sql("select key, state from effects") == [("worker/w2@1.0", "unknown")]
    assert sorted(desk.calls) == [("a", "worker/w1@1.0", 1), ("a", "worker/w1@1.0", 2), ("once", "worker/w2@1.0", 1)]


async def test_a_claim_that_nobody_renews_runs_out(office: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second worker does not know the first, whose heart has stopped; the first then finds its claim gone."""
    monkeypatch.setattr("actors.runtime.effects.CLAIM_TTL_S", 0.2)
    monkeypatch.setattr("actors.runtime.effects.SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr("actors.runtime.supervisor.DRAIN_S_MAX", 0.05)
    frozen, second = Desk(a=["hang"]), Desk()
    async with office.runs(frozen.performers(concurrent_max=1)), anyio.create_task_group() as group:
        await office.asker.ask(W1, Begin("a"))
        with anyio.fail_after(PATIENCE_S):
            await frozen.busy.wait()
        group.start_soon(EffectWorker(office.store, office.bus, second.performers(), utc_now).run)
        assert await office.bodies(W1, "came_to", 2) == [None, "done"]
        group.cancel_scope.cancel()
    assert (frozen.calls, second.calls) == ([("a", "worker/w1@1.0", 1)], [("a", "worker/w1@1.0", 2)])


async def test_a_claim_that_ran_out_and_that_nobody_took_is_no_second_attempt(
    office: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a while without the store: the worker must not begin again what it is still doing."""
    monkeypatch.setattr("actors.runtime.effects.CLAIM_TTL_S", 0.05)
    monkeypatch.setattr("actors.runtime.effects.SWEEP_EVERY_S", 0.02)
    go_on, calls = anyio.Event(), list[int]()

    async def perform(call: EffectCall, work: Job) -> Command:
        calls.append(call.attempt)
        await go_on.wait()
        return Report(work.job, "done")

    async with office.runs({"job": Performer("job", Job, perform, give_up, 4, 3, PATIENCE_S)}):
        await office.asker.ask(W1, Begin("a"))
        with anyio.fail_after(PATIENCE_S):
            while (await office.sql("select attempts from effects")) < [3]:
                await anyio.sleep(0.02)
        go_on.set()
        assert await office.bodies(W1, "came_to", 2) == [None, "done"]
    assert calls == [1]
    await office.check_settled()


async def test_a_stop_waits_for_what_runs(office: Company) -> None:
    gate = anyio.Event()

    async def perform(_: EffectCall, work: Job) -> Command:
        gate.set()
        await anyio.sleep(0.2)
        return Report(work.job, "done in time")

    async with office.runs({"job": Performer("job", Job, perform, give_up, 1, 3, PATIENCE_S)}):
        await office.asker.ask(W1, Begin("a"))
        with anyio.fail_after(PATIENCE_S):
            await gate.wait()
    assert await office.sql("select key from effects") == []


async def test_timers_fire_once_and_can_be_replaced_and_forgotten(office: Company) -> None:
    async with office.runs():
        await office.asker.ask(W1, Begin("soon", 0.05))
        assert await office.bodies(W1, "job", 2) == ["soon", "soon"]
        await office.asker.ask(W1, Begin("never", 0.4))
        await office.asker.ask(W1, Begin("instead", 0.3))
        assert await office.bodies(W1, "job", 5) == ["soon", "soon", "never", "instead", "instead"]
        await office.asker.ask(at("worker", "w2"), Begin("forgotten", 0.2))
        await office.asker.ask(at("worker", "w2"), Forget())
        await office.asker.ask(at("worker", "w3"), Begin("later", 0.4))
        assert await office.bodies(at("worker", "w3"), "job", 2) == ["later", "later"]
    assert len(await office.events(at("worker", "w2"))) == 2
    assert len(await office.events(W1)) == 5
    await office.check_settled()


async def test_a_timer_that_was_due_while_nobody_was_there_fires_at_the_next_start(office: Company) -> None:
    async with office.runs():
        await office.asker.ask(W1, Begin("x", 0.2))
    with anyio.fail_after(PATIENCE_S):
        while (due := await office.store.next_timer_s()) is None or due > 0:
            await anyio.sleep(0.02)
    async with office.runs():
        assert await office.bodies(W1, "job", 2) == ["x", "x"]


class DeafBus:
    """A bus on which two of three doorbells are lost, and all of the effects'."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.lost = 0
        self._heard = cycle((False, False, True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def ring(self, receivers: Sequence[Address], traces: Mapping[Address, str] = NO_TRACES) -> None:
        if next(self._heard):
            await self._bus.ring(receivers, traces)
        else:
            self.lost += len(receivers)

    async def ring_effects(self, kinds: Sequence[str], traces: Mapping[str, str] = NO_TRACES) -> None:
        self.lost += len(kinds)


async def test_a_lost_doorbell_only_delays(office: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(services, "OVERDUE_S", 0.05)
    monkeypatch.setattr("actors.runtime.effects.SWEEP_EVERY_S", 0.05)
    bus, desk = DeafBus(office.bus), Desk()
    async with office.runs(desk.performers(), bus):  # pyright: ignore[reportArgumentType]
        await office.asker.ask(at("player", "p1"), Serve("p2", 3))
        await office.asker.ask(W1, Begin("a"))
        assert await office.bodies(W1, "came_to", 2) == [None, "done"]
        assert len(await office.events(at("player", "p2"), 3)) >= 3
        await office.quiet()
    assert bus.lost > 3
    await office.check_settled()


async def test_one_actors_many_letters_do_not_hide_the_others(office: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parked actor's mail fills every page that is read from the outbox; whoever is rung with it is still served."""
    monkeypatch.setattr("actors.runtime.intake.ROWS_MAX", 5)
    monkeypatch.setattr(services, "SWEEP_EVERY_S", 0.05)
    monkeypatch.setattr(services, "OVERDUE_S", 0.05)
    await office.store.append(at("player", "old"), [NewEvent("player.flew.v9", b"{}", NOON, "", "c")])
    async with office.runs():
        await office.asker.ask(at("player", "p1"), Serve("old", 12))
        await office.asker.ask(at("player", "p1"), Serve("p2", 12))
        assert len(await office.events(at("player", "p2"), 12)) >= 12
