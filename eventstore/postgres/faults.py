"""What the driver raises, as what the port promises: what happened, to what, and what to do next. Never a password."""

from urllib.parse import urlsplit

import asyncpg

from eventstore.errors import (
    BadInput,
    LogLocked,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
)

RAISED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError, OSError)
# Nothing is wrong with what was asked: the same again later succeeds.
_TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # A pooled connection that the server has just ended.
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,  # A server being demoted: its successor will take it.
    asyncpg.TransactionRollbackError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InvalidCachedStatementError,  # Another process has just migrated.
    TimeoutError,
    OSError,
)
_DENIED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError)
# Where the server makes a table's file longer. A limit on the size of files is an internal error to it, no full disk.
_EXTENDING = frozenset({"mdextend", "mdzeroextend"})
_URL_HELP = (
    "it looks like postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with percent signs for whatever is not a letter or a "
    "digit in the password (%2F for /, %23 for #, %40 for @)"
)


def fault(doing: str, error: Exception) -> StoreError:
    """`error`, one of RAISED, as the port's. `doing` names the call."""
    said = f"{doing}: {type(error).__name__}: {error}"
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return BadInput(f"{doing}: {error}")  # A bad argument: trying again would not help.
    if isinstance(error, asyncpg.DiskFullError) or _cannot_extend(error):
        return StoreFull(
            f"{said}: the server has no room left, nothing was written; make room where PostgreSQL keeps its data, and "
            "the same call succeeds"
        )
    if isinstance(error, asyncpg.LockNotAvailableError):
        return LogLocked(f"{said}; nothing was written")
    if isinstance(error, _DENIED):
        return StoreRefused(f"{said}; have the database's owner grant it, or use another user in the PostgreSQL URL")
    return StoreUnavailable(said) if isinstance(error, _TRANSIENT) else StoreError(said)


def refusal(dsn: str, error: Exception) -> StoreError:
    """Why there is no connection to the server of `dsn`."""
    where = f"cannot connect to PostgreSQL at {place(dsn)}"
    if isinstance(error, ValueError):  # Its words may quote the URL, and so the password: they are left out.
        return BadInput(f"cannot use the PostgreSQL URL, or one of its options ({type(error).__name__}): {_URL_HELP}")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return StoreRefused(f"{where}: {error}; check user and password in the PostgreSQL URL")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StoreRefused(f"{where}: {error}; create it (createdb), or correct the PostgreSQL URL")
    translated = fault(where, error)
    if type(translated) is StoreUnavailable:
        return StoreUnreachable(f"{translated}; is the server running, and is its address right?")
    return translated


def place(dsn: str) -> str:
    """Host, port and database of a URL; no user and no password."""
    try:
        parts = urlsplit(dsn)
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or "localhost"
        return f"{host}:{parts.port or 5432}{parts.path}"
    except ValueError:
        return "an address that cannot be read"


def _cannot_extend(error: Exception) -> bool:
    return (
        isinstance(error, asyncpg.InternalServerError) and error.as_dict().get("server_source_function") in _EXTENDING
    )
