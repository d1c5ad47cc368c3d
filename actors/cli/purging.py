"""Has the running company purge COMMANDS, and waits until it has: nothing that was in the stream is left in it.

A doorbell of ours marks the place. The company settles what is before it, moves its cursors on to it, and purges what
is below: then the stream begins at the mark or later.
"""

import anyio
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from actors.cli.client import Asker
from actors.runtime.nats_bus import stream_of
from protocol.subject import FORGOTTEN_BELL
from protocol.subjects import Address, command_subject, effect_subject

PURGE_WAIT_S = 20.0  # The cursors move every 5 s, and the purge follows within 2.
RING_EVERY_S = 3.0  # A doorbell may be lost.
POLL_S = 0.2
_MARK = Address("troupe", "runtime", "subject")  # No actor: its doorbell finds no mail.
_FAILED = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


async def purge(asker: Asker, wait_s: float = PURGE_WAIT_S) -> bool:
    """Whether what COMMANDS held at the time of the call is gone from it; False when that took too long, or NATS has
    no such stream now."""
    try:
        with anyio.move_on_after(wait_s):
            stream = asker.client.jetstream()
            mark = await stream.publish(command_subject(_MARK, asker.root), b"", headers={"Troupe-Outbox": "1"})
            while True:
                await asker.client.publish(effect_subject(FORGOTTEN_BELL, asker.root), b"")
                with anyio.move_on_after(RING_EVERY_S):
                    await _begins_at(stream, stream_of(asker.root), mark.seq)
                    return True
    except _FAILED:
        return False
    return False


async def _begins_at(stream: JetStreamContext, name: str, sequence: int) -> None:
    while (await stream.stream_info(name)).state.first_seq < sequence:  # noqa: ASYNC110 - another process purges
        await anyio.sleep(POLL_S)
