"""Parking: hands out the parked webhooks that may run, those of one key one after another."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

from hookmill.errors import LogError
from hookmill.log.contract import MAX_SPAN_BYTES
from hookmill.parked import Why, entry_key
from hookmill.records import NewRecord, Span, TopicPartition
from hookmill.registry import Registry
from hookmill.telemetry import get_logger
from processors.hold import DELAYS_S
from processors.parked import Parked
from processors.parked_index import Row
from processors.parked_log import ParkedLog

log = get_logger(__name__)

LOOK_S: Final = 0.2
"""How late a retry of a parked webhook may begin."""


class _Batch(NamedTuple):
    """A span that is handed out."""

    source: str
    keys: Sequence[bytes]
    """Of the entries, in the order of the span's records."""
    partitions: frozenset[int]
    """Of `webhooks`, where these came from."""


class Parking:
    """Spans of parked webhooks, each of one source and one at a time for each source; sources take turns.

    For each span of `next_span`: `begin` says whether to work on it, and `end` is called when nobody does any more. Its
    entries say on the topic what became of them, so what was not settled comes again.
    """

    def __init__(
        self,
        parked: Parked,
        parked_log: ParkedLog,
        registry: Registry,
        send: Callable[[Sequence[NewRecord]], Awaitable[None]],
        owns: Callable[[int], bool],
        at_once: Callable[[str], int],
        now_ms: Callable[[], int],
    ) -> None:
        """`send` makes records durable on the topic; `owns` tells whether a partition of `webhooks` is ours, `at_once`
        how many webhooks of a source make a span."""
        self._parked = parked
        self._log = parked_log
        self._registry = registry
        self._send = send
        self._owns = owns
        self._at_once = at_once
        self._now_ms = now_ms
        self._busy: set[str] = set()
        self._batches: dict[int, _Batch] = {}
        self._begun: set[int] = set()
        self._rests: dict[str, tuple[int, float]] = {}
        """Sources without a runner: how often in a row, and until when they are left alone."""
        self._last = ""
        self._leaving: set[int] = set()
        self._is_draining = False
        self._idle = asyncio.Event()

    async def next_span(self) -> Span:
        """The next span to work on, as soon as there is one."""
        while True:
            self._log.changed.clear()
            try:
                span = await self._pick()
            except LogError as error:
                log.warning("parked.fetch_failed", error=str(error))
                span = None
            if span is not None:
                return span
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._log.changed.wait()

    def keys(self, span: Span) -> Sequence[bytes]:
        """Of the entries of the span's records."""
        return self._batches[id(span)].keys

    def is_wanted(self, span: Span) -> bool:
        """Whether this process may still run the span."""
        partitions = self._batches[id(span)].partitions
        return not self._is_draining and not partitions & self._leaving and all(map(self._owns, partitions))

    def begin(self, span: Span) -> bool:
        """Whether to work on the span; if not, nothing more is to be said of it."""
        if not self.is_wanted(span):
            self._release(span)
            return False
        self._begun.add(id(span))
        return True

    def end(self, span: Span, *, has_runner: bool) -> None:
        """Nobody works on the span any more; without a runner its source is left alone for a while."""
        source = self._batches[id(span)].source
        attempt, _ = self._rests.pop(source, (0, 0.0))
        if not has_runner:
            rest_s = DELAYS_S[min(attempt, len(DELAYS_S) - 1)]
            self._rests[source] = (attempt + 1, time.monotonic() + rest_s)
        self._begun.discard(id(span))
        self._release(span)

    async def until_idle(self, timeout_s: float, partitions: Collection[int] | None = None) -> bool:
        """No span of these partitions, or none at all, is in work any more, and none begins; False: not in time."""
        if partitions is None:
            self._is_draining = True
        else:
            self._leaving |= set(partitions)
        try:
            async with asyncio.timeout(timeout_s):
                while self._is_in_work(partitions):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return not self._is_in_work(partitions)
        finally:
            self._leaving -= set(partitions or ())
        return True

    def is_busy(self, source: str) -> bool:
        """Parked webhooks of the source are in work."""
        return source in self._busy

    @contextlib.contextmanager
    def without(self, source: str) -> Iterator[None]:
        """No parked webhook of the source, which is not busy, is handed out meanwhile."""
        self._busy.add(source)
        try:
            yield
        finally:
            self._busy.discard(source)

    def _is_in_work(self, partitions: Collection[int] | None) -> bool:
        batches = (self._batches[each] for each in self._begun)
        return any(partitions is None or batch.partitions.intersection(partitions) for batch in batches)

    def _release(self, span: Span) -> None:
        self._busy.discard(self._batches.pop(id(span)).source)
        self._idle.set()
        self._log.changed.set()

    async def _pick(self) -> Span | None:
        owned = [partition for partition in self._log.owned if self._is_to_run(partition)]
        for source in self._in_rotation():
            if not owned or source in self._busy or self._is_resting(source):
                continue
            span = None
            self._busy.add(source)
            try:
                span = await self._pick_of(source, owned)
            finally:
                if span is None:
                    self._busy.discard(source)
            if span is not None:
                self._last = source
                return span
        return None

    def _in_rotation(self) -> list[str]:
        sources = sorted(self._parked.index.records)
        return [source for source in sources if source > self._last] + [
            source for source in sources if source <= self._last
        ]

    def _is_to_run(self, partition: int) -> bool:
        is_known = self._parked.is_known(self._parked.place_of(partition))
        return is_known and partition not in self._leaving and self._owns(partition)

    def _is_resting(self, source: str) -> bool:
        return time.monotonic() < self._rests.get(source, (0, 0.0))[1]

    async def _pick_of(self, source: str, owned: Sequence[int]) -> Span | None:
        deployed = self._registry.sources.get(source)
        parks = deployed is not None and deployed.parks
        now_ms = self._now_ms()
        at_once = self._at_once(source)
        place, queues = self._parked.index.ready(source, now_ms, owned, at_once, even_dead=not parks)
        rows: list[Row] = []
        over: list[NewRecord] = []
        for queue in queues:
            if len(rows) < at_once and not self._parked.is_settling(queue):
                over += self._over(source, place, queue, parks=parks)
                rows += _runnable(self._parked.index.first(queue, at_once - len(rows)), now_ms)
        rows = _within(rows, MAX_SPAN_BYTES)
        if over:
            await self._send(over)
        return await self._span(source, place, rows) if rows else None

    def _over(self, source: str, place: int, queue: bytes, *, parks: bool) -> list[NewRecord]:
        """What ends the first entry of the queue, if it is no webhook to be run: its dead letter was dropped, or is
        past its time, or nobody is to wait for it any more."""
        first = self._parked.index.first(queue, 1)[0]
        match first.why:
            case Why.DROPPED:
                reason, keys = "dropped", {first.key, entry_key(first.spot)}
            case Why.DEAD:
                reason, keys = "expired" if parks else "on_failure", {first.key}
            case _:
                return []
        log.info("parked.released", source=source, webhook=str(first.spot), reason=reason)
        return [self._parked.unpark(place, key, queue, "", source) for key in sorted(keys)]

    async def _span(self, source: str, place: int, rows: Sequence[Row]) -> Span | None:
        records = await self._log.fetch(place, [row.offset for row in rows])
        found = [(row, records[row.offset]) for row in rows if row.offset in records]
        for row in rows:
            if row.offset not in records:
                log.error("parked.record_gone", source=source, partition=place, offset=row.offset)
                self._parked.index.remove(place, row.key, self._now_ms())
        if not found:
            return None
        span = Span(TopicPartition(self._log.topic, place), tuple(record for _, record in found))
        partitions = frozenset(row.spot.partition for row, _ in found)
        self._batches[id(span)] = _Batch(source, [row.key for row, _ in found], partitions)
        return span


def _runnable(rows: Sequence[Row], now_ms: int) -> list[Row]:
    """The first of a queue's entries that may run, one after another. Of several of one webhook, the first settles
    what it brings news of."""
    found: list[Row] = []
    for row in rows:
        if row.why in (Why.DEAD, Why.DROPPED) or row.ready_at_ms > now_ms:
            if not (found and row.spot == found[-1].spot):
                break
        elif not found or row.spot != found[-1].spot:
            found.append(row)
        elif row.why is Why.RETURNED:
            break
    return found


def _within(rows: Sequence[Row], limit_bytes: int) -> list[Row]:
    """The first of the rows that are not more in all, one in any case."""
    sizes = itertools.accumulate(row.size_bytes for row in rows)
    return [row for index, (row, size) in enumerate(zip(rows, sizes, strict=True)) if not index or size <= limit_bytes]
