"""Personal text on its way to a provider and back: opened for one request only, sealed again in what comes of it.

A conversation is stored sealed. What is opened for the provider is remembered by the keys that opened it, and whatever
the provider then says, text and arguments, is sealed under all of them before it is stored or becomes an event: what a
model quotes is forgotten with its subject. Arguments of tool calls travel as {"sealed": …}; no tool takes its arguments
from a model, the playbooks fill them in. Results of tools are never opened: what looks sealed in a repository stays so.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from actors.runtime.blobs import patiently
from actors.services.router.provider import ChatMessage, Completion, ProviderError, ToolCall
from eventstore.keyring import Keyring
from eventstore.opened import Opened
from protocol.codec import encode
from protocol.personal import is_sealed
from protocol.role import ToolRequest

SEALED_ARGS = "sealed"
_UNQUOTED = "the provider's words are not kept, since they may quote personal text"

log = structlog.get_logger("router")


class Confidence:
    """What one request may show to the provider, and under which keys its outcome is sealed."""

    def __init__(self, keyring: Keyring | None, project: str, opened: Opened) -> None:
        self._keyring, self._project, self._opened = keyring, project, opened

    @classmethod
    async def of(cls, keyring: Keyring | None, project: str, messages: Sequence[ChatMessage]) -> "Confidence":
        """Open what these messages hold. What cannot be opened is shown sealed, and said in the log."""
        if keyring is None:
            return cls(None, project, Opened())
        said = [message for message in messages if message.role != "tool"]
        texts = [message.text for message in said] + [args for message in said for args in _sealed_args(message)]
        opened = await patiently(lambda: keyring.opened(project, texts))
        for fault in opened.faults:
            log.error("router.not_opened", error=str(fault))
        return cls(keyring, project, opened)

    @property
    def personal(self) -> bool:
        """Whether the provider is shown anything personal."""
        return bool(self._opened.keys)

    def shown(self, message: ChatMessage) -> ChatMessage:
        """The message as the provider is to see it."""
        if message.role == "tool":
            return message
        calls = tuple(msgspec.structs.replace(call, args=self._args(call.args)) for call in message.tool_calls)
        return msgspec.structs.replace(message, text=self._opened.within(message.text), tool_calls=calls)

    async def kept(self, completion: Completion) -> tuple[str, tuple[ToolRequest, ...]]:
        """Text and tool calls of the answer as they may be stored."""
        calls = completion.tool_calls
        if self._keyring is None or not self.personal:
            return completion.text, tuple(ToolRequest(c.id, c.tool, c.args) for c in calls)
        words = [completion.text, *(encode(call.args).decode() for call in calls)]
        keyring, keys = self._keyring, self._opened.keys
        text, *args = await patiently(lambda: keyring.seal_under(self._project, keys, words))
        requests = [
            ToolRequest(call.id, call.tool, {SEALED_ARGS: sealed} if call.args else {})
            for call, sealed in zip(calls, args, strict=True)
        ]
        return text if completion.text else "", tuple(requests)

    async def kept_bytes(self, content: bytes) -> bytes:
        """The answer's text as a blob."""
        if self._keyring is None or not self.personal:
            return content
        keyring, keys = self._keyring, self._opened.keys
        return await patiently(lambda: keyring.seal_bytes(self._project, keys, content))

    def without_words(self, error: ProviderError) -> ProviderError:
        """The provider's complaint as it may be kept and logged."""
        return ProviderError(error.kind, _UNQUOTED, error.retry_after_s) if self.personal else error

    def _args(self, args: dict[str, Any]) -> dict[str, Any]:
        if not _are_sealed(args):
            return args
        try:
            return msgspec.json.decode(self._opened.within(args[SEALED_ARGS]), type=dict[str, Any])
        except msgspec.DecodeError:
            return {}  # Erased, or not to be opened.


def _are_sealed(args: dict[str, Any]) -> bool:
    return args.keys() == {SEALED_ARGS} and isinstance(args[SEALED_ARGS], str) and is_sealed(args[SEALED_ARGS])


def _sealed_args(message: ChatMessage) -> list[str]:
    return [call.args[SEALED_ARGS] for call in message.tool_calls if _are_sealed(call.args)]


def calls_of(requests: Sequence[ToolRequest]) -> tuple[ToolCall, ...]:
    """Stored tool calls as a provider knows them."""
    return tuple(ToolCall(request.id, request.tool, request.args) for request in requests)
