"""The function stage without a framework: everything it needs, opened in order, and the work on one span."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final, Self

from hookmill.config import Config, ProcessorsConfig
from hookmill.egress.guard import Egress
from hookmill.log import open_log
from hookmill.memory import rare_collections
from hookmill.records import Span, TopicPartition
from hookmill.registry import RegistryView
from hookmill.telemetry import get_logger
from hookmill.topics import Topic
from processors import metrics
from processors.crashes import suspects_alone
from processors.feeder import Feeder
from processors.hold import Abandoned
from processors.inputs import GROUP, WEBHOOK_TOPICS
from processors.parked import Parked
from processors.parked_log import ParkedLog
from processors.parked_ownership import ParkedOwnership
from processors.parked_upkeep import ParkedUpkeep
from processors.parking import Parking
from processors.processor import RecordProcessor
from processors.runtimes.confinement import Level
from processors.runtimes.contract import RunnerPool
from processors.runtimes.pool import ProcessPool

log = get_logger(__name__)

PoolMaker = Callable[[ProcessorsConfig], contextlib.AbstractAsyncContextManager[RunnerPool]]

SPANS_WAITING: Final = 8
"""Spans read ahead of the work, 1 MiB each."""

_REVIEW_S: Final = 1.0
"""Between looks at who may leave the slow lane, and at what is parked."""


def process_pool(config: ProcessorsConfig) -> ProcessPool:
    """The pool that production uses."""
    isolation = Level(config.isolation)
    egress = Egress(allow_private=config.allow_private_network)
    return ProcessPool(config.node, config.max_runners, config.runner_idle_s, isolation, egress, config.packages)


class Stage:
    """Entered: the log is read, runners can start. Left: everything is closed; what `drain` left undone comes again.

    Whoever drives it awaits `run` and takes spans from `next_span` to `work`, several at once; likewise, and apart from
    those, from `next_slow_span` and `next_parked_span`. Each span taken is worked on, in the order of taking.
    """

    def __init__(self, config: Config, make_pool: PoolMaker = process_pool) -> None:
        self._config = config
        self._make_pool = make_pool
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opening:
            await self._open(opening)
            self._stack = opening.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        config = self._config
        stack.enter_context(rare_collections())
        names = config.topics.names
        event_log = open_log(config)
        self._view = await stack.enter_async_context(RegistryView(event_log, names.full(Topic.REGISTRY)))
        sender = await stack.enter_async_context(event_log.sender())
        pool = await stack.enter_async_context(self._make_pool(config.processors))
        parked = Parked(names)
        stack.callback(parked.index.close)
        self._processor = RecordProcessor(
            self._view.registry, pool, sender, names, parked=parked, delays_s=config.retry.delays_s
        )
        self._parked_topic = names.full(Topic.WEBHOOKS_PARKED)
        self._parked_log = ParkedLog(event_log, self._parked_topic, parked, _now_ms)
        await stack.enter_async_context(self._parked_log)
        webhooks = names.full(Topic.WEBHOOKS)
        self._parking = Parking(
            parked,
            self._parked_log,
            self._view.registry,
            self._processor.send_parked,
            lambda partition: TopicPartition(webhooks, partition) in self._feeder.reader.assignment(),
            self._processor.parked_at_once,
            _now_ms,
        )
        self._upkeep = ParkedUpkeep(event_log, parked, self._parked_log, self._parking, self._processor.send_parked)
        self._parked = parked
        topics = [names.full(topic) for topic in WEBHOOK_TOPICS]
        self._feeder = Feeder(
            lambda feeder: event_log.reader(
                topics,
                group=names.group(GROUP),
                listener=ParkedOwnership(feeder, self._parking, self._parked_log, webhooks),
            ),
            max_spans=config.processors.concurrency + SPANS_WAITING,
            commit_interval_s=config.processors.commit_interval_s,
            when_idle=[names.full(Topic.WEBHOOKS_REPLAY)],
            one_by_one={names.full(Topic.WEBHOOKS_SLOW): self._processor.slow_at_once},
        )
        await stack.enter_async_context(self._feeder.reader)
        log.info(
            "stage.started",
            stage="function",
            log=event_log.description,
            group=names.group(GROUP),
            sources=len(self._view.registry.sources),
        )

    async def run(self) -> None:
        """Reads and commits until cancelled; raises when that cannot go on."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feeder.run())
            group.create_task(self._view.wait())
            group.create_task(self._parked_log.run())
            group.create_task(self._upkeep.run())
            group.create_task(self._review())

    async def next_span(self) -> Span:
        """The next span for `work`."""
        return self._expected(await self._feeder.next_span())

    async def next_slow_span(self) -> Span:
        """The next span of the slow lane for `work`."""
        return self._expected(await self._feeder.next_slow_span())

    async def next_parked_span(self) -> Span:
        """The next span of parked webhooks for `work`."""
        return self._expected(await self._parking.next_span())

    def _expected(self, span: Span) -> Span:
        self._processor.expect(span)
        return span

    async def work(self, span: Span) -> None:
        """The span is done and will be committed, or was left because the stage stops or lost its partition.

        Errors: a bug, in an `ExceptionGroup`: the process has to end. The records of the span are set aside, each to be
        tried again by itself, and what others had in work is finished, so that the next process does not begin with all
        of it once more.
        """
        if span.partition.topic == self._parked_topic:
            await self._work_on_parked(span)
            return
        if not self._feeder.begin(span):
            self._processor.leave(span)
            return
        started = time.monotonic()
        bugs: list[ExceptionGroup] = []
        try:
            parts = suspects_alone(span)
            if parts[0] is not span:
                self._processor.leave(span)
            for part in parts:
                bugs += await self._settle(part, span)
            self._feeder.finish(span)
            _log_finished(span, started)
        except* Abandoned:
            pass  # the hold has said why; the span comes again
        finally:
            self._feeder.end(span)
        if bugs:
            await self._feeder.drain(self._config.processors.drain_timeout_s)
            raise ExceptionGroup("the function stage has a bug", bugs)

    async def _settle(self, part: Span, span: Span) -> list[ExceptionGroup]:
        """The records of a part of the span are done, or set aside after the bug that is returned."""
        try:
            await self._processor.process(part, lambda: self._feeder.is_wanted(span))
        except ExceptionGroup as bug:
            if bug.subgroup(Abandoned) is not None:
                raise
            self._feeder.begin_no_more()  # what is set aside is for another process
            await self._processor.set_aside(part, bug)
            log.error(
                "span.crashed",
                topic=part.partition.topic,
                partition=part.partition.partition,
                first_offset=part.records[0].offset,
                records=len(part.records),
            )
            return [bug]
        return []

    async def _work_on_parked(self, span: Span) -> None:
        if not self._parking.begin(span):
            self._processor.leave(span)
            return
        started, has_runner, keys = time.monotonic(), True, self._parking.keys(span)
        try:
            has_runner = await self._processor.process_parked(span, keys, lambda: self._parking.is_wanted(span))
            _log_finished(span, started)
        except* Abandoned:
            pass  # as above
        finally:
            self._parking.end(span, has_runner=has_runner)

    async def _review(self) -> None:
        while True:
            self._processor.shares.review(self._view.registry)
            metrics.set_parked(self._view.registry.sources.keys(), self._parked.index)
            await asyncio.sleep(_REVIEW_S)

    async def drain(self, timeout_s: float) -> None:
        """No work begins any more; what was begun has ended or time is up. Everything finished is committed."""
        self._processor.hold.abandon()
        drained = await asyncio.gather(self._feeder.drain(timeout_s), self._parking.until_idle(timeout_s))
        if not all(drained):
            log.warning("stage.drain_incomplete", stage="function", waited_s=timeout_s)


def _log_finished(span: Span, started: float) -> None:
    log.debug(
        "span.finished",
        topic=span.partition.topic,
        partition=span.partition.partition,
        next_offset=span.next_offset,
        records=len(span.records),
        duration_ms=round((time.monotonic() - started) * 1_000, 1),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
