"""Servers that speak OpenAI's Chat Completions: where one is found on this machine, and which of its models is taken.

The wire format itself is openai.py's.
"""

from collections.abc import Sequence
from dataclasses import replace

import aiohttp
import structlog

from actors.services.router.complaints import Endpoint
from actors.services.router.openai import ChatCompletions
from actors.services.router.provider import ProviderError

NAME = "compatible"
KEY_SETTING = "TROUPE_PROVIDER_KEY"
LOCAL_SERVERS = (("Ollama", "http://127.0.0.1:11434/v1"), ("vLLM", "http://127.0.0.1:8000/v1"))

_NOT_FOR_CHAT = ("embed", "rerank", "whisper")

log = structlog.get_logger("router")


async def find_server(
    session: aiohttp.ClientSession, endpoint: Endpoint, servers: Sequence[tuple[str, str]] = LOCAL_SERVERS
) -> Endpoint:
    """The endpoint at the first usual local address where such a server lists its models. `unavailable` when none."""
    for name, url in servers:
        # Without the key: a program that happens to listen there must not get it.
        here = replace(endpoint, url=url, key="")
        try:
            await ChatCompletions(session, here).models()
        except ProviderError as error:
            if error.kind != "bad_key":
                continue
        log.info("router.server_found", server=name, url=url)
        return replace(here, key=endpoint.key)
    tried = ", ".join(f"{url} ({name})" for name, url in servers)
    what = f"no model server answers on this machine; tried {tried}: start one, or name it in {endpoint.url_setting}"
    raise endpoint.error("unavailable", what)


async def pick_model(wire: ChatCompletions) -> str:
    """The first model on offer that can hold a conversation; `unknown_model` when there is none."""
    endpoint = wire.endpoint
    offered = await wire.models()
    fit = [model for model in offered if not any(word in model.lower() for word in _NOT_FOR_CHAT)]
    if not fit:
        what = f"{endpoint.url} offers no model that can chat: load one there, or name one in {endpoint.model_setting}"
        raise endpoint.error("unknown_model", what)
    log.info("router.model_picked", model=fit[0], offered=len(offered))
    return fit[0]
