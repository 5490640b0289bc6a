"""Membership in a consumer group: heartbeats that keep the leases, and partitions that come and go with them."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from hookmill.blocking import BlockingThread
from hookmill.errors import LogError
from hookmill.log.sqlite.groups import GroupMember, Standing
from hookmill.records import TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_HASTE: Final = 5
"""A member waiting for its share looks so many times per heartbeat: what another gives back is taken at once."""


@dataclass(frozen=True)
class LeaseTimes:
    """How long a silent member keeps its partitions, and how often a living one speaks."""

    lease_s: float = 5.0
    heartbeat_s: float = 1.0


class Ownership(Protocol):
    """What becomes of partitions, told by the membership to its reader."""

    async def gained(self, committed: Mapping[TopicPartition, int | None]) -> None:
        """The partitions are this reader's; `committed` is where the group stands."""
        ...

    async def leaving(self, partitions: Collection[TopicPartition]) -> None:
        """The partitions go to another reader when this returns."""
        ...

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """The partitions are not this reader's any more."""
        ...


class Membership:
    """One reader's part in its group, kept up by a task of its own while the reader is busy elsewhere."""

    def __init__(self, member: GroupMember, thread: BlockingThread, ownership: Ownership, times: LeaseTimes) -> None:
        self._member = member
        self._thread = thread
        self._ownership = ownership
        self._times = times
        self._held: set[TopicPartition] = set()
        self._valid_until = 0.0
        self._is_waiting = False
        self._is_leaving = False
        self._settling: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """What is free of this member's share is gained."""
        await self._beat()
        await self._settled()
        self._beating = asyncio.create_task(self._keep_beating(), name="group heartbeat")

    async def ensure_current(self) -> None:
        """The leases are valid, or what was lost is known.

        A process that was stopped or suspended may wake up after its leases ended. Errors: `LogUnavailable`; what the
        listener raised while partitions changed hands.
        """
        if self._beating is not None and self._beating.done():
            self._beating.result()
        if self._settling is not None and self._settling.done():
            await self._settled()
        if time.time() >= self._valid_until:
            await self._beat()

    async def commit(self, positions: Mapping[TopicPartition, int]) -> frozenset[TopicPartition]:
        """Returns the partitions that were refused, and are lost."""
        refused = await self._thread.run(self._member.commit, positions)
        self._held -= refused
        return refused

    async def leave(self) -> None:
        """The partitions were given up in order, and are free at once. Heartbeats go on until they are."""
        self._is_leaving = True
        try:
            await self._settled()
            await self._ownership.leaving(frozenset(self._held))
        finally:
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.wait((self._beating,))
            self._ownership.lost(frozenset(self._held))
            self._held.clear()
            await self._thread.run(self._member.leave)

    async def _settled(self) -> None:
        """The change under way, if any, is over. Errors: what it raised; the next heartbeat tries again."""
        settling = self._settling
        if settling is not None:
            await asyncio.wait((settling,))
            self._settling = None
            settling.result()

    async def _keep_beating(self) -> None:
        while True:
            is_hurried = self._is_waiting or not self._held
            await asyncio.sleep(self._times.heartbeat_s / (_HASTE if is_hurried else 1))
            try:
                await self._beat()
            except LogError as error:
                # Until the lease ends nothing is lost; after that `ensure_current` raises it to the reader.
                log.warning("group.heartbeat_failed", error=str(error))

    async def _beat(self) -> None:
        takes = self._settling is None and not self._is_leaving
        standing = await self._thread.run(self._member.beat, int(self._times.lease_s * 1_000), takes=takes)
        self._valid_until = standing.ends_ms / 1_000
        self._is_waiting = standing.is_short
        lost = self._held - standing.owned.keys()
        if lost:
            log.warning("group.partitions_lost", partitions=[f"{place.topic}:{place.partition}" for place in lost])
            self._held -= lost
            self._ownership.lost(lost)
        is_changed = standing.surplus or standing.owned.keys() != self._held
        if is_changed and self._settling is None and not self._is_leaving:
            self._settling = asyncio.create_task(self._settle(standing), name="group change")
            self._settling.add_done_callback(self._forget_success)

    def _forget_success(self, settling: asyncio.Task[None]) -> None:
        """A failure stays until the reader takes it."""
        if settling is self._settling and not settling.cancelled() and settling.exception() is None:
            self._settling = None

    async def _settle(self, standing: Standing) -> None:
        """What is over the share is given up in order; what is new is gained. Heartbeats go on meanwhile."""
        surplus = standing.surplus & self._held
        if surplus:
            await self._ownership.leaving(surplus)
            await self._thread.run(self._member.release, surplus)
            self._held -= surplus
            self._ownership.lost(surplus)
        gained = {place: position for place, position in standing.owned.items() if place not in self._held | surplus}
        if gained:
            self._held.update(gained)
            await self._ownership.gained(gained)
