"""A command as anybody would type it."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.desk import open_asker
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from protocol.codec import BODY_BYTES_MAX
from protocol.reply import Reply
from protocol.subjects import BadSubject, parse_command_subject
from protocol.trace import TraceContext, parse

NEW = "new"

_CODES = {
    "accepted": Exit.OK,
    "silent": Exit.OK,
    "refused": Exit.FAILURE,
    "quarantined": Exit.FAILURE,
    "parked": Exit.FAILURE,
}


def pub(
    subject: str,
    body: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    raw: bool = False,
    traceparent: str = "",
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Publish a message, and print the company's reply.

    Parameters
    ----------
    subject
        troupe.cmd.<project>.<kind>.<id>
    body
        The message, exactly as it is to be published: JSON with a "type". "-" reads it from stdin.
    raw
        Publish anything anywhere: no check, no header, no reply.
    traceparent
        The W3C trace that the message continues; "new" begins one, and says which.
    """
    given = _trace(traceparent, raw)
    content = sys.stdin.buffer.read() if body == "-" else body.encode("utf-8", "surrogateescape")
    settings = place.settings()

    async def publish() -> int:
        async with open_asker(settings) as asker:
            await asker.publish(subject, content)
        output.note(f"published {len(content)} bytes on {subject}")
        return Exit.OK

    async def ask() -> int:
        async with open_asker(settings) as asker:
            trace = asker.new_trace() if traceparent == NEW else given
            if trace is not None:
                output.note(f"trace {trace.trace_id}")
            reply = await asker.ask(address, content, trace=trace)
        output.data(reply) if as_json else _tell(reply)
        return _CODES[reply.outcome]

    if raw:
        return execute(publish)
    try:
        address = parse_command_subject(subject, settings.root)
    except BadSubject as error:
        raise Stop(Exit.USAGE, f"{error}; or publish it as it is with --raw") from error
    _check(content)
    return execute(ask)


def _trace(traceparent: str, raw: bool) -> TraceContext | None:
    if raw and traceparent:
        raise Stop(Exit.USAGE, "--raw publishes without any header: leave --traceparent out")
    found = parse(traceparent)
    if found is None and traceparent not in ("", NEW):
        shape = "00-<32 hexadecimal digits>-<16 hexadecimal digits>-01"
        raise Stop(Exit.USAGE, f"{traceparent!r} is no traceparent ({shape}); leave it out, or say {NEW}")
    return found


def _check(content: bytes) -> None:
    if len(content) > BODY_BYTES_MAX:
        raise Stop(Exit.USAGE, f"the message has {len(content)} bytes, limit {BODY_BYTES_MAX}")
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Stop(Exit.USAGE, f"the message is not JSON ({error}); publish it as it is with --raw") from error


def _tell(reply: Reply) -> None:
    output.say(f"{reply.outcome}{' (known)' if reply.known else ''}: {reply.actor}, id {reply.id}")
    if reply.events:
        output.say(f"{' '.join(reply.events)} from position {reply.position}")
    if reply.code:
        output.say(f"{reply.code}: {reply.message}")
