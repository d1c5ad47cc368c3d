"""One worker process: `python -m tests.torture.child`, with its orders as a line of JSON on standard input.

It runs the real runtime on the real adapters until SIGTERM, which is a clean stop. It dies with its parent: the kernel
sees to it where it can, even while the process is stopped, and the end of standard input does elsewhere.

Outages are waited out by the runtime; only before it runs is the attempt repeated here, as by whoever looks after
processes. An exception that comes out of it is a fault of the runtime, and this process then ends with status 1.
"""

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from random import Random

import anyio
import msgspec
import structlog

from actors.runtime import effects
from actors.runtime.nats_bus import NatsBus, utc_now
from actors.runtime.ports import BusUnavailable
from actors.runtime.supervisor import running
from eventstore.store import StoreError
from tests.torture.kinds import KINDS
from tests.torture.payments import Provider, performers
from tests.torture.switched_off import store_without

START_AGAIN_S = 0.2
STREAM_BYTES_MAX = 64 * 1024 * 1024
PR_SET_PDEATHSIG = 1  # linux/prctl.h

log = structlog.get_logger("torture")


class Orders(msgspec.Struct):
    """What a worker is to be. `claim_ttl_s`: how long a claim on an effect outlives its worker. `without`: which
    guarantee is switched off in it ("": none)."""

    name: str
    seed: int
    dsn: str
    nats_url: str
    nats_token: str
    root: str
    payments: str
    claim_ttl_s: float
    without: str = ""


async def live(orders: Orders) -> None:
    """Until SIGTERM."""
    effects.CLAIM_TTL_S, effects.HEARTBEAT_EVERY_S = orders.claim_ttl_s, orders.claim_ttl_s / 3
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(_begin, orders)
            async for _ in signals:
                log.info("torture.stops", worker=orders.name)
                group.cancel_scope.cancel()
                return


async def _begin(orders: Orders) -> None:
    while True:
        began = anyio.Event()
        try:
            await _work(orders, began)
        except (StoreError, BusUnavailable, OSError, TimeoutError) as error:
            if began.is_set():
                raise
            log.warning("torture.begins_again", worker=orders.name, error=f"{type(error).__name__}: {error}")
            await anyio.sleep(START_AGAIN_S)


async def _work(orders: Orders, began: anyio.Event) -> None:
    chance = Random(orders.seed)
    desk = performers(Provider(Path(orders.payments), orders.name, chance))
    async with (
        store_without(orders.without).open(orders.dsn, prepare=False) as store,
        NatsBus.open(orders.nats_url, orders.nats_token, orders.root, stream_bytes_max=STREAM_BYTES_MAX) as bus,
        running(store, bus, KINDS, desk, utc_now, alone=False, chance=chance),
    ):
        began.set()
        log.info("torture.works", worker=orders.name, pid=os.getpid())
        await anyio.sleep_forever()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(3)


def _read_orders() -> Orders:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)  # Not a byte more: the thread reads what follows.
        if not byte:
            sys.exit(3)
        line += byte
    return msgspec.json.decode(line, type=Orders)


if __name__ == "__main__":
    given = _read_orders()
    _die_with_parent()
    anyio.run(live, given)
