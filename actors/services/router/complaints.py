"""What a model server complains about, as the typed errors of the provider port. Pure.

Every message is one line that names the provider, what happened and what to do. No key is ever part of one: not ours,
and not what a server repeats of it.
"""

import math
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from actors.services.router.provider import ProviderError, ProviderErrorKind

MESSAGE_LENGTH_MAX = 300  # Characters of a server's own words.
NO_MODEL_STATUS = (400, 403, 404, 422)  # with which servers say that there is no such model
RETRY_AFTER_S_MAX = 60.0  # A server that asks for more is asked again sooner: the task has an end.

_NO_SUCH_MODEL = re.compile(
    r"invalid model|\bmodel\b.*(not exist|not found|not a valid|not valid|unknown)", re.I | re.S
)
_LATER = frozenset({408, 409, 425, 429})
_KEY_LIKE = re.compile(r"\b(?:sk|key|pk)-[\w*.…-]{4,}", re.I)


@dataclass(frozen=True)
class Endpoint:
    """A model server: who it is in messages, where it is, which setting names the key, the model and the address.

    `key` is "" for a server that wants none; it is left out of the representation.
    """

    provider: str
    url: str
    key_setting: str
    model_setting: str = "TROUPE_MODEL"
    url_setting: str = "TROUPE_PROVIDER_URL"
    key: str = field(default="", repr=False)

    def error(self, kind: ProviderErrorKind, what: str, retry_after_s: float = 0.0) -> ProviderError:
        """The error, without the key whoever wrote `what`."""
        return ProviderError(kind, f"{self.provider}: {self.clean(what)}", retry_after_s)

    def clean(self, text: str) -> str:
        """`text` on one line, without the key and without what looks like one."""
        if self.key:
            text = text.replace(self.key, "***")
        return " ".join(_KEY_LIKE.sub("***", text).split())


@dataclass(frozen=True, slots=True)
class Complaint:
    """A server's own words: its code or type, and its message."""

    code: str
    message: str

    @property
    def words(self) -> str:
        return self.message[:MESSAGE_LENGTH_MAX] or self.code or "without saying why"

    @property
    def about_model(self) -> bool:
        """It says that there is no such model."""
        named = "model_not_found" in self.code
        missing = "not_found" in self.code.lower() and "model" in self.message.lower()
        return named or missing or _NO_SUCH_MODEL.search(self.message) is not None


def read_complaint(content: bytes) -> Complaint:
    """The complaint in an error's body, in any of the shapes in use; a body that is none of them is its own message."""
    try:
        body: Any = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return Complaint("", content.decode("utf-8", "replace").strip())
    return complaint_of(body)


def complaint_of(body: Any) -> Complaint:
    """OpenAI and Anthropic nest an `error`, vLLM does not, Ollama's is a string, FastAPI servers say `detail`."""
    if not isinstance(body, dict):
        return Complaint("", str(body))
    table: dict[str, Any] = body  # pyright: ignore[reportUnknownVariableType]  # JSON: keys are strings
    inner: Any = table.get("error")
    if isinstance(inner, dict):
        return complaint_of(inner)
    message: Any = inner or table.get("message") or table.get("detail") or ""
    words = [str(table[name]) for name in ("code", "type") if isinstance(table.get(name), str)]
    return Complaint(" ".join(words), message if isinstance(message, str) else msgspec.json.encode(message).decode())


def error_of(
    endpoint: Endpoint, status: int, complaint: Complaint, model: str, retry_after: str = "", now_s: float = 0.0
) -> ProviderError:
    """The typed error for an answer of that HTTP status. `now_s` (Unix time) is for a Retry-After that is a date."""
    words = complaint.words
    if status == 401:
        if not endpoint.key:
            return endpoint.error("bad_key", f"the server wants a key (401): put one into {endpoint.key_setting}")
        return endpoint.error(
            "bad_key", f"the key in {endpoint.key_setting} was not accepted (401): put a valid one there"
        )
    if complaint.about_model and status in NO_MODEL_STATUS:
        return unknown_model(endpoint, model, words)
    if status == 403:
        return endpoint.error("bad_key", f"the key in {endpoint.key_setting} may not do this (403): {words}")
    if status == 429 and "insufficient_quota" in complaint.code:
        return endpoint.error("refused", f"the account's quota is used up (429): {words}")
    if status in _LATER or status >= 500:
        return endpoint.error(
            "unavailable", f"the server cannot answer now ({status}): {words}", _seconds(retry_after, now_s)
        )
    if status == 404:
        what = f"there is no such interface at {endpoint.url} (404): correct {endpoint.url_setting}"
        return endpoint.error("refused", what)
    if 300 <= status < 400:
        what = f"{endpoint.url} redirects elsewhere ({status}): name the final address in {endpoint.url_setting}"
        return endpoint.error("refused", what)
    return endpoint.error("refused", f"the request was not accepted ({status}): {words}")


def unknown_model(endpoint: Endpoint, model: str, words: str) -> ProviderError:
    """There is no such model, and where its name comes from."""
    return endpoint.error("unknown_model", f"there is no model {model!r}, named in {endpoint.model_setting}: {words}")


def broken_off(endpoint: Endpoint, complaint: Complaint, model: str) -> ProviderError:
    """The typed error for a complaint in the middle of a stream, which has no status of its own."""
    code = complaint.code.lower()
    if "auth" in code:
        return error_of(endpoint, 401, complaint, model)
    if any(word in code for word in ("invalid", "not_found", "notfound", "badrequest", "too_large")):
        return error_of(endpoint, 400, complaint, model)
    return endpoint.error("unavailable", f"the server broke its answer off: {complaint.words}")


def _seconds(retry_after: str, now_s: float) -> float:
    """Seconds of a Retry-After header, which is a number or a date; 0 when there is none."""
    try:
        wait_s = float(retry_after)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(retry_after).timestamp() - now_s
        except ValueError:
            return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX) if math.isfinite(wait_s) else 0.0
