"""The delivery of one batch: write, then dead letters, then commit. The one place where a sink's position moves."""

import time

from hookmill.errors import CommitRefused
from hookmill.log.contract import RecordReader, RecordSender
from hookmill.registry import Sink as SinkDefinition
from hookmill.telemetry import get_logger
from sinks.batch import Batch
from sinks.contract import RecordRejected, Sink
from sinks.metrics import SinkMetrics

logger = get_logger(__name__)


class Delivery:
    """Brings batches to one sink. The sink is opened by the first need and closed by `close`."""

    def __init__(self, definition: SinkDefinition, sink: Sink, metrics: SinkMetrics) -> None:
        self._name = definition.name
        self._sink = sink
        self._metrics = metrics
        self._is_open = False

    async def open(self) -> None:
        """The sink is entered. Errors: those of the sink (`SinkUnavailable`, `ConfigError`)."""
        if not self._is_open:
            await self._sink.__aenter__()
            self._is_open = True

    async def close(self) -> None:
        """The sink is left, if it was entered."""
        if self._is_open:
            self._is_open = False
            await self._sink.__aexit__(None, None, None)

    async def finish(self, batch: Batch, sender: RecordSender, dead_letters: str, reader: RecordReader) -> None:
        """Every message is in the sink, every refused record on the topic `dead_letters`, the positions are committed.

        Errors: `SinkUnavailable`, `LogUnavailable`, `LogFull`: do it again with what is left of the batch, whatever
        was done already is done again without harm.
        """
        began = time.monotonic()
        await self._write(batch)
        dead = batch.dead_letters(time.time_ns() // 1_000_000)
        await sender.send(dead_letters, dead)
        events, objects = batch.count()
        await self._commit(batch, reader)
        self._metrics.unwanted.inc(batch.unwanted)
        if not (events or objects or dead):
            return  # nothing for this sink
        self._metrics.written.inc()
        self._metrics.events.inc(events)
        self._metrics.objects.inc(objects)
        self._metrics.dead_letters.inc(len(dead))
        logger.info(
            "batch.written",
            sink=self._name,
            events=events,
            objects=objects,
            dead_letters=len(dead),
            duration_ms=round((time.monotonic() - began) * 1_000, 1),
        )

    async def _write(self, batch: Batch) -> None:
        """The sink has every message that it does not reject."""
        while messages := batch.messages:
            await self.open()
            try:
                with self._metrics.write_seconds.time():
                    await self._sink.write(messages)
            except RecordRejected as error:
                self._metrics.rejected.inc()
                logger.warning("sink.rejected", sink=self._name, error=str(error))
                batch.refuse(error)
            else:
                return

    async def _commit(self, batch: Batch, reader: RecordReader) -> None:
        """Partitions that were given away are left to their new reader, the others committed without them."""
        while batch:
            try:
                await reader.commit(batch.positions)
                return
            except CommitRefused as refused:
                logger.warning("sink.commit_refused", sink=self._name, error=str(refused))
                batch.forget(refused.partitions)
