"""Which provider a company asks: settings and keys in, one checked provider out.

What is certainly wrong is said at once and not by thirteen failing roles: a missing or refused key, a model that does
not exist, a server that nobody answers at.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from actors.services.router import offline
from actors.services.router.complaints import Endpoint
from actors.services.router.exchange import ModelProvider, Wire
from actors.services.router.provider import Provider, ProviderError

if TYPE_CHECKING:
    import aiohttp

NAMES = ("offline", "openai", "anthropic", "compatible")
OFFERED_SHOWN_MAX = 8


class BadChoice(ValueError):
    """The settings name no provider that can be asked. One line: which setting, what is wrong, what to do."""


@dataclass(frozen=True)
class Choice:
    """The settings: a provider's name, a model ("" = the provider's default) and a server ("" = the provider's own)."""

    provider: str = offline.NAME
    model: str = ""
    url: str = ""


@asynccontextmanager
async def open_provider(
    choice: Choice, environment: Mapping[str, str], scripts: Mapping[str, offline.Script]
) -> AsyncGenerator[Provider]:
    """The provider, its connections open until the block ends. Keys are read from `environment`, nothing else is.

    Raises BadChoice for settings that cannot be, ProviderError for what the provider says to them.
    """
    if choice.provider not in NAMES:
        raise BadChoice(f"there is no provider {choice.provider!r} (TROUPE_PROVIDER): take one of {', '.join(NAMES)}")
    if choice.provider == offline.NAME:
        _refuse_for_offline(choice)
        yield offline.OfflineProvider(scripts)
        return
    # The HTTP client is imported where it is needed: it takes half a second of every start.
    from actors.services.router.http import open_session
    from actors.services.router.prices import cost_usd

    async with open_session() as session:
        wire, model = await _wire(choice, environment, session)
        yield ModelProvider(wire, model, cost_usd)


def _refuse_for_offline(choice: Choice) -> None:
    """A model or server beside the offline provider is a forgotten TROUPE_PROVIDER, not something to ignore."""
    given = [("TROUPE_MODEL", choice.model)] if choice.model != offline.MODEL else []
    for setting, value in (*given, ("TROUPE_PROVIDER_URL", choice.url)):
        if value:
            raise BadChoice(
                f"{setting} is {value!r}, but the provider is {offline.NAME}, which has none: "
                f"set TROUPE_PROVIDER to {', '.join(NAMES[1:-1])} or {NAMES[-1]}, or unset {setting}"
            )


async def _wire(choice: Choice, environment: Mapping[str, str], session: "aiohttp.ClientSession") -> tuple[Wire, str]:
    """The wire and the model, both checked."""
    from actors.services.router import anthropic, compatible, openai

    match choice.provider:
        case anthropic.NAME:
            endpoint = _endpoint(choice, environment, anthropic.KEY_SETTING, anthropic.URL)
            endpoint = replace(endpoint, url=endpoint.url.removesuffix("/v1"))
            wire = anthropic.Messages(session, endpoint)
        case openai.NAME:
            endpoint = _endpoint(choice, environment, openai.KEY_SETTING, openai.URL)
            wire = openai.ChatCompletions(session, endpoint)
        case _:
            endpoint = _endpoint(choice, environment, compatible.KEY_SETTING, "")
            if not endpoint.url:
                endpoint = await compatible.find_server(session, endpoint)
            wire = openai.ChatCompletions(session, endpoint)
            if not choice.model:
                return wire, await compatible.pick_model(wire)
    if not choice.model:
        raise BadChoice(f"no model is named: put one of {endpoint.provider} into TROUPE_MODEL; {await _offered(wire)}")
    await _check(wire, choice.model)
    return wire, choice.model


def _endpoint(choice: Choice, environment: Mapping[str, str], key_setting: str, url: str) -> Endpoint:
    """`url` is the provider's own address; it wants a key there, and one is wanted unless it has none of its own."""
    key = environment.get(key_setting, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadChoice(f"{key_setting} holds characters that cannot be part of a key: set it again")
    if url and not key:
        raise BadChoice(f"{choice.provider} wants a key: put it into the environment variable {key_setting}")
    return Endpoint(choice.provider, server_url(choice.url) or url, key_setting, key=key)


def server_url(url: str) -> str:
    """TROUPE_PROVIDER_URL without a final slash; one without a path gets the usual /v1."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise BadChoice("TROUPE_PROVIDER_URL is no address: write it like http://127.0.0.1:11434/v1") from None
    if not valid:
        raise BadChoice("TROUPE_PROVIDER_URL is no http or https address: write it like http://127.0.0.1:11434/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadChoice(
            "TROUPE_PROVIDER_URL holds more than an address: a key belongs into its own environment variable"
        )
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


async def _check(wire: Wire, model: str) -> None:
    """Raises what is certain to go wrong with every completion."""
    try:
        await wire.find(model)
    except ProviderError as error:
        if error.kind == "unknown_model":
            raise ProviderError(error.kind, f"{error.message}; {await _offered(wire)}") from error
        raise


async def _offered(wire: Wire) -> str:
    """The models on offer in words. A key the server does not accept is said instead of them."""
    try:
        models = await wire.models()
    except ProviderError as error:
        if error.kind in ("bad_key", "unavailable"):
            raise
        return "which models there are, the provider does not say"
    more = len(models) - OFFERED_SHOWN_MAX
    shown = ", ".join(models[:OFFERED_SHOWN_MAX]) or "none"
    return f"on offer: {shown}" + (f" and {more} more" if more > 0 else "")
