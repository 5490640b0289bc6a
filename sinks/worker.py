"""The sink worker: the service that reads a sink's topics in batches and has each batch delivered."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Container, Mapping
from typing import Final

from hookmill.config import SinksConfig
from hookmill.errors import LogFull, LogUnavailable, RecordTooLarge
from hookmill.log.contract import Log, RecordReader, RecordSender
from hookmill.memory import rare_collections
from hookmill.records import TopicPartition
from hookmill.registry import Sink as SinkDefinition
from hookmill.retry import RetryPolicy
from hookmill.telemetry import get_logger
from hookmill.topics import TopicNames
from sinks.batch import Batch, intakes
from sinks.contract import Sink, SinkUnavailable
from sinks.delivery import Delivery
from sinks.filter import wants
from sinks.metrics import SinkMetrics

logger = get_logger(__name__)

_AWAY: Final = (LogUnavailable, LogFull)
"""What passes when the log is back, or has room again: without room the embedded one cannot keep up a lease either."""

_IDLE_POLL_S: Final = 0.2
"""How long one poll waits for a first record, and so how long a stop may take to be seen."""
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0
_LAG_INTERVAL_S: Final = 5.0
_HANDOVER_S: Final = 18.0
"""How long a partition may be held back for the write in progress: the reader allows 20 s (RebalanceListener)."""


class _Stopped(Exception):
    """The worker is to stop, and what it waits for is away: the batch is left to the next start."""


class SinkWorker:
    """A service: everything that comes for the sink is in it, or in the dead letters, before its position is committed.

    While the sink or the log is away, the batch is kept, the partitions are paused, and attempts are repeated with
    growing pauses of up to 30 s; nothing is counted against the records. The same while a topic's limit was lowered
    below what a refused record needs. While the sink is paused, nothing is read and nothing written. Any other failure
    of the log ends the worker with its batch uncommitted, so that it comes again.
    """

    def __init__(
        self,
        config: SinksConfig,
        definition: SinkDefinition,
        log: Log,
        names: TopicNames,
        sink: Sink,
        paused: Container[str] = (),
        policy: RetryPolicy | None = None,
    ) -> None:
        """`paused` are the names of the sinks that are paused now."""
        self.name = f"sink {definition.name}"
        self._config = config
        self._definition = definition
        self._log = log
        self._names = names
        self._intakes = intakes(definition.name, names, events=definition.events, objects=definition.objects)
        self._metrics = SinkMetrics(definition.name)
        self._delivery = Delivery(definition, sink, self._metrics, names, policy or RetryPolicy())
        self._paused = paused
        self._wants = wants(definition.only)
        self._batch = Batch(self._intakes, self._wants)
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._between_writes = asyncio.Event()
        self._between_writes.set()
        self._lag_due = 0.0
        self._next_batch_due = 0.0

    async def start(self) -> None:
        """The sink is checked, unless it is paused, and the reader is a member of the sink's group.

        Errors: `ConfigError` of the sink; `TopicMissing`, `LogUnavailable`. A sink that is unavailable is none: the
        worker goes on trying.
        """
        group = self._names.group(f"sinks.{self._definition.name}")
        try:
            self._stack.enter_context(rare_collections())
            self._stack.push_async_callback(self._delivery.close)
            try:
                if not self._is_paused():
                    await self._delivery.open()
            except SinkUnavailable as error:
                logger.warning("sink.unavailable", sink=self._definition.name, error=str(error))
            self._sender: RecordSender = await self._stack.enter_async_context(self._log.sender())
            reader = self._log.reader(list(self._intakes), group=group, listener=self)
            self._reader: RecordReader = await self._stack.enter_async_context(reader)
        except BaseException:
            await self._stack.aclose()
            raise
        self._task = asyncio.create_task(self._work(), name=self.name)

    async def wait(self) -> None:
        """Raises what ended the worker."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """The batch in hand is written and committed, or left uncommitted after `drain_timeout_s`; all is closed."""
        assert self._task is not None
        self._stopping.set()
        await asyncio.wait({self._task}, timeout=self._config.drain_timeout_s)
        if not self._task.done():
            logger.warning("sink.drain_abandoned", sink=self._definition.name, timeout_s=self._config.drain_timeout_s)
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)  # `wait` has told what it raised
        await self._stack.aclose()

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Per owned partition, how many records are not committed yet. Errors: `LogUnavailable`."""
        return await self._reader.lag()

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """A write in progress is waited for; records that are not being written are forgotten, they will come to the
        next reader. After a write that takes too long the commit is refused, and the next reader repeats the batch."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANDOVER_S):
                await self._between_writes.wait()
            self._batch.forget(partitions)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is known of them yet."""

    async def _work(self) -> None:
        with contextlib.suppress(_Stopped):
            while not self._stopping.is_set():
                self._batch = Batch(self._intakes, self._wants)
                await self._sit_out_pause()
                await self._fill_batch()
                await self._finish_batch()
                await self._report_lag()

    async def _fill_batch(self) -> None:
        """The batch is full, or has all that is there and comes `batch_timeout_s` after the last one, or nothing came.

        After a silence the first records are not held back, nor are those that came while the last batch was written.
        """
        while not self._batch.is_full(self._config.batch_records) and not self._stopping.is_set():
            wait_s = self._next_batch_due - time.monotonic() if self._batch else _IDLE_POLL_S
            has_come = await self._poll(min(max(0.0, wait_s), _IDLE_POLL_S))
            if not self._batch:
                return
            if wait_s <= 0 and not has_come:
                break
        self._next_batch_due = time.monotonic() + self._config.batch_timeout_s

    async def _poll(self, timeout_s: float) -> bool:
        """Whether records came."""
        try:
            spans = await self._reader.poll(timeout_s)
        except _AWAY as error:
            logger.warning("sink.log_unavailable", sink=self._definition.name, error=str(error))
            await self._pause(timeout_s)
            return False
        for span in spans:
            self._batch.add(span)
        return bool(spans)

    async def _finish_batch(self) -> None:
        """The batch is delivered, however long the sink or the log is away."""
        pause_s = _FIRST_PAUSE_S
        while self._batch:
            await self._sit_out_pause()
            asked_s = 0.0
            self._between_writes.clear()
            try:
                await self._delivery.finish(self._batch, self._sender, self._reader)
                return
            except SinkUnavailable as error:
                asked_s = error.retry_after_s
                self._metrics.unavailable.inc()
                logger.warning(
                    "sink.unavailable", sink=self._definition.name, error=str(error), pause_s=max(pause_s, asked_s)
                )
            except (*_AWAY, RecordTooLarge) as error:
                logger.warning("sink.log_refuses", sink=self._definition.name, error=str(error), pause_s=pause_s)
            finally:
                self._between_writes.set()
            await self._wait(max(pause_s, asked_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _is_paused(self) -> bool:
        return self._definition.name in self._paused

    async def _sit_out_pause(self) -> None:
        """The sink is not paused, or no longer. A batch in hand stays in hand."""
        if not self._is_paused():
            return
        logger.info("sink.paused", sink=self._definition.name)
        self._metrics.paused.set(1)
        began = time.monotonic()
        try:
            await self._hold(self._is_paused)
        finally:
            self._metrics.paused.set(0)
        logger.info("sink.resumed", sink=self._definition.name, paused_s=round(time.monotonic() - began, 1))

    async def _wait(self, pause_s: float) -> None:
        """`pause_s` has passed, or the sink is paused."""
        until = time.monotonic() + pause_s
        await self._hold(lambda: time.monotonic() < until and not self._is_paused(), min(pause_s, _IDLE_POLL_S))

    async def _hold(self, is_held: Callable[[], bool], poll_s: float = _IDLE_POLL_S) -> None:
        """Every partition was paused while `is_held`, polled all the same: a silent reader loses its group."""
        try:
            while is_held():
                if self._stopping.is_set():
                    raise _Stopped
                self._reader.pause(self._reader.assignment())  # each time, it may have grown
                await self._poll(poll_s)
                await self._report_lag()
        finally:
            self._reader.resume(self._reader.assignment())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _report_lag(self) -> None:
        now = time.monotonic()
        if now < self._lag_due:
            return
        self._lag_due = now + _LAG_INTERVAL_S
        try:
            lag = await self._reader.lag()
        except _AWAY as error:
            logger.debug("sink.lag_unknown", sink=self._definition.name, error=str(error))
        else:
            self._metrics.set_lag(lag)
