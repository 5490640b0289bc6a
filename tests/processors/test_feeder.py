"""The feeder, between a reader and those who work on its spans."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Self

import pytest
from prometheus_client import REGISTRY

from hookmill.errors import CommitRefused, LogUnavailable
from hookmill.log.contract import RebalanceListener
from hookmill.records import Record, Span, TopicPartition
from processors import feeder as feeder_module
from processors.feeder import Feeder

A = TopicPartition("webhooks", 0)
B = TopicPartition("webhooks", 1)
SLOW_A = TopicPartition("slow", 0)
SLOW_B = TopicPartition("slow", 1)
DEADLINE_S = 30.0


def span(partition: TopicPartition, offset: int) -> Span:
    return Span(partition, (Record(*partition, offset, 0, None, b"", ()),))


class ScriptedReader:
    """A `RecordReader` of two partitions that reads what a test puts into it and keeps what is committed."""

    def __init__(self, listener: RebalanceListener) -> None:
        self.listener = listener
        self.script: list[Sequence[Span] | Exception] = []
        self.commit_errors: list[Exception] = []
        self.committed: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.polls_while_paused = 0

    async def poll(self, timeout_s: float) -> Sequence[Span]:
        await asyncio.sleep(0)
        if self.paused >= {A, B}:
            self.polls_while_paused += 1
            return []
        if not self.script:
            await asyncio.sleep(0.001)
            return []
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        await asyncio.sleep(0)
        if self.commit_errors:
            raise self.commit_errors.pop(0)
        self.committed.update(positions)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self.paused -= set(partitions)

    async def positions_at_time(self, timestamp_ms: int) -> Mapping[TopicPartition, int]:
        raise AssertionError

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        raise AssertionError

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset((A, B))

    async def end_positions(self) -> Mapping[TopicPartition, int]:
        return {}

    async def lag(self) -> Mapping[TopicPartition, int]:
        return {A: 5, B: 0}

    async def __aenter__(self) -> Self:
        await self.listener.assigned([A, B, SLOW_A, SLOW_B])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.listener.revoked([A, B, SLOW_A, SLOW_B])


class Bench:
    """A running feeder and its reader."""

    def __init__(self, max_spans: int = 10) -> None:
        readers: list[ScriptedReader] = []

        def open_reader(listener: RebalanceListener) -> ScriptedReader:
            readers.append(ScriptedReader(listener))
            return readers[0]

        self.feeder = Feeder(
            open_reader, max_spans=max_spans, commit_interval_s=0.001, one_by_one={"slow": self.slow_part}
        )
        self.reader = readers[0]
        self.slow_parts = [8]
        """How many records are handed out at once; the last one goes for all that follow."""

    def slow_part(self, records: Sequence[Record]) -> int:
        return self.slow_parts.pop(0) if len(self.slow_parts) > 1 else self.slow_parts[0]

    async def next_span(self) -> Span:
        async with asyncio.timeout(DEADLINE_S):
            return await self.feeder.next_span()

    async def begin_next(self) -> Span:
        begun = await self.next_span()
        assert self.feeder.begin(begun)
        return begun

    async def next_slow_span(self) -> Span:
        async with asyncio.timeout(DEADLINE_S):
            return await self.feeder.next_slow_span()

    async def begin_next_slow(self) -> Span:
        begun = await self.next_slow_span()
        assert self.feeder.begin(begun)
        return begun

    def finish(self, finished: Span) -> None:
        self.feeder.finish(finished)
        self.feeder.end(finished)

    async def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.reader.committed != positions:
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    async with bench.reader:
        task = asyncio.create_task(bench.feeder.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await bench.feeder.drain(0.0)
    assert task.cancelled()


async def test_finished_spans_are_committed_and_unfinished_ones_are_not() -> None:
    bench = Bench()
    bench.reader.script = [[span(A, 0), span(B, 0)], [span(A, 1)]]

    async with running(bench):
        first, second, third = [await bench.begin_next() for _ in range(3)]
        bench.finish(third)
        bench.finish(second)
        await bench.committed({B: 1})
        bench.finish(first)
        await bench.committed({A: 2, B: 1})


async def test_reading_stops_when_enough_is_held_and_goes_on_after() -> None:
    bench = Bench(max_spans=2)
    bench.reader.script = [[span(A, 0)], [span(A, 1)], [span(A, 2)], [span(A, 3)]]

    async with running(bench):
        begun = [await bench.begin_next() for _ in range(2)]
        await asyncio.sleep(0.02)
        unread = len(bench.reader.script)
        bench.finish(begun[0])
        await bench.begin_next()

    assert unread == 2


async def test_a_full_feeder_goes_on_polling_without_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder_module, "_KEEP_ALIVE_S", 0.001)
    bench = Bench(max_spans=1)
    bench.reader.script = [[span(A, 0)], [span(A, 1)]]

    async with running(bench):
        first = await bench.begin_next()
        async with asyncio.timeout(DEADLINE_S):
            while bench.reader.polls_while_paused < 2:
                await asyncio.sleep(0.001)
        unread = len(bench.reader.script)
        bench.finish(first)
        await bench.begin_next()

    assert unread == 1


async def test_a_revocation_waits_for_what_is_in_work_and_commits_it() -> None:
    bench = Bench()
    bench.reader.script = [[span(A, 0), span(B, 0)], [span(A, 1)]]

    async with running(bench):
        in_work, other = [await bench.begin_next() for _ in range(2)]
        waiting = await bench.next_span()
        revocation = asyncio.create_task(bench.feeder.revoked([A]))
        await asyncio.sleep(0.005)
        ended_early = revocation.done()
        may_begin = bench.feeder.begin(waiting)
        bench.finish(in_work)
        await revocation
        bench.finish(other)
        await bench.committed({A: 1, B: 1})

    assert (ended_early, may_begin) == (False, False)


async def test_a_revocation_gives_up_on_work_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder_module, "REVOKE_WAIT_S", 0.005)
    bench = Bench()
    bench.reader.script = [[span(A, 0)]]

    async with running(bench):
        stuck = await bench.begin_next()
        await bench.feeder.revoked([A])
        bench.finish(stuck)
        await bench.feeder.commit()

    assert bench.reader.committed == {}


async def test_partitions_lost_without_notice_are_forgotten_and_the_others_committed() -> None:
    bench = Bench()
    bench.reader.script = [[span(A, 0), span(B, 0)], [span(A, 1)]]
    bench.reader.commit_errors = [CommitRefused([A])]

    async with running(bench):
        first, second = [await bench.begin_next() for _ in range(2)]
        lost = await bench.next_span()
        bench.finish(first)
        bench.finish(second)
        await bench.committed({B: 1})
        may_begin = bench.feeder.begin(lost)

    assert not may_begin


async def test_an_unreachable_log_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder_module, "_RETRY_S", 0.001)
    bench = Bench()
    bench.reader.script = [LogUnavailable("away"), [span(A, 0)]]
    bench.reader.commit_errors = [LogUnavailable("away")]

    async with running(bench):
        bench.finish(await bench.begin_next())
        await bench.committed({A: 1})


async def test_an_unexpected_error_of_the_reader_ends_the_feeder() -> None:
    bench = Bench()
    bench.reader.script = [RuntimeError("bug")]

    async with bench.reader:
        with pytest.raises(ExceptionGroup) as raised:
            await bench.feeder.run()

    assert raised.value.subgroup(RuntimeError) is not None


async def test_a_drain_finishes_what_has_begun_and_begins_nothing() -> None:
    bench = Bench()
    bench.reader.script = [[span(A, 0)], [span(A, 1)]]

    async with running(bench):
        begun = await bench.begin_next()
        waiting = await bench.next_span()
        drain = asyncio.create_task(bench.feeder.drain(DEADLINE_S))
        await asyncio.sleep(0)
        may_begin = bench.feeder.begin(waiting)
        bench.finish(begun)
        drained = await drain

    assert (may_begin, drained) == (False, True)
    assert bench.reader.committed == {A: 1}


async def test_a_drain_ends_at_its_deadline_without_committing_what_is_unfinished() -> None:
    bench = Bench()
    bench.reader.script = [[span(A, 0)]]

    async with running(bench):
        await bench.begin_next()
        drained = await bench.feeder.drain(0.005)

    assert not drained
    assert bench.reader.committed == {}


async def test_the_lag_of_owned_partitions_is_a_metric_until_they_go() -> None:
    bench = Bench()

    def lag(partition: TopicPartition) -> float | None:
        labels = {"topic": partition.topic, "partition": str(partition.partition)}
        return REGISTRY.get_sample_value("hookmill_processors_lag_records", labels)

    async with running(bench):
        async with asyncio.timeout(DEADLINE_S):
            while lag(A) is None:
                await asyncio.sleep(0.001)
        owned = (lag(A), lag(B))

    assert owned == (5.0, 0.0)
    assert (lag(A), lag(B)) == (None, None)


def long_span(partition: TopicPartition, records: int) -> Span:
    return Span(partition, tuple(Record(*partition, offset, 0, None, b"", ()) for offset in range(records)))


async def test_spans_of_a_slow_partition_are_small_and_come_one_after_the_other() -> None:
    bench = Bench()
    bench.reader.script = [[long_span(SLOW_A, 20), long_span(SLOW_B, 3)]]

    async with running(bench):
        first, other = [await bench.begin_next_slow() for _ in range(2)]
        paused = set(bench.reader.paused)
        bench.finish(other)
        resumed = set(bench.reader.paused)
        bench.finish(first)
        await bench.committed({SLOW_A: 8, SLOW_B: 3})
        rest = []
        for _ in range(2):
            rest.append(await bench.begin_next_slow())
            bench.finish(rest[-1])
        await bench.committed({SLOW_A: 20, SLOW_B: 3})

    assert [len(each.records) for each in (first, other, *rest)] == [8, 3, 8, 4]
    assert (paused, resumed, bench.reader.paused) == ({SLOW_A, SLOW_B}, {SLOW_A}, set())


async def test_a_slow_partition_that_was_lost_without_notice_starts_afresh() -> None:
    """The rest of what was read before must not let the position pass the part that nobody finished."""
    bench = Bench()
    bench.reader.script = [[long_span(SLOW_A, 20)]]

    async with running(bench):
        lost = await bench.begin_next_slow()
        await bench.feeder.assigned([SLOW_A])
        bench.feeder.end(lost)
        bench.reader.paused.clear()
        bench.reader.script = [[long_span(SLOW_A, 3)]]
        again = await bench.begin_next_slow()
        bench.finish(again)
        await bench.committed({SLOW_A: 3})

    assert len(again.records) == 3


async def test_how_many_records_are_a_slow_span_is_asked_anew_for_each() -> None:
    bench = Bench()
    bench.slow_parts = [2, 5, 100]
    bench.reader.script = [[long_span(SLOW_A, 20)]]

    async with running(bench):
        parts = []
        for _ in range(3):
            parts.append(await bench.begin_next_slow())
            bench.finish(parts[-1])
        await bench.committed({SLOW_A: 20})

    assert [len(part.records) for part in parts] == [2, 5, 13]


async def test_slow_spans_take_no_room_and_a_full_feeder_leaves_their_partitions_paused() -> None:
    bench = Bench(max_spans=1)
    bench.reader.script = [[long_span(SLOW_A, 9)], [span(A, 0)], [span(A, 1)]]

    async with running(bench):
        slow = await bench.begin_next_slow()
        bench.finish(await bench.begin_next())
        bench.finish(await bench.begin_next())
        still_paused = set(bench.reader.paused)
        bench.finish(slow)
        bench.finish(await bench.begin_next_slow())
        await bench.committed({A: 2, SLOW_A: 9})

    assert still_paused == {SLOW_A}


async def test_a_slow_partition_that_went_and_came_back_starts_afresh() -> None:
    bench = Bench()
    bench.reader.script = [[long_span(SLOW_A, 20)]]

    async with running(bench):
        lost = await bench.next_slow_span()
        await bench.feeder.revoked([SLOW_A])
        await bench.feeder.assigned([SLOW_A])
        bench.reader.paused.clear()
        bench.reader.script = [[long_span(SLOW_A, 10)]]
        again = await bench.begin_next_slow()
        may_begin = bench.feeder.begin(lost)
        bench.finish(again)
        bench.finish(await bench.begin_next_slow())
        await bench.committed({SLOW_A: 10})

    assert not may_begin
