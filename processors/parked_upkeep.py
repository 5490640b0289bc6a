"""Upkeep of parked webhooks: the topic is kept short, although nothing that is parked ever falls out of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hookmill.errors import LogError
from hookmill.log.contract import Log
from hookmill.records import NewRecord, TopicPartition
from hookmill.telemetry import get_logger
from processors.parked import Parked
from processors.parked_index import Row
from processors.parked_log import ParkedLog
from processors.parking import LOOK_S, Parking

log = get_logger(__name__)

INTERVAL_S: Final = 60.0
"""Also how far behind a process may be that follows the topic: what it has not read is still there."""
_WORTH_IT: Final = 1_000
"""Records: forgetting is an administrative request."""
_SLACK: Final = 10_000
_MOST_SPENT: Final = 4
"""Records that are read when a partition is taken up, for each that is parked, and `_SLACK` more."""
_AT_ONCE: Final = 100
_ROUNDS: Final = 100


class ParkedUpkeep:
    """Forgets what is before the oldest entry. When that keeps too much, the oldest are written again at the end: what
    orders webhooks is their place on `webhooks`, not that."""

    def __init__(
        self,
        event_log: Log,
        parked: Parked,
        parked_log: ParkedLog,
        parking: Parking,
        send: Callable[[Sequence[NewRecord]], Awaitable[None]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._event_log = event_log
        self._parked = parked
        self._log = parked_log
        self._parking = parking
        self._send = send
        self._interval_s = interval_s
        self._spent_to: dict[int, int] = {}
        self._forgotten_to: dict[int, int] = {}

    async def run(self) -> None:
        """Goes on until cancelled; an error of the log is left to the next round."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                for place in list(self._log.positions):
                    if self._parked.is_known(place):
                        await self._renew(place)
                        await self._forget(place)
            except LogError as error:
                log.warning("parked.upkeep_failed", error=str(error))

    async def _forget(self, place: int) -> None:
        """What was spent a round ago is gone."""
        spent_to = self._spent_to.get(place, 0)
        oldest = self._parked.index.oldest(place, 1)
        self._spent_to[place] = oldest[0][1].offset if oldest else self._log.positions.get(place, 0)
        if spent_to - self._forgotten_to.get(place, 0) >= _WORTH_IT:
            await self._event_log.forget({TopicPartition(self._log.topic, place): spent_to})
            self._forgotten_to[place] = spent_to
            log.info("parked.forgotten", partition=place, before=spent_to)

    async def _renew(self, place: int) -> None:
        for _ in range(_ROUNDS):
            oldest = self._parked.index.oldest(place, _AT_ONCE)
            behind = self._log.positions.get(place, 0) - (oldest[0][1].offset if oldest else 0)
            if not oldest or behind <= _SLACK + _MOST_SPENT * self._parked.index.count(place):
                return
            source = oldest[0][0]
            if self._parking.is_busy(source):
                return
            with self._parking.without(source):
                await self._write_again(place, [row for each, row in oldest if each == source])

    async def _write_again(self, place: int, rows: Sequence[Row]) -> None:
        rows = [row for row in rows if not self._parked.is_settling(row.queue)]
        records = await self._log.fetch(place, [row.offset for row in rows])
        again = []
        for row in rows:
            if (record := records.get(row.offset)) is not None:
                self._parked.sent(place, row.key, row.queue)
                again.append(NewRecord(record.value, record.key, record.headers, place))
        await self._send(again)
        while any(self._parked.is_settling(row.queue) for row in rows):  # noqa: ASYNC110 only looking tells
            await asyncio.sleep(LOOK_S)  # until that is read back, the same would be the oldest
