"""Scans: reading topics as they are now, from given positions to their present ends, beside whoever reads them live."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from hookmill.errors import LogUnavailable
from hookmill.log.contract import Log, RecordReader
from hookmill.records import Span, TopicPartition

CLOCK_SKEW_MS: Final = 300_000
"""How far the clocks of receiver and log may differ: who looks for a time of receipt reads so much more of the log."""

_POLL_S: Final = 0.5
_SILENCE_S: Final = 15.0
"""No record for so long although some are missing: the log does not answer, or what is missing is gone."""


class Scan:
    """A reader of its own, of no group: it disturbs nobody and commits nothing. An async context manager.

    `ends`: by partition the offset behind the last record at the time of entering.
    """

    def __init__(self, log: Log, topics: Sequence[str]) -> None:
        self._reader: RecordReader = log.reader(topics, group=None)
        self._stack = contextlib.AsyncExitStack()
        self.ends: Mapping[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._reader)
        try:
            self.ends = await self._reader.end_positions()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def starts_at(self, timestamp_ms: int) -> Mapping[TopicPartition, int]:
        """By partition the first record of this time or later, or the end."""
        return await self._reader.positions_at_time(timestamp_ms)

    async def spans(
        self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> AsyncIterator[Span]:
        """Everything from `starts` to before `ends`; partitions that are not in both are left out.

        A span may reach beyond its end. What retention took is skipped. Errors: `LogUnavailable`.
        """
        left = {place: end for place, end in ends.items() if starts.get(place, end) < end}
        self._reader.pause(self.ends.keys() - left.keys())
        self._reader.resume(left.keys())
        await self._reader.seek({place: starts[place] for place in left})
        heard_at = time.monotonic()
        while left:
            spans = await self._reader.poll(_POLL_S)
            for span in spans:
                if span.partition not in left:
                    continue
                yield span
                if span.next_offset >= left[span.partition]:
                    del left[span.partition]
                    self._reader.pause([span.partition])
            if spans:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _SILENCE_S:
                names = ", ".join(sorted({place.topic for place in left}))
                raise LogUnavailable(f"Nothing was read of {names} for {_SILENCE_S:g} s although there is more.")
