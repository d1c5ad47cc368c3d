"""A read of a view, as it is asked over NATS (`<root>.query.<view>`) and on the command line: request, answer, error.

Times are ISO 8601 with a zone; answers are in UTC.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

QUERY_ROWS = 50  # Rows of a page, unless asked otherwise,
QUERY_ROWS_MAX = 500  # and at most.
QUERY_TIMEOUT_S = 5.0  # How long an answer is waited for, unless asked otherwise,
QUERY_TIMEOUT_S_MAX = 30.0  # and at most.
CURSOR_LENGTH_MAX = 8_192  # Characters: the longest keys there are.

FaultCode = Literal[
    "malformed", "unknown-view", "unknown-filter", "bad-value", "bad-time", "bad-cursor", "bad-limit", "bad-project",
    "never-fails", "behind", "missing", "unavailable", "busy", "too-big", "internal",
]  # fmt: skip
"""Of the asker's making: malformed, unknown-view, unknown-filter, bad-value (of a filter), bad-time, bad-cursor,
bad-limit, bad-project, never-fails (nothing in the view can be failed). behind: the view did not reach the position in
time. missing: the view is not there in this version. unavailable: the database is out of reach. busy: too many at once.
too-big: one row is more than a message takes. internal: a mistake in the server, whose log has it."""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Query(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Rows of one view, newest first, of one project and no other.

    where: columns and the values they must have. since, until: `since <= time < until`. failed: only what failed.
    after: the `next` of the page before. at_least: wait until the view holds the log up to that position.
    """

    project: str
    where: dict[str, str] = {}
    since: _Time | None = None
    until: _Time | None = None
    failed: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=QUERY_ROWS_MAX)] = QUERY_ROWS
    after: Annotated[str, msgspec.Meta(max_length=CURSOR_LENGTH_MAX)] = ""
    at_least: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=QUERY_TIMEOUT_S_MAX)] = QUERY_TIMEOUT_S


class Answer(msgspec.Struct, frozen=True):
    """Rows of `view` as they were when it held the log up to `position`. `next` is the `after` of the next page; "":
    there are no more. A page may be shorter than its limit and still have a `next`."""

    view: str
    position: int
    rows: tuple[Any, ...]
    next: str


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why there is no answer. `allowed`: what could have been said instead. `position`: where the view stands, of
    `behind`. `next`: how to go on behind the row, of `too-big`. `retry_after_s` (0: there is no use in it): ask the
    same again after so many seconds."""

    code: FaultCode
    message: str
    view: str = ""
    allowed: tuple[str, ...] = ()
    position: int | None = None
    next: str = ""
    retry_after_s: float = 0.0
