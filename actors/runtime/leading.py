"""Work that one process of a company does at a time, and another takes over when that one ends: by a named lease.

- At most one process works at a moment, unless one is frozen for longer than its lease: so the work itself has to be
  guarded where it writes, as everything with a lease (eventstore/leases.py).
- A clean end gives the lease back at once; after a kill another process begins within LEASE_TTL_S.
- Outages of the store are waited out.
"""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from uuid import UUID

import anyio
import structlog

from actors.runtime.chance import any_chance, new_uuid, spread
from eventstore.leases import Leases
from eventstore.store import StoreError

LEASE_TTL_S = 6.0
RENEW_EVERY_S = LEASE_TTL_S / 3
STAND_BY_S_MIN = 0.05  # A lease that has just ended is looked at again after that.
RETRY_FIRST_S = 0.1
RETRY_S_MAX = 5.0
GIVE_BACK_S_MAX = 2.0

logger = structlog.get_logger("leading")


class Leader:
    """Does `work` while it has the lease `name`. Work that returns is done with: the lease is kept all the same.

    `owner`: who this is, for one that shall go on at once after a kill, and of whom there is one (None: somebody new).
    """

    def __init__(
        self, leases: Leases, name: str, work: Callable[[], Coroutine[Any, Any, None]], chance: Random | None = None,
        owner: UUID | None = None,
    ) -> None:  # fmt: skip
        self._leases, self._name, self._work = leases, name, work
        self._chance = chance or any_chance()
        self._me = owner or new_uuid(self._chance)
        self._until = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        delay_s = RETRY_FIRST_S
        while True:
            try:
                await self._stand_by()
                delay_s = RETRY_FIRST_S
                await self._lead()
            except StoreError as error:
                logger.warning("lease.waits", lease=self._name, error=str(error))
                await anyio.sleep(spread(self._chance, delay_s))
                delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _stand_by(self) -> None:
        """Return with the lease."""
        while True:
            asked_at = anyio.current_time()
            lease = await self._leases.take(self._name, self._me, LEASE_TTL_S)
            if lease.owner == self._me:
                self._until = asked_at + LEASE_TTL_S
                return
            await anyio.sleep(min(max(lease.expires_in_s, STAND_BY_S_MIN), RENEW_EVERY_S))

    async def _lead(self) -> None:
        logger.info("lease.leads", lease=self._name)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._work)
                await self._renew()
                group.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(GIVE_BACK_S_MAX, shield=True):
                await self._give_back()

    async def _renew(self) -> None:
        """Return when the lease is lost, or could not be extended in time."""
        while anyio.current_time() < self._until:
            await anyio.sleep(RENEW_EVERY_S)
            asked_at = anyio.current_time()
            try:
                lease = await self._leases.take(self._name, self._me, LEASE_TTL_S)
            except StoreError as error:
                logger.warning("lease.not_renewed", lease=self._name, error=str(error))
                continue
            if lease.owner != self._me:
                break
            self._until = asked_at + LEASE_TTL_S
        logger.info("lease.lost", lease=self._name)

    async def _give_back(self) -> None:
        try:
            await self._leases.give_back(self._name, self._me)
        except StoreError as error:
            logger.warning("lease.stays", lease=self._name, error=str(error))
