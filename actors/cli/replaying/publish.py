"""`troupe replay --to-subject`: events of the log published again, at any pace, resumable under a name."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing

import anyio
import msgspec

from actors.cli import output
from actors.cli.desk import open_asker
from actors.cli.exits import Exit
from actors.cli.replaying.options import Onto, Which
from actors.host import Settings, reader
from actors.runtime.pace import Pace
from actors.runtime.replays import Choice, Consumer, held
from actors.runtime.republish import Republisher, Target
from eventstore.store import Log, Recorded, Selection
from protocol.envelope import format_time

SAVE_EVERY_S = 0.5  # What is taken is written down at least so often, so a kill repeats no more than came since.
LAST_WORD_S_MAX = 5.0  # For what is under way when the command is stopped.

Pages = Callable[[Log, int, int | None, Selection, bool, bool], AsyncGenerator[Sequence[Recorded]]]


class PublishedAnswer(msgspec.Struct, frozen=True):
    """What `--to-subject --json` prints. `acknowledged` by a stream; `handed` to the server, which nobody may have
    heard. `position`: everything selected up to there is published."""

    subject: str
    acknowledged: int
    handed: int
    streams: tuple[str, ...]
    position: int


class _Run:
    """One run: what is published, and how far everything is taken."""

    def __init__(self, publisher: Republisher, pace: Pace, consumer: Consumer | None, position: int) -> None:
        self._publisher, self._pace, self._consumer = publisher, pace, consumer
        self._published = self.position = position
        self._saved_at = anyio.current_time()

    async def put(self, page: Sequence[Recorded]) -> None:
        """Publish a page, each event when it is due."""
        for recorded in page:
            now = anyio.current_time()
            wait_s = self._pace.wait_s(recorded.at, now)
            if now + wait_s - self._saved_at >= SAVE_EVERY_S:
                await self.settle()
            if wait_s:
                await anyio.sleep(wait_s)
            await self._publisher.put(recorded)
            self._published = recorded.position

    async def settle(self, position: int | None = None) -> None:
        """Wait until all is taken, and write down how far that is (`position`: all up to there was looked at)."""
        await self._publisher.settle()
        self.position = max(self._published, position or 0)
        if self._consumer is not None:
            await self._consumer.save(self.position)
        self._saved_at = anyio.current_time()


async def publish(
    settings: Settings, which: Which, wanted: Selection, onto: Onto, pages: Pages, as_json: bool = False
) -> int:
    """Publish the selected events; what was taken is known under the consumer's name, however this ends. BadSubject,
    NotTaken, ReplayRefused."""
    assert onto.to_subject is not None, "checked with the other options"
    target, pace = Target(onto.to_subject, settings.root), Pace(onto.speed, onto.per_second)
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(open_asker(settings))
        log, _ = await stack.enter_async_context(reader(settings, views=False))
        publisher = await stack.enter_async_context(Republisher.open(asker.client, target))
        consumer, after = None, which.first - 1
        if onto.consumer is not None:
            await stack.enter_async_context(held(log.leases, onto.consumer))
            choice = _choice(which, wanted, publisher)
            consumer = await Consumer.open(asker.client, settings.root, onto.consumer, choice, onto.anew)
            consumer.check(await log.head())
            after = max(after, consumer.position or 0)
        _tell_where(publisher, onto.consumer, consumer)
        run = _Run(publisher, pace, consumer, after)
        try:
            await _go(run, log, which, wanted, after, pages)
        finally:
            _tell_how_far(run, publisher, as_json)
    return Exit.OK


async def _go(run: _Run, log: Log, which: Which, wanted: Selection, after: int, pages: Pages) -> None:
    end = which.last
    if not which.follow:
        head = await log.head()
        end = head if end is None else min(head, end)
    try:
        async with aclosing(pages(log, after, end, wanted, which.follow, which.backward)) as source:
            async for page in source:
                await run.put(page)
                if which.follow:  # The next page may be long in coming.
                    await run.settle()
        await run.settle(end)
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(LAST_WORD_S_MAX, shield=True):
            await run.settle()
        raise


def _choice(which: Which, wanted: Selection, publisher: Republisher) -> Choice:
    since, until = (None if at is None else format_time(at) for at in (wanted.since, wanted.until))
    return Choice(
        publisher.target.template, which.first, wanted.project, wanted.kind, wanted.name, wanted.types,
        wanted.correlation, since, until, tuple(taker.identity for taker in publisher.takers),
    )  # fmt: skip


def _tell_where(publisher: Republisher, name: str | None, consumer: Consumer | None) -> None:
    streams = ", ".join(taker.name for taker in publisher.takers)
    output.note(
        f"publishing on {publisher.target.template}, acknowledged by the stream {streams}"
        if streams
        else f"publishing on {publisher.target.template}: no stream takes it, so only who listens now hears it"
    )
    if consumer is not None and consumer.position is None:
        output.note(f"nothing is kept of the consumer {name}: it begins at --from")
    elif consumer is not None:
        output.note(f"the consumer {name} goes on behind position {consumer.position}")


def _tell_how_far(run: _Run, publisher: Republisher, as_json: bool) -> None:
    streams = tuple(taker.name for taker in publisher.takers)
    if as_json:
        output.data(
            PublishedAnswer(publisher.target.template, publisher.acknowledged, publisher.handed, streams, run.position)
        )
    output.note(
        f"{publisher.acknowledged + publisher.handed} events published, up to position {run.position}: "
        f"{publisher.acknowledged} acknowledged by a stream, {publisher.handed} handed to the server"
    )
