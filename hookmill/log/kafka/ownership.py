"""Which partitions a reader owns, and telling its listener when that changes."""

import asyncio
from collections.abc import Callable, Collection

from aiokafka import ConsumerRebalanceListener

from hookmill.log.contract import RebalanceListener
from hookmill.records import TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_REVOKE_S = 20.0
"""What the contract gives `RebalanceListener.revoked`."""


class Ownership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """The partitions of one reader, as last heard from its group.

    aiokafka logs what a listener raises and goes on; here it is kept for the next poll.
    """

    def __init__(
        self,
        listener: RebalanceListener | None,
        *,
        joined: Callable[[], None],
        has_lost: Callable[[], bool],
        forget: Callable[[], None],
    ) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._listener = listener
        self._joined = joined
        self._has_lost = has_lost
        self._forget = forget
        self._changing = asyncio.Lock()
        self._failure: Exception | None = None
        self._is_handing_back = False
        self._is_ended = False

    @property
    def readable(self) -> frozenset[TopicPartition]:
        """Owned, not paused, and not about to go."""
        return frozenset() if self._is_handing_back else self.owned - self._paused

    def pause(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Those of `partitions` that are owned are paused; returns them."""
        known = self.owned.intersection(partitions)
        self._paused |= known
        return known

    def resume(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Those of `partitions` that are owned are not paused; returns them."""
        known = self.owned.intersection(partitions)
        self._paused -= known
        return known

    def raise_failure(self) -> None:
        """Raises what the listener raised, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def gain(self, partitions: Collection[TopicPartition]) -> None:
        """`partitions` are owned and the listener knows."""
        async with self._changing:
            if self._is_ended:
                return
            self.owned = frozenset(partitions)
            if self.owned and self._listener is not None:
                await self._listener.assigned(self.owned)

    async def give_up(self) -> None:
        """The listener had its time to finish; nothing is owned."""
        async with self._changing:
            self._is_handing_back = True
            try:
                if self.owned and self._listener is not None and not self._has_lost():
                    async with asyncio.timeout(_REVOKE_S):
                        await self._listener.revoked(self.owned)
            except TimeoutError:
                log.error("kafka.revoke_overdue", after_s=_REVOKE_S, partitions=len(self.owned))
            finally:
                self._is_handing_back = False
                self.lose()

    def lose(self) -> None:
        """Nothing is owned, without notice to the listener."""
        self.owned = self._paused = frozenset()
        self._forget()

    async def end(self) -> None:
        """As `give_up`, and nothing is gained any more."""
        self._is_ended = True
        await self.give_up()

    async def on_partitions_revoked(self, revoked: Collection[object]) -> None:
        """Called by aiokafka before the group shares its partitions anew; until it returns they are still ours."""
        try:
            await self.give_up()
        except Exception as error:  # kept for `poll`, which raises it
            self._failure = error

    async def on_partitions_assigned(self, assigned: Collection[tuple[str, int]]) -> None:
        """Called by aiokafka when the group has shared its partitions."""
        try:
            self._joined()
            await self.gain([TopicPartition(*partition) for partition in assigned])
        except Exception as error:  # kept for `poll`, which raises it
            self._failure = error
