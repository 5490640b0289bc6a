"""The delivery of one batch: write, then dead letters, then commit. The one place where a sink's position moves."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from hookmill.breaker import Breaker, State
from hookmill.errors import CommitRefused, FailureKind, HookmillError
from hookmill.log.contract import RecordReader, RecordSender
from hookmill.registry import Sink as SinkDefinition
from hookmill.retry import RetryPolicy
from hookmill.telemetry import get_logger
from hookmill.topics import Topic, TopicNames
from sinks.batch import Batch
from sinks.contract import Message, RecordRejected, Sink, SinkUnavailable
from sinks.dead_letters import Refusal
from sinks.metrics import SinkMetrics

logger = get_logger(__name__)


class Delivery:
    """Brings batches to one sink. The sink is opened by the first need and closed by `close`."""

    def __init__(
        self, definition: SinkDefinition, sink: Sink, metrics: SinkMetrics, names: TopicNames, policy: RetryPolicy
    ) -> None:
        self._name = definition.name
        self._sink = sink
        self._names = names
        self._policy = policy
        self._metrics = metrics
        self._breaker = Breaker(f"sink {definition.name}", metrics.show_breaker)
        self._is_open = False

    async def open(self) -> None:
        """The sink is entered. Errors: those of the sink (`SinkUnavailable`, `ConfigError`)."""
        if not self._is_open:
            with self._watched():
                await self._sink.__aenter__()
            self._is_open = True

    async def close(self) -> None:
        """The sink is left, if it was entered."""
        if self._is_open:
            self._is_open = False
            await self._sink.__aexit__(None, None, None)

    async def finish(self, batch: Batch, sender: RecordSender, reader: RecordReader) -> None:
        """Every message is in the sink, every refused record on the dead letters or a delay topic, all is committed.

        Errors: `SinkUnavailable`, `LogUnavailable`, `LogFull`: do it again with what is left of the batch, whatever
        was done already is done again without harm.
        """
        began = time.monotonic()
        await self._write(batch)
        aside = batch.set_aside(self._policy, time.time_ns() // 1_000_000)
        for topic, records in aside.items():
            await sender.send(self._names.full(topic), records)
        dead = len(aside.get(Topic.DEAD_LETTERS, ()))
        delayed = sum(map(len, aside.values())) - dead
        events, objects = batch.count()
        await self._commit(batch, reader)
        self._metrics.unwanted.inc(batch.unwanted)
        if not (events or objects or aside):
            return  # nothing for this sink
        self._metrics.written.inc()
        self._metrics.events.inc(events)
        self._metrics.objects.inc(objects)
        self._metrics.dead_letters.inc(dead)
        self._metrics.delayed.inc(delayed)
        logger.info(
            "batch.written",
            sink=self._name,
            events=events,
            objects=objects,
            dead_letters=dead,
            delayed=delayed,
            duration_ms=round((time.monotonic() - began) * 1_000, 1),
        )

    async def _write(self, batch: Batch) -> None:
        """The sink has every message that it does not reject.

        Where the sink itself fails, halves tell on which message; that one is refused for now, the others go on.
        """
        at_most = len(batch.messages)
        while messages := batch.messages[:at_most]:
            try:
                await self._write_some(batch, messages)
                at_most *= 2
            except HookmillError:
                raise
            except Exception as bug:
                self._metrics.failed.inc()
                is_found = len(messages) == 1
                logger.warning(
                    "sink.failed",
                    sink=self._name,
                    messages=len(messages),
                    error_class=type(bug).__name__,
                    exc_info=is_found,  # once is enough
                )
                if is_found:
                    batch.refuse_next(_crash(bug))
                at_most = max(1, len(messages) // 2)
                await self.close()  # nobody knows what state it is in

    async def _write_some(self, batch: Batch, messages: Sequence[Message]) -> None:
        """These are in the sink, or refused. After an outage a few are written first."""
        with self._watched():
            await self.open()
            some = messages[: self._breaker.admit(len(messages))]
            try:
                with self._metrics.write_seconds.time():
                    await self._sink.write(some)
            except RecordRejected as error:
                self._metrics.rejected.inc()
                logger.warning("sink.rejected", sink=self._name, error=str(error))
                batch.refuse(error)
            else:
                batch.written(len(some))
        self._breaker.succeeded()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """The breaker knows whether the sink is there. What is no answer tells nothing: the next attempt is a trial."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, SinkUnavailable) or self._breaker.state is State.HALF_OPEN:
                self._breaker.failed(str(error))
            raise

    async def _commit(self, batch: Batch, reader: RecordReader) -> None:
        """Partitions that were given away are left to their new reader, the others committed without them."""
        while batch:
            try:
                await reader.commit(batch.positions)
                return
            except CommitRefused as refused:
                logger.warning("sink.commit_refused", sink=self._name, error=str(refused))
                batch.forget(refused.partitions)


def _crash(bug: Exception) -> Refusal:
    """Of the error only the class is told: its text may hold what must not be."""
    text = f"The sink failed on this message alone with {type(bug).__name__}; the log of its worker has more."
    return Refusal("pipeline-crash", text, FailureKind.RETRIABLE)
