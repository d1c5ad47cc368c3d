"""The stream of commands as we need it, and its single messages: reading one as the leader has it, and overwriting some
before they are purged."""

from collections.abc import Collection
from datetime import datetime

import msgspec
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, SubjectTransform

from actors.runtime.ports import StoredMessage
from protocol.subjects import transform

DUPLICATE_WINDOW_S = 0.1  # Ids are ours (ce-id); the stream's own dedupe must never swallow a message.
_DIGITS_KEPT = 6  # Of a stored time's fraction of a second: microseconds.
_NO_MESSAGE = (10043, 10057)  # The API's codes for a sequence that is not there: never, or deleted before.


class Unanswered(Exception):
    """The server said something else than a message or that there is none."""


class _Stored(msgspec.Struct):
    subject: str
    time: str


class _ApiError(msgspec.Struct):
    code: int = 0
    description: str = ""


class _GetResponse(msgspec.Struct):
    message: _Stored | None = None
    error: _ApiError | None = None


def commands_stream(name: str, root: str, bytes_max: int) -> StreamConfig:
    """COMMANDS of the company whose subjects begin with `root`: full, publishers are told to wait."""
    source, destination = transform(root)
    return StreamConfig(
        name=name,
        subjects=[source],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=bytes_max,
        duplicate_window=DUPLICATE_WINDOW_S,
        subject_transform=SubjectTransform(src=source, dest=destination),
        allow_direct=True,
    )


def traced(traceparent: str) -> dict[str, str]:
    """The headers that name a place in a trace ("": none)."""
    return {"traceparent": traceparent} if traceparent else {}


async def stored_message(client: Client, stream: str, sequence: int, timeout_s: float) -> StoredMessage | None:
    """Where and when the message with that sequence was stored, without what is in it; None when there is none."""
    # Not a direct get: the leader's word is asked for, and it carries the stored time.
    asked = f"$JS.API.STREAM.MSG.GET.{stream}"
    response = await client.request(asked, b'{"seq":%d}' % sequence, timeout=timeout_s)
    try:
        answer = msgspec.json.decode(response.data, type=_GetResponse)
    except msgspec.DecodeError as error:
        raise Unanswered(str(error)) from error
    if answer.message is None:
        if answer.error is not None and answer.error.code != 404:
            raise Unanswered(answer.error.description)
        return None
    return StoredMessage(sequence, answer.message.subject, {}, b"", _stored_at(answer.message.time))


async def erase(stream: JetStreamContext, name: str, sequences: Collection[int]) -> None:
    """Overwrite those messages, where they are there.

    A purge forgets where messages stood in a file that may stay for long; a deletion overwrites them on the broker's
    disk. One message takes about a millisecond, so only those that may be about somebody are deleted.
    """
    for sequence in sorted(sequences):
        try:
            await stream.delete_msg(name, sequence)
        except nats.js.errors.APIError as error:
            if error.err_code not in _NO_MESSAGE:
                raise


def _stored_at(text: str) -> datetime:
    """An RFC 3339 time of the server's, in whole microseconds: further digits are cut off, missing ones are zeros."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{fraction[:_DIGITS_KEPT].ljust(_DIGITS_KEPT, '0')}+00:00")
