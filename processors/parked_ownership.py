"""Who owns a partition of webhooks owns the parked webhooks that came from it: told to both halves of the stage."""

import asyncio
from collections.abc import Collection

from hookmill.log.contract import RebalanceListener
from hookmill.records import TopicPartition
from processors.feeder import REVOKE_WAIT_S
from processors.parked_log import ParkedLog
from processors.parking import Parking


class ParkedOwnership:
    """A `RebalanceListener` before the feeder. `topic` is the full name of `webhooks`."""

    def __init__(self, feeder: RebalanceListener, parking: Parking, parked_log: ParkedLog, topic: str) -> None:
        self._feeder = feeder
        self._parking = parking
        self._parked_log = parked_log
        self._topic = topic

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self._parked_log.assigned(self._numbers(partitions))
        await self._feeder.assigned(partitions)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`. What has begun of parked webhooks is finished, too."""
        numbers = self._numbers(partitions)
        await asyncio.gather(self._feeder.revoked(partitions), self._parking.until_idle(REVOKE_WAIT_S, numbers))
        self._parked_log.revoked(numbers)

    def _numbers(self, partitions: Collection[TopicPartition]) -> frozenset[int]:
        return frozenset(number for topic, number in partitions if topic == self._topic)
