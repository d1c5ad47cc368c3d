"""The company's log file: one JSON object a line, each with `correlation` and `trace_id`, bounded in size, and without
secrets.

`correlation` is the task a line is about ("" for a line about none), `trace_id` its trace. Whoever works for a task
binds both with `structlog.contextvars`, so that every line below carries them. Lines of libraries come in the same
form.
"""

import logging
import os
import re
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FILE_BYTES_MAX = 20 * 1000 * 1000
FILES_KEPT = 2  # Beside the one being written: 60 MB in all.
SECRET_LENGTH_MIN = 8  # Shorter values of the environment would blacken ordinary words.
LINE_CHARACTERS_MAX = 20_000  # Of one value; a traceback is shorter.
REDACTED = "[redacted]"

log = structlog.get_logger("monitoring")

_SECRET_KEY = re.compile(
    r"(?:^|[_-])(?:password|passwd|secret|token|api_?key|authorization|credentials?)$", re.IGNORECASE
)
_SECRET_VARIABLE = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
# Each takes time in proportion to the text, whatever the text: it comes from anywhere.
_PATTERNS = (
    # user:password@host and, as NATS writes it, token@host
    (re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]{0,31}://)[^\s/@]+@", re.IGNORECASE), rf"\g<kept>{REDACTED}@"),
    (re.compile(r"(?P<kept>\bbearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\g<kept>{REDACTED}"),
    (re.compile(r"(?P<kept>\b(?:password|passwd|secret|token|api[_-]?key)['\"]?\s*[=:]\s*['\"]?)[^\s,;&'\"]+",
                re.IGNORECASE),
     rf"\g<kept>{REDACTED}"),
    (re.compile(r"(?P<kept>\b)(?:sk|pk|rk)-[\w-]{16,}"), REDACTED),
)  # fmt: skip


class Redactor:
    """Takes secrets out of log lines: under telling names, in telling forms, and the known ones wherever they stand."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets: list[str] = []
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """From now on this text does not appear. Too short ones are left alone: they are words, not secrets."""
        if len(secret) >= SECRET_LENGTH_MIN and secret not in self._secrets:
            self._secrets.append(secret)
            self._secrets.sort(key=len, reverse=True)  # One that contains another goes first.

    def learn_url(self, url: str) -> None:
        """Learn an address's password, in both spellings, or the name that stands alone, which is NATS' token."""
        parts = urlsplit(url)
        secret = parts.password or parts.username or ""
        self.learn(secret)
        self.learn(unquote(secret))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """A structlog processor, to stand right before the renderer."""
        return {name: self._value(name, value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """`text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text if len(text) <= LINE_CHARACTERS_MAX else text[: LINE_CHARACTERS_MAX - 1] + "…"

    def _value(self, name: str, value: object) -> object:
        if _SECRET_KEY.search(name):
            return REDACTED if value else value
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value)
            return {str(key): self._value(str(key), inner) for key, inner in items.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", inner) for inner in cast("Collection[object]", value)]
        return self.text(str(value))


def secrets_of(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The values of variables whose names say that they are secret (…_KEY, …_TOKEN, …_PASSWORD)."""
    return [value for name, value in environment.items() if _SECRET_VARIABLE.search(name.upper())]


@contextmanager
def logging_into(path: Path, on_lost: Callable[[], None] = lambda: None) -> Generator[Redactor]:
    """Inside the block everything is logged into `path` and nowhere else. The redactor may learn further secrets.

    A line that cannot be written (a full disk) is dropped and `on_lost` called: logging never stops the company.
    """
    root = logging.getLogger()
    before, level, config = root.handlers[:], root.level, structlog.get_config()
    redactor = Redactor(secrets_of())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_correlation,
    ]
    handler = _Handler(path, on_lost)
    handler.setFormatter(_formatter(shared, redactor))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield redactor
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.configure(**config)
        handler.close()


@contextmanager
def logged_errors() -> Generator[None]:
    """An error that ends the block is in the log, with where it came from, before anything around it is taken down."""
    try:
        yield
    except Exception as error:
        log.error("company.failed", error=f"{type(error).__name__}: {error}", exc_info=error)
        raise


def _formatter(shared: list[Processor], redactor: Redactor) -> logging.Formatter:
    """Ours and the libraries' lines in one form; secrets are taken out last, from tracebacks too."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redactor,
            structlog.processors.JSONRenderer(),
        ],
    )


def _with_correlation(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.setdefault("correlation", "")
    event.setdefault("trace_id", "")
    return event


class _Handler(RotatingFileHandler):
    """Three files of bounded size; what cannot be written is dropped and counted."""

    def __init__(self, path: Path, on_lost: Callable[[], None]) -> None:
        path.touch(mode=0o600)
        super().__init__(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")
        self._on_lost = on_lost

    def handleError(self, record: logging.LogRecord) -> None:
        self._on_lost()
