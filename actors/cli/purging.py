"""Has the running company purge COMMANDS, and waits until it has: nothing that was in the stream is left in it.

Doorbells of ours mark the place, one in each partition. The company settles what is before them, moves its cursors on
to them, and purges what is below: then the stream begins at the first mark or later.
"""

import anyio
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from actors.cli.client import Asker
from actors.runtime.bells import bell_of
from actors.runtime.nats_bus import stream_of
from protocol.subject import FORGOTTEN_BELL
from protocol.subjects import PARTITIONS, command_subject, effect_subject

PURGE_WAIT_S = 20.0  # The cursors move every second, and the purge follows at the bell.
RING_EVERY_S = 0.5  # Until all have moved; and a doorbell may be lost.
POLL_S = 0.2
_FAILED = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


async def purge(asker: Asker, wait_s: float = PURGE_WAIT_S) -> bool:
    """Whether what COMMANDS held at the time of the call is gone from it; False when that took too long, or NATS has
    no such stream now."""
    try:
        with anyio.move_on_after(wait_s):
            stream = asker.client.jetstream()
            first = 0
            for partition in range(PARTITIONS):
                bell = command_subject(bell_of(partition), asker.root)
                mark = await stream.publish(bell, b"", headers={"Troupe-Outbox": "1"})
                first = first or mark.seq
            while True:
                await asker.client.publish(effect_subject(FORGOTTEN_BELL, asker.root), b"")
                with anyio.move_on_after(RING_EVERY_S):
                    await _begins_at(stream, stream_of(asker.root), first)
                    return True
    except _FAILED:
        return False
    return False


async def _begins_at(stream: JetStreamContext, name: str, sequence: int) -> None:
    while (await stream.stream_info(name)).state.first_seq < sequence:  # noqa: ASYNC110 - another process purges
        await anyio.sleep(POLL_S)
