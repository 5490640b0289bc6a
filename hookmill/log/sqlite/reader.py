"""The embedded engine's `RecordReader`."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hookmill.blocking import BlockingThread
from hookmill.errors import CommitRefused, LogError
from hookmill.log.contract import RebalanceListener
from hookmill.log.missed import report_beyond_end, report_missed
from hookmill.log.sqlite.arrivals import Arrivals
from hookmill.log.sqlite.assignment import Assignment
from hookmill.log.sqlite.fetch import Bounds, Fetched, TopicFiles
from hookmill.log.sqlite.groups import GroupMember
from hookmill.log.sqlite.membership import LeaseTimes, Membership
from hookmill.records import Span, TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_FIRST_PAUSE_S: Final = 0.002
_LAST_PAUSE_S: Final = 0.032
"""Between looks at the counters of other processes' writes, doubling; records of this process are announced."""

_BLIND_S: Final = 0.5
"""How long to rely on the counters, which miss the write of a process that dies in the act."""

_REVOKE_TIMEOUT_S: Final = 20.0
"""From the contract of `RebalanceListener.revoked`."""


class SqliteReader:
    """Reads on a thread of its own; what it owns comes from its membership, or is everything without a group."""

    def __init__(
        self,
        folder: Path,
        topics: Sequence[str],
        group: str | None,
        listener: RebalanceListener | None,
        from_end: bool,
        arrivals: Arrivals,
        times: LeaseTimes,
    ) -> None:
        self._folder = folder
        self._topics = tuple(dict.fromkeys(topics))
        self._group = group
        self._listener = listener
        self._from_end = from_end
        self._arrivals = arrivals
        self._times = times
        self._assignment = Assignment()
        self._news = asyncio.Event()
        self._thread = BlockingThread("log-reader")
        self._seen_writes: tuple[int, ...] | None = None
        self._seen_at = 0.0
        self._opened_at: Mapping[TopicPartition, Bounds] = {}
        self._stack = contextlib.AsyncExitStack()
        self._files: TopicFiles
        self._membership: Membership | None = None

    async def poll(self, timeout_s: float) -> Sequence[Span]:
        """See `RecordReader.poll`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            if self._membership is not None:
                await self._membership.ensure_current()
            spans = await self._fetch() if self._is_worth_a_look() else []
            left_s = deadline - loop.time()
            if spans or left_s <= 0:
                return spans
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, left_s)):
                    await self._news.wait()
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `RecordReader.commit`."""
        if self._membership is None:
            raise RuntimeError("A reader without group has nothing to commit to.")
        refused = await self._membership.commit(positions)
        self._assignment.commit(positions, refused)
        if refused:
            raise CommitRefused(refused)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """See `RecordReader.pause`."""
        self._assignment.pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """See `RecordReader.resume`."""
        self._assignment.resume(partitions)
        self._news.set()

    async def positions_at_time(self, timestamp_ms: int) -> Mapping[TopicPartition, int]:
        """See `RecordReader.positions_at_time`."""
        return {
            place: await self._thread.run(self._files.offset_at_time, place, timestamp_ms)
            for place in self._assignment.owned
        }

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `RecordReader.seek`."""
        self._assignment.seek(positions)
        self._news.set()

    def assignment(self) -> frozenset[TopicPartition]:
        """See `RecordReader.assignment`."""
        return self._assignment.owned

    async def end_positions(self) -> Mapping[TopicPartition, int]:
        """See `RecordReader.end_positions`."""
        bounds = await self._thread.run(self._files.bounds)
        return {place: bounds[place].end for place in self._assignment.owned}

    async def lag(self) -> Mapping[TopicPartition, int]:
        """See `RecordReader.lag`."""
        bounds = await self._thread.run(self._files.bounds)
        committed = self._assignment.committed(is_alone=self._group is None)
        # What retention removed cannot be caught up with any more.
        return {
            place: max(0, bounds[place].end - max(position, bounds[place].first))
            for place, position in committed.items()
        }

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._thread.end)
            self._files = await self._thread.run(TopicFiles, self._folder, self._topics)
            stack.push_async_callback(self._thread.run, self._files.close)
            self._opened_at = await self._thread.run(self._files.bounds)
            self._arrivals.watch(self._topics, self._news)
            stack.callback(self._arrivals.forget, self._topics, self._news)
            if self._group is None:
                stack.push_async_callback(self._give_up_all)
                await self.gained(dict.fromkeys(self._opened_at))
            else:
                await self._join(self._group, stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def gained(self, committed: Mapping[TopicPartition, int | None]) -> None:
        """See `Ownership`. The listener hears of it before the first record, and may seek."""
        bounds = await self._thread.run(self._files.bounds)
        starts = {place: self._start(place, bounds[place], position) for place, position in committed.items()}
        if not self._from_end:
            await self._keep({place: starts[place] for place, position in committed.items() if position is None})
        self._assignment.gain(starts)
        if self._listener is not None:
            await self._listener.assigned(committed.keys())
        self._assignment.let_go(committed)
        self._news.set()

    async def _keep(self, starts: Mapping[TopicPartition, int]) -> None:
        """The group stands at `starts`: should it be away before its next commit, what it misses is found, and once."""
        if self._membership is None or not starts:
            return
        try:
            refused = await self._membership.commit(starts)
        except LogError as error:
            log.warning("group.start_not_kept", error=str(error))
        else:
            self._assignment.commit(starts, refused)

    async def leaving(self, partitions: Collection[TopicPartition]) -> None:
        """See `Ownership`."""
        self._assignment.hold_back(partitions)
        if self._listener is None or not partitions:
            return
        try:
            async with asyncio.timeout(_REVOKE_TIMEOUT_S):
                await self._listener.revoked(partitions)
        except TimeoutError:
            log.error("group.revoke_timed_out", timeout_s=_REVOKE_TIMEOUT_S, partitions=len(partitions))

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """See `Ownership`."""
        self._assignment.lose(partitions)

    async def _join(self, group: str, stack: contextlib.AsyncExitStack) -> None:
        name = str(uuid.uuid4())
        member = await self._thread.run(GroupMember, self._folder, group, name, self._files.partitions)
        stack.push_async_callback(self._thread.run, member.close)
        self._membership = Membership(member, self._thread, self, self._times)
        stack.push_async_callback(self._membership.leave)
        await self._membership.join()

    async def _give_up_all(self) -> None:
        await self.leaving(self._assignment.owned)
        self.lost(self._assignment.owned)

    def _start(self, place: TopicPartition, bounds: Bounds, committed: int | None) -> int:
        if committed is not None:
            return committed
        return self._opened_at[place].end if self._from_end else bounds.first

    def _is_worth_a_look(self) -> bool:
        """Whether something may be there that was not at the last fetch."""
        now = time.monotonic()
        writes = self._files.writes()
        if writes == self._seen_writes and not self._news.is_set() and now < self._seen_at + _BLIND_S:
            return False
        self._seen_writes, self._seen_at = writes, now
        self._news.clear()
        return True

    async def _fetch(self) -> list[Span]:
        wanted = self._assignment.readable()
        if not wanted:
            return []
        try:
            found = await self._thread.run(self._files.fetch, wanted)
        except BaseException:
            self._seen_writes = None
            raise
        if found:
            # Spans are bounded: there may be more behind them.
            self._seen_writes = None
        accepted = [fetched for fetched in found if self._is_accepted(fetched)]
        await self._pass_gaps(accepted)
        return [fetched.span for fetched in accepted if fetched.span is not None]

    async def _pass_gaps(self, accepted: Iterable[Fetched]) -> None:
        """The group stands behind the gaps that were found, unless records before one are still in work."""
        gaps = [fetched for fetched in accepted if fetched.skipped]
        if not gaps:
            return
        committed = self._assignment.committed(is_alone=False)
        await self._keep({gap.place: gap.asked + gap.skipped for gap in gaps if committed.get(gap.place) == gap.asked})

    def _is_accepted(self, fetched: Fetched) -> bool:
        """Whether the reader still stood there when the answer came; if so it stands behind it now."""
        if not self._assignment.advance(fetched.place, fetched.asked, fetched.resumes_at):
            return False
        if fetched.skipped:
            report_missed(self._group, fetched.place, fetched.asked, fetched.asked + fetched.skipped)
        elif fetched.resumes_at < fetched.asked:
            report_beyond_end(fetched.place, fetched.asked, fetched.bounds)
        return True
