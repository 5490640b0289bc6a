"""The topic of parked webhooks as one process reads it: followed into `Parked`, and single records of it fetched."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Final, Self

from hookmill.errors import LogError, LogUnavailable
from hookmill.log.contract import Log, RecordReader
from hookmill.records import Record, Span, TopicPartition
from hookmill.telemetry import get_logger
from processors.parked import Parked

log = get_logger(__name__)

_POLL_S: Final = 0.2
_RETRY_S: Final = 1.0
_FETCH_S: Final = 10.0


class ParkedLog:
    """A context manager; `run` goes on until it is cancelled.

    Two readers of no group, so that nobody else is concerned: one follows the places that belong to owned partitions of
    `webhooks`, the other jumps to what is to run. `changed` is set when something was read.
    """

    def __init__(self, event_log: Log, topic: str, parked: Parked, now_ms: Callable[[], int]) -> None:
        self.topic = topic
        self.owned: set[int] = set()
        """Partitions of `webhooks`."""
        self.positions: dict[int, int] = {}
        """By place, up to where it was read."""
        self.changed = asyncio.Event()
        self._parked = parked
        self._now_ms = now_ms
        self._follower: RecordReader = event_log.reader([topic], group=None)
        self._fetcher: RecordReader = event_log.reader([topic], group=None)
        self._fetching = asyncio.Lock()
        self._fetched: dict[int, Span] = {}
        self._to_take_up: set[int] = set()
        self._ends: dict[int, int] = {}
        """By place that is not known yet, where it ended when it was taken up."""
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opening:
            for reader in (self._follower, self._fetcher):
                await opening.enter_async_context(reader)
                reader.pause(reader.assignment())
            self._stack = opening.pop_all()
        self._parked.partitions = len(self._follower.assignment())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def assigned(self, partitions: Collection[int]) -> None:
        """Webhooks of these partitions are run here from now on: what others have parked of them is not known yet."""
        self.owned.update(partitions)
        self._parked.assigned(partitions)
        self._to_take_up.update(map(self._parked.place_of, partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """They are run elsewhere."""
        self.owned.difference_update(partitions)
        for place in set(map(self._parked.place_of, partitions)) - set(map(self._parked.place_of, self.owned)):
            self._follower.pause([TopicPartition(self.topic, place)])
            self._to_take_up.discard(place)
            self._ends.pop(place, None)
            self.positions.pop(place, None)
            self._parked.forget(place)

    async def run(self) -> None:
        """Follows until cancelled. An error of the log is waited out."""
        while True:
            try:
                await self._take_up()
                spans = await self._follower.poll(_POLL_S)
            except LogError as error:
                log.warning("parked.stale", error=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            for span in spans:
                began_s = time.monotonic()
                self._read(span)
                # When a place is taken up there may be many of them: half of the time is for other work.
                await asyncio.sleep(time.monotonic() - began_s)
            self._note_known()
            if spans:
                self.changed.set()

    async def fetch(self, place: int, offsets: Collection[int]) -> dict[int, Record]:
        """The records at these offsets, by offset; those that are gone are left out. Errors: of the log."""
        found: dict[int, Record] = {}
        left = sorted(offsets)
        async with self._fetching:
            while left:
                span = self._fetched.get(place)
                if span is None or not span.records[0].offset <= left[0] < span.next_offset:
                    span = self._fetched[place] = await self._span_from(place, left[0])
                found.update((record.offset, record) for record in span.records if record.offset in left)
                left = [offset for offset in left if offset >= span.next_offset]
        return found

    async def _span_from(self, place: int, offset: int) -> Span:
        partition = TopicPartition(self.topic, place)
        await self._fetcher.seek({partition: offset})
        self._fetcher.resume([partition])
        try:
            async with asyncio.timeout(_FETCH_S):
                while True:
                    for span in await self._fetcher.poll(_POLL_S):
                        if span.partition == partition and span.next_offset > offset:
                            return span
        except TimeoutError as error:
            raise LogUnavailable(
                f"{self.topic}:{place} gave no record from {offset} on within {_FETCH_S:g} s."
            ) from error
        finally:
            self._fetcher.pause([partition])

    async def _take_up(self) -> None:
        if not self._to_take_up:
            return
        taken, self._to_take_up = self._to_take_up, set()
        try:
            starts = await self._follower.positions_at_time(0)
            ends = await self._follower.end_positions()
            for place in taken:
                partition = TopicPartition(self.topic, place)
                # What was followed all the time is known but for its end, unless others have forgotten some of it.
                if self.positions.get(place, -1) < starts[partition]:
                    self._parked.index.forget(place)
                    self.positions[place] = starts[partition]
                    await self._follower.seek({partition: starts[partition]})
                self._ends[place] = ends[partition]
                self._follower.resume([partition])
        except BaseException:
            self._to_take_up |= taken
            raise

    def _read(self, span: Span) -> None:
        place = span.partition.partition
        if place not in self.positions:
            return
        for record in span.records:
            if not self._parked.read(record, self._now_ms()):
                log.error("parked.record_ignored", topic=self.topic, partition=place, offset=record.offset)
        self.positions[place] = span.next_offset

    def _note_known(self) -> None:
        for place, end in list(self._ends.items()):
            if self.positions[place] >= end and place not in self._to_take_up:
                del self._ends[place]
                self._parked.known([place])
                self.changed.set()
