"""Sends records to Kafka: one idempotent producer, batches built by us, a deadline for every call."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    RecordListTooLargeError,
)

from hookmill.errors import LogUnavailable, RecordTooLarge
from hookmill.log.kafka.batches import Batch, Destination, pack
from hookmill.log.kafka.cluster import CLOSE_S, Cluster, explain, finished_within
from hookmill.log.kafka.topics import BATCH_HEADROOM_BYTES, max_batch_bytes
from hookmill.records import NewRecord
from hookmill.topics import MAX_RECORD_BYTES

_LARGEST_BATCH_BYTES = MAX_RECORD_BYTES + BATCH_HEADROOM_BYTES
_FAREWELL_S = 0.5
"""At the end for what is still under way, of which every caller has been told that its outcome is unknown."""
_LIMIT_TRUSTED_S = 5.0
"""After so long a record over the limit makes us ask for it again: it may have been raised. A guess."""
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_NOT_STORED = (*_TOO_LARGE, OutOfOrderSequenceNumber, ProducerClosed)
"""The last two come to batches beside one that failed, the very last also to one that may have been stored."""
_AGAIN_AFTER_S = 0.05


class KafkaSender:
    """`RecordSender` on Kafka.

    A batch that fails for good has used up sequence numbers that the broker never saw; every later batch of its
    partition would be refused as out of order (RELIABILITY A5, A6). So the producer is replaced after each failure.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._producer: AIOKafkaProducer | None = None
        self._opening: asyncio.Task[AIOKafkaProducer] | None = None
        self._is_open = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._batch_limits: dict[str, int] = {}
        self._limits_learnt_at: dict[str, float] = {}
        self._calls: defaultdict[str, int] = defaultdict(int)
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        self._is_open = True
        try:
            await self._current_producer()
        except BaseException:
            await self._stop_opening()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._cluster.config.send_timeout_s)
        await self._stop_opening()
        if self._producer is not None:
            await _close(self._producer, flush_s=_FAREWELL_S)
            self._producer = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3 * CLOSE_S)

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """See `RecordSender.send`. On Kafka a send that ran into the deadline goes on in the background."""
        if not records:
            return
        delivery = self._start(self._deliver(topic, records))
        deadline_s = self._cluster.config.send_timeout_s
        done, _ = await asyncio.wait({delivery}, timeout=deadline_s)
        if not done:
            raise LogUnavailable(
                f'{self._cluster} did not acknowledge {len(records)} records on topic "{topic}" within'
                f" {deadline_s:g} s; whether they are stored is unknown."
            )
        delivery.result()

    async def _deliver(self, topic: str, records: Sequence[NewRecord]) -> None:
        """What an attempt leaves over is sent again: a neighbour that failed or a lowered limit is no failure of it."""
        deadline_s = time.monotonic() + self._cluster.config.send_timeout_s
        left = await self._attempt(topic, records)
        while left:
            if time.monotonic() > deadline_s:
                raise LogUnavailable(f'{self._cluster} took no batch of {len(left)} records on topic "{topic}".')
            await asyncio.sleep(_AGAIN_AFTER_S)
            left = await self._attempt(topic, left)

    async def _attempt(self, topic: str, records: Sequence[NewRecord]) -> list[NewRecord]:
        """The records that another attempt may store, in their order."""
        producer = await self._current_producer()
        destination = await self._destination(producer, topic)
        self._calls[topic] += 1
        try:
            batches = pack(records, destination, self._calls[topic] % destination.partitions)
        except RecordTooLarge:
            self._doubt_limit(destination)
            raise
        failed = await self._send_batches(producer, topic, batches)
        if not failed:
            return []
        if not all(isinstance(error, KafkaTimeoutError) for _, error in failed):
            self._retire(producer)
        self._raise_final(destination, failed)
        return [record for batch, _ in failed for record in batch.records]

    async def _send_batches(
        self, producer: AIOKafkaProducer, topic: str, batches: Sequence[tuple[int, Batch]]
    ) -> list[tuple[Batch, BaseException]]:
        """Those that were not acknowledged, and why."""
        futures = []
        refusal: KafkaError | None = None
        for partition, batch in batches:
            try:
                futures.append(await self._enqueue(producer, batch, topic, partition))
            except KafkaError as error:
                refusal = error
                break
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        outcomes += [refusal] * (len(batches) - len(futures))
        return [
            (batch, outcome)
            for (_, batch), outcome in zip(batches, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        ]

    async def _enqueue(
        self, producer: AIOKafkaProducer, batch: Batch, topic: str, partition: int
    ) -> asyncio.Future[Any]:
        """The batch is next but for those before it. Errors: `KafkaError`.

        One at a time per partition: of several that wait in aiokafka 0.14 each counts its time from the beginning at
        every batch before it, and those that wait while it closes are never sent.
        """
        try:
            async with asyncio.timeout(self._cluster.config.send_timeout_s), self._turns[topic, partition]:
                if self._retired(producer):
                    raise ProducerClosed
                future: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
                return future
        except TimeoutError as error:
            raise KafkaTimeoutError from error

    async def _destination(self, producer: AIOKafkaProducer, topic: str) -> Destination:
        """What is known of `topic`, looked up at first use.

        Asked without naming the topic first: producing to a topic that is not there would wait a minute for it, or
        create it where the brokers do so on their own.
        """
        partitions = producer.client.cluster.partitions_for_topic(topic)
        if partitions is None or topic not in self._batch_limits:
            limit = await max_batch_bytes(self._cluster, topic)
            self._batch_limits[topic] = min(limit or _LARGEST_BATCH_BYTES, _LARGEST_BATCH_BYTES)
            self._limits_learnt_at[topic] = time.monotonic()
            async with self._cluster.within(self._cluster.config.connect_timeout_s, f'describe topic "{topic}"'):
                partitions = await producer.partitions_for(topic)
        return Destination(topic, len(partitions), self._batch_limits[topic])

    def _doubt_limit(self, destination: Destination) -> None:
        """The next send asks for the limit of the topic, unless it is our own or was asked for just now."""
        age_s = time.monotonic() - self._limits_learnt_at[destination.topic]
        if destination.max_batch_bytes < _LARGEST_BATCH_BYTES and age_s > _LIMIT_TRUSTED_S:
            self._batch_limits.pop(destination.topic, None)

    def _raise_final(self, destination: Destination, failed: Sequence[tuple[Batch, BaseException]]) -> None:
        """Raises what another attempt would not mend."""
        for batch, error in failed:
            if not isinstance(error, _NOT_STORED):
                raise LogUnavailable(
                    f'{self._cluster} did not store records on topic "{destination.topic}": {explain(error)}.'
                ) from error
            if isinstance(error, _TOO_LARGE):
                # The limit was lowered since we looked: look again.
                self._batch_limits.pop(destination.topic, None)
                if len(batch.records) == 1:
                    raise RecordTooLarge(
                        f'Record of {batch.size():,} bytes exceeds max.message.bytes of topic "{destination.topic}".'
                    ) from error

    async def _current_producer(self) -> AIOKafkaProducer:
        """The producer, a new one if the last was retired; all callers wait for the same opening."""
        if not self._is_open:
            raise RuntimeError("The sender is not open.")
        if self._producer is not None:
            return self._producer
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_producer())
        return await asyncio.shield(self._opening)

    async def _open_producer(self) -> AIOKafkaProducer:
        timeout_ms = int(self._cluster.config.send_timeout_s * 1_000)
        producer = AIOKafkaProducer(
            **self._cluster.options(),
            acks="all",
            enable_idempotence=True,
            max_request_size=_LARGEST_BATCH_BYTES,
            linger_ms=0,
            request_timeout_ms=timeout_ms,
        )
        await self._cluster.open(producer.start, producer.stop)
        self._producer = producer
        return producer

    async def _stop_opening(self) -> None:
        self._is_open = False
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})

    def _retired(self, producer: AIOKafkaProducer) -> bool:
        return self._producer is not producer

    def _retire(self, producer: AIOKafkaProducer) -> None:
        """The next send gets a new producer; this one is closed in the background."""
        if not self._retired(producer):
            self._producer = None
            self._turns = defaultdict(asyncio.Lock)
            self._start(_close(producer, flush_s=CLOSE_S))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone; asyncio complains of errors that nobody looked at


async def _close(producer: AIOKafkaProducer, *, flush_s: float) -> None:
    """No connection and no task of the producer is left, whatever the brokers do; batches had `flush_s` to arrive."""
    stopping = asyncio.create_task(producer.stop())
    await asyncio.wait({stopping}, timeout=flush_s)
    if not stopping.done():
        # stop() waits until every batch is delivered; without brokers that is never (aiokafka 0.14, issue 659).
        producer._message_accumulator.fail_all(KafkaTimeoutError())
    if not await finished_within(CLOSE_S, stopping):
        await finished_within(CLOSE_S, producer.client.close())
    # Batches that came while it stopped: nobody else tells their senders.
    producer._message_accumulator.fail_all(ProducerClosed())
