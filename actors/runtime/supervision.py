"""Services run under a supervisor: one that raised is begun again, one that raises again and again stops the process.

- A crash: whatever a service raises is logged and counted, and the service begins anew after a rest. What it held in
  memory may be half done, so `afresh` runs before: the services that write for actors let go of every partition and
  gain it again, and so begin from what the store says (a new epoch fences what they had under way).
- The limit: more than RESTARTS_MAX restarts of one service within RESTARTS_WITHIN_S, and ServiceFailed, which names it,
  ends the process. Other processes take over. What a restart cannot mend ends it at once: a store that refuses us, that
  was closed, or whose server is unfit.
- The error rate: a kind of actor with more than BROKEN_MAX quarantined commands within BROKEN_WITHIN_S is reported, in
  the log and as a metric. Nobody stops a kind: its healthy actors have done nothing.

Nothing here survives the process, nor need it.
"""

import traceback
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import structlog

from actors.runtime.metrics import RuntimeMetrics
from actors.runtime.turn import plain
from eventstore.errors import StoreClosed, StoreRefused, UnfitServer

RESTARTS_MAX = 5
RESTARTS_WITHIN_S = 60.0
RESTART_FIRST_S = 0.1
RESTART_S_MAX = 5.0
BROKEN_MAX = 10
BROKEN_WITHIN_S = 60.0
_FINAL = (StoreRefused, StoreClosed, UnfitServer)

Service = Callable[[], Awaitable[object]]

log = structlog.get_logger("supervision")


class ServiceFailed(Exception):
    """A service of the runtime raised more often than it may be begun again; the message names it and its last
    error."""

    def __init__(self, service: str, restarts: int, error: BaseException) -> None:
        super().__init__(
            f"the service {service!r} failed {restarts + 1} times within {RESTARTS_WITHIN_S:g} s and is not begun "
            f"again; the last time with {type(error).__name__}: {plain(str(error))}. Other processes take over from "
            "this one; look at its log, and start it again"
        )
        self.service = service


def nothing() -> None:
    """Begins from nothing anyway."""


def supervised(
    group: anyio.abc.TaskGroup,
    name: str,
    run: Service,
    metrics: RuntimeMetrics | None = None,
    afresh: Callable[[], None] = nothing,
) -> None:
    """Have `run` run in `group` until that is cancelled. `afresh` drops what it may have left half done. In the group:
    ServiceFailed past the limit, and at once what no restart can mend."""
    group.start_soon(_again_and_again, name, run, metrics or RuntimeMetrics(), afresh, name=name)


async def _again_and_again(name: str, run: Service, metrics: RuntimeMetrics, afresh: Callable[[], None]) -> None:
    failures = Rate(RESTARTS_MAX, RESTARTS_WITHIN_S)
    while True:
        try:
            await run()
        except Exception as error:
            found = _only(error)
            if isinstance(found, _FINAL):
                raise found from error
            exceeded = failures.note(anyio.current_time())
            said = f"{type(found).__name__}: {plain(str(found))}"
            where = "".join(traceback.format_exception(found))  # Without values: those are nobody's to read.
            log.error("supervision.service_failed", service=name, error=said, restarts=not exceeded, traceback=where)
            if exceeded:
                raise ServiceFailed(name, RESTARTS_MAX, found) from error
        else:
            return  # It had an end.
        metrics.service_restarted(name)
        afresh()
        await anyio.sleep(min(RESTART_FIRST_S * 2 ** (failures.count - 1), RESTART_S_MAX))


class Rate:
    """Whether something happens more than `limit` times within `within_s`."""

    def __init__(self, limit: int, within_s: float) -> None:
        self._within_s = within_s
        self._times: deque[float] = deque(maxlen=limit + 1)

    @property
    def count(self) -> int:
        """How often lately, at most one more than the limit."""
        return len(self._times)

    def note(self, now: float) -> bool:
        """It happened; is that too often?"""
        self._times.append(now)
        return self.exceeded(now)

    def exceeded(self, now: float) -> bool:
        """Has it happened too often up to now?"""
        while self._times and self._times[0] <= now - self._within_s:
            self._times.popleft()
        return len(self._times) == self._times.maxlen


class Troubles:
    """How often the actors of each kind break."""

    def __init__(self, metrics: RuntimeMetrics) -> None:
        self._metrics = metrics
        self._rates: dict[str, Rate] = {}
        self._troubled: set[str] = set()

    def note(self, kind: str) -> None:
        """A command to an actor of that kind was quarantined."""
        rate = self._rates.setdefault(kind, Rate(BROKEN_MAX, BROKEN_WITHIN_S))
        if rate.note(anyio.current_time()) and kind not in self._troubled:
            self._troubled.add(kind)
            self._metrics.kind_troubled(kind, True)
            log.error("supervision.kind_troubled", kind=kind, quarantined=f">{BROKEN_MAX} in {BROKEN_WITHIN_S:g} s")

    def look(self) -> None:
        """Those that have been quiet since are troubled no more."""
        now = anyio.current_time()
        for kind in [kind for kind in self._troubled if not self._rates[kind].exceeded(now)]:
            self._troubled.discard(kind)
            self._metrics.kind_troubled(kind, False)
            log.info("supervision.kind_calm", kind=kind)


def _only(error: BaseException) -> BaseException:
    """The one error inside nested groups, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]
