"""HTTP to model servers: one bounded request, its answer as JSON or as a stream of events, typed errors for the rest.

Nothing is tried again here: `unavailable` says that trying again may help, and the runtime does. Redirects are not
followed, since they would carry the key to another host. Proxies of the environment are used, except on this machine.
"""

import os
import time
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from actors.services.router.complaints import NO_MODEL_STATUS, Endpoint, error_of, read_complaint
from actors.services.router.sse import EventReader, ServerEvent

RESPONSE_BYTES_MAX = 16 * 2**20  # of one answer, unpacked
ERROR_BYTES_MAX = 64 * 2**10
CONNECTIONS_MAX = 16
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """Seconds: until the connection stands, of silence (a model may think before its first word), of a whole answer."""

    connect_s: float = 10.0
    silence_s: float = 180.0
    answer_s: float = 600.0


COMPLETION = Timeouts()
CHECK = Timeouts(connect_s=3.0, silence_s=10.0, answer_s=10.0)


@asynccontextmanager
async def open_session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Connections to model servers, kept open between requests and closed with the block. No cookies."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
    headers = {"User-Agent": "troupe"}
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers
    ) as session:
        yield session


class ModelHttp:
    """Requests to one endpoint, with its headers. Whatever goes wrong is a ProviderError."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        timeouts: Timeouts = COMPLETION,
    ) -> None:
        self.endpoint = endpoint
        self._session = session
        self._headers = dict(headers)
        self._timeouts = timeouts
        self._proxy = proxy_of(endpoint.url)

    async def get(self, path: str, type_: type[T]) -> T:
        """The JSON answer to a GET as `type_`."""
        async with self._request("GET", path, None, {}, CHECK) as response:
            await self._refuse_errors(response, "")
            return self.decode(await self._body(response, RESPONSE_BYTES_MAX), type_)

    async def probe(self, path: str, model: str) -> None:
        """Ask whether there is `model`: raises when there is none, the key is wrong or nobody answers.

        Any other answer (no such interface, busy, not allowed to look) says nothing about what a completion will get.
        """
        async with self._request("GET", path, None, {}, CHECK) as response:
            complaint = read_complaint(await self._body(response, ERROR_BYTES_MAX, cut=True))
            if response.status == 401 or (response.status in NO_MODEL_STATUS and complaint.about_model):
                raise error_of(self.endpoint, response.status, complaint, model)

    @asynccontextmanager
    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], model: str
    ) -> AsyncGenerator["Answer"]:
        """The answer to a JSON request, while it is being read."""
        async with self._request("POST", path, body, headers, self._timeouts) as response:
            await self._refuse_errors(response, model)
            yield Answer(self, response)

    def decode(self, content: bytes | str, type_: type[T]) -> T:
        """JSON as `type_`; ProviderError bad_response when it is something else."""
        try:
            return msgspec.json.decode(content, type=type_)
        except msgspec.DecodeError as error:
            raise self.endpoint.error("bad_response", f"the answer is not what its API promises: {error}") from error

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        limits = aiohttp.ClientTimeout(
            total=timeouts.answer_s, sock_connect=timeouts.connect_s, sock_read=timeouts.silence_s
        )
        try:
            async with self._session.request(
                method,
                self.endpoint.url + path,
                data=None if body is None else msgspec.json.encode(body),
                headers={"Content-Type": "application/json", **self._headers, **headers},
                timeout=limits,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                yield response
        except TimeoutError as error:
            what = f"no answer from {self.endpoint.url} in time ({error or 'the whole took too long'})"
            raise self.endpoint.error("unavailable", what) from error
        except aiohttp.ClientConnectorError as error:
            what = f"{self.endpoint.url} cannot be reached ({_why(error)})"
            mend = f"start the server, or correct {self.endpoint.url_setting}"
            raise self.endpoint.error("unavailable", f"{what}: {mend}") from error
        except aiohttp.ClientError as error:
            what = f"the connection to {self.endpoint.url} broke ({error or type(error).__name__})"
            raise self.endpoint.error("unavailable", what) from error

    async def _refuse_errors(self, response: aiohttp.ClientResponse, model: str) -> None:
        if response.status != 200:
            complaint = read_complaint(await self._body(response, ERROR_BYTES_MAX, cut=True))
            wait = response.headers.get("Retry-After", "")
            raise error_of(self.endpoint, response.status, complaint, model, wait, time.time())

    async def _body(self, response: aiohttp.ClientResponse, bytes_max: int, cut: bool = False) -> bytes:
        """The whole body, `cut` at the limit or refused beyond it."""
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > bytes_max:
                if cut:
                    return bytes(content[:bytes_max])
                raise self.too_long()
        return bytes(content)

    def too_long(self) -> Exception:
        return self.endpoint.error("bad_response", f"the answer is longer than {RESPONSE_BYTES_MAX} bytes")


class Answer:
    """An accepted answer: `streamed` tells which of the two ways of reading it is right."""

    def __init__(self, http: ModelHttp, response: aiohttp.ClientResponse) -> None:
        self._http = http
        self._response = response

    @property
    def streamed(self) -> bool:
        """True for server-sent events, False for JSON; ProviderError bad_response for anything else."""
        kind = self._response.content_type
        if kind == "text/event-stream":
            return True
        if kind == "application/json" or kind.endswith("+json"):
            return False
        endpoint = self._http.endpoint
        what = f"{endpoint.url} answers with {kind}, not with a completion: correct {endpoint.url_setting}"
        raise endpoint.error("bad_response", what)

    async def whole(self, type_: type[T]) -> T:
        """The JSON body as `type_`."""
        content = bytearray()
        async for piece in self._pieces():
            content += piece
        return self._http.decode(bytes(content), type_)

    async def events(self) -> AsyncIterator[ServerEvent]:
        """The events of the stream as they come, until it ends."""
        reader = EventReader()
        async for piece in self._pieces():
            for event in reader.feed(piece):
                yield event

    async def _pieces(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._response.content.iter_any():
            read += len(piece)
            if read > RESPONSE_BYTES_MAX:
                raise self._http.too_long()
            yield piece


def _why(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    number = error.os_error.errno
    return os.strerror(number) if number and number > 0 else str(error.os_error) or type(error).__name__


def is_local(url: str) -> bool:
    """Whether `url` is on this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def proxy_of(url: str) -> str | None:
    """The proxy the environment names for `url`; none for this machine and for hosts it exempts."""
    parts = urlsplit(url)
    if is_local(url) or not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
