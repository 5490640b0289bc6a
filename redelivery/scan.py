"""Scans: reading a topic as it is now, from given positions to its present end, beside whoever reads it live."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Final, Self

from hookmill.errors import LogUnavailable
from hookmill.log.contract import Log, RecordReader
from hookmill.records import Span, TopicPartition

_POLL_S: Final = 0.5
_SILENCE_S: Final = 15.0
"""No record for so long although some are missing: the log does not answer, or what is missing is gone."""


class Scan:
    """A reader of its own, of no group: it disturbs nobody and commits nothing. An async context manager.

    `ends`: by partition the offset behind the last record at the time of entering.
    """

    def __init__(self, log: Log, topic: str) -> None:
        self._topic = topic
        self._reader: RecordReader = log.reader([topic], group=None)
        self._stack = contextlib.AsyncExitStack()
        self.ends: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._reader)
        try:
            ends = await self._reader.end_positions()
        except BaseException:
            await self._stack.aclose()
            raise
        self.ends = {place.partition: end for place, end in ends.items()}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def starts_at(self, timestamp_ms: int) -> dict[int, int]:
        """By partition the first record of this time or later, or the end."""
        positions = await self._reader.positions_at_time(timestamp_ms)
        return {place.partition: position for place, position in positions.items()}

    async def spans(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Span]:
        """Everything from `starts` to before `ends`, by partition; partitions that are in none of the two are left out.

        A span may reach beyond its end. What retention took is skipped. Errors: `LogUnavailable`.
        """
        left = {partition: end for partition, end in ends.items() if starts.get(partition, end) < end}
        await self._choose(starts, left)
        heard_at = time.monotonic()
        while left:
            spans = await self._reader.poll(_POLL_S)
            for span in spans:
                partition = span.partition.partition
                if partition not in left:
                    continue
                yield span
                if span.next_offset >= left[partition]:
                    del left[partition]
                    self._reader.pause([span.partition])
            if spans:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _SILENCE_S:
                raise LogUnavailable(
                    f"{self._topic}: nothing was read for {_SILENCE_S:g} s, {len(left)} partitions left."
                )

    async def _choose(self, starts: Mapping[int, int], left: Mapping[int, int]) -> None:
        everything = {TopicPartition(self._topic, partition) for partition in self.ends}
        chosen = {TopicPartition(self._topic, partition): starts[partition] for partition in left}
        self._reader.pause(everything - chosen.keys())
        self._reader.resume(chosen.keys())
        await self._reader.seek(chosen)
