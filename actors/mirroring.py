"""The mirror of a company's log on the bus, as its settings want it.

    TROUPE_MIRROR            on or off (default: on)
    TROUPE_MIRROR_AGE_S      seconds that events stay in it (default: 30 days)
    TROUPE_MIRROR_BYTES      how big it may become (default: 1 GiB; of a fork at most 64 MiB)
    TROUPE_MIRROR_NATS_URL   the mirror's own user on the same NATS (default: the company's)

On the embedded server whoever holds the folder's token may publish anything. Where a server is shared, only a user of
the mirror's own keeps others from publishing events: see deploy/nats/mirror.conf.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import anyio
from prometheus_client import CollectorRegistry

from actors.runtime.mirror import Mirror, MirrorMetrics
from actors.runtime.mirrored import Trimming
from actors.runtime.nats_bus import FORK_STREAM_BYTES_MAX, utc_now
from actors.runtime.nats_mirror import NatsEvents
from eventstore.forking import Fork
from eventstore.store import EventStore

AGE_S = 30 * 24 * 3600.0
BYTES_MAX = 1024**3
BYTES_MIN = 1024**2  # The biggest event and its headers must fit.
AGE_S_MIN = 60.0


class BadSetting(ValueError):
    """A setting that cannot be; the message names it."""


@dataclass(frozen=True)
class MirrorSettings:
    """Whether there is a mirror, how much it keeps, and the user it publishes as ("": the company's)."""

    on: bool = True
    age_s: float = AGE_S
    bytes_max: int = BYTES_MAX
    nats_url: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """BadSetting for a value that cannot be used."""
        switch = environment.get("TROUPE_MIRROR", "") or "on"
        if switch not in ("on", "off"):
            raise BadSetting(f"TROUPE_MIRROR is {switch!r}; set it to on or off")
        return cls(
            switch == "on",
            float(whole_number(environment, "TROUPE_MIRROR_AGE_S", int(AGE_S_MIN), int(AGE_S))),
            whole_number(environment, "TROUPE_MIRROR_BYTES", BYTES_MIN, BYTES_MAX),
            environment.get("TROUPE_MIRROR_NATS_URL", ""),
        )


def whole_number(environment: Mapping[str, str], name: str, least: int, default: int) -> int:
    """The setting of that name, a whole number from `least` on. BadSetting."""
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text) < 2**53:
        raise BadSetting(f"{name} is {text!r}; set it to a whole number from {least} on")
    return int(text)


@asynccontextmanager
async def log_mirrored(
    store: EventStore, settings: MirrorSettings, nats_url: str, nats_token: str, root: str,
    registry: CollectorRegistry, fork: Fork | None = None,
) -> AsyncGenerator[None]:  # fmt: skip
    """Have the log mirrored inside the block, by this process or by another one of the company."""
    if not settings.on:
        yield
        return
    trimming = Trimming(settings.age_s, min(settings.bytes_max, FORK_STREAM_BYTES_MAX) if fork else settings.bytes_max)
    url, token = (settings.nats_url, "") if settings.nats_url else (nats_url, nats_token)
    mirror = Mirror(
        store, lambda: NatsEvents.open(url, token, root, trimming), root, trimming, utc_now, MirrorMetrics(registry)
    )  # fmt: skip
    async with anyio.create_task_group() as group:
        group.start_soon(mirror.run)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
