"""What can go wrong with a view, as types; and the driver's exceptions translated into them and the store's."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from eventstore.store import StoreUnavailable
from protocol.query import Fault

# Nothing is wrong with what was asked: the same again later succeeds. A deadlock or a plan that another process made
# stale by swapping a view belongs here too.
TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InternalClientError,  # What a query gets that meets the server's goodbye on an idle connection.
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)


class ProjectionError(Exception):
    """A view cannot do what was asked of it; the message says which, why, and what to do next."""


class PoisonEvent(ProjectionError):
    """The view cannot fold this event. Its rows and its checkpoint stand at the event before; nothing is skipped."""

    def __init__(self, view: str, position: int, reference: str, type_: str, reason: str) -> None:
        super().__init__(
            f"the view {view} cannot fold position {position} ({reference}, {type_}): {reason}. It stands at position "
            f"{position - 1}; correct the view (raise its VERSION if its rows change) and start again"
        )
        self.view = view
        self.position = position
        self.reference = reference
        self.type = type_
        self.reason = reason


class NewerView(ProjectionError):
    """Another process serves or builds a newer version of the view; this one is out of date and leaves it alone."""


class ViewAhead(ProjectionError):
    """The view knows more than the log: one of the two was restored or lost."""


class ViewMissing(ProjectionError):
    """The view's tables are not there, or are of another version than this program's."""


class ViewBehind(ProjectionError):
    """The view did not reach the asked position in time."""


class QueryBehind(ViewBehind):
    """A query waited for a position in vain. The view stands at `position` (None: it is not there in this version)."""

    def __init__(self, message: str, position: int | None) -> None:
        super().__init__(message)
        self.position = position


class BadQuery(ProjectionError):
    """A query that cannot be answered whatever the view holds; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@asynccontextmanager
async def database(doing: str) -> AsyncGenerator[None]:
    """The driver's transient exceptions as StoreUnavailable. The rest passes: its meaning depends on the caller."""
    try:
        yield
    except TRANSIENT as error:
        if isinstance(error, ValueError):
            raise  # asyncpg's word for an argument no parameter can hold: the same again would fail again.
        raise StoreUnavailable(f"{doing}: {type(error).__name__}: {error}") from error
