"""Messages as records of a topic of your own, on the log that the pipeline runs on: Kafka, or the embedded one.

The value is the message as on the log. Records of one user, and of one object, have one key and so keep their order.
At least once: after a crash records come again, with the `message-id` they had.

Source of the `ce_` headers: Kafka protocol binding for CloudEvents 1.0.2, binary mode.
"""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from hookmill import headers
from hookmill.errors import ConfigError, LogError, LogFull, LogUnavailable, RecordTooLarge, TopicMissing
from hookmill.log.contract import Log, RecordSender
from hookmill.records import Headers, NewRecord
from hookmill.topics import DAY_MS, TopicSpec
from sinks.contract import Event, Message, Sink, SinkUnavailable
from sinks.options import Surroundings
from sinks.streams.endpoint import Refused
from sinks.streams.parcels import Courier, Parcel, Piece

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""Kafka's rule."""
_RETENTION_MS: Final = 14 * DAY_MS
"""Of a topic that does not exist yet; as of `events`."""
_SEND_RECORDS: Final = 1_000
_SEND_BYTES: Final = 4_194_304
_JSON: Final = ("content-type", b"application/json")


class KafkaOptions(msgspec.Struct, frozen=True):
    """`topic`: its full name; it is created if it does not exist. `cloudevents`: whether records have `ce_` headers."""

    topic: str
    cloudevents: bool = False

    def check(self) -> None:
        """See `Options`."""
        if not _TOPIC.fullmatch(self.topic) or self.topic in (".", ".."):
            raise ConfigError("topic may have letters, digits, dots, dashes and underscores, 249 at most.")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`. Errors: `ConfigError` for a topic of the pipeline, which would feed itself."""
        if self.topic in {spec.name for spec in around.names.specs()}:
            raise ConfigError(f"topic {self.topic} is one of the pipeline's own.")
        return TopicStream(around.log, TopicSpec(self.topic, around.names.partitions, _RETENTION_MS), self.cloudevents)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return f"topic {self.topic}"


class TopicStream:
    """A `Sink` that sends every message to one topic."""

    def __init__(self, log: Log, topic: TopicSpec, is_cloudevents: bool) -> None:
        self._log = log
        self._topic = topic
        self._is_cloudevents = is_cloudevents
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._log.ensure_topics([self._topic])
            self._sender: RecordSender = await self._stack.enter_async_context(self._log.sender())
        except LogError as error:
            raise SinkUnavailable(str(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def write(self, batch: Sequence[Message]) -> None:
        """See `Sink`."""

        async def send(parcel: Parcel) -> None:
            try:
                await self._sender.send(
                    self._topic.name, [_record(batch[piece.indexes[0]], self._is_cloudevents) for piece in parcel]
                )
            except RecordTooLarge as error:
                raise Refused(f"topic {self._topic.name} does not take it: {error}") from None
            except (LogUnavailable, LogFull, TopicMissing) as error:
                raise SinkUnavailable(str(error)) from error

        pieces = [Piece((index,), message.raw, str(index)) for index, message in enumerate(batch)]
        await Courier(send, 1).deliver(pieces, _SEND_RECORDS, _SEND_BYTES)


def _record(message: Message, is_cloudevents: bool) -> NewRecord:
    if isinstance(message, Event):
        user = message.message.get("userId") or message.message.get("anonymousId")
        key = str(user).encode() if isinstance(user, str | int | float) else None
        message_id, kind, time = message.message_id, message.message.get("type"), message.message.get("timestamp")
    else:
        write = message.write
        key = f"{message.source}/{write.collection}/{write.id}".encode()
        kind = "object.delete" if write.deleted else "object"
        message_id, time = write.message_id, write.received_at
    described: Headers = (
        (headers.SOURCE, message.source.encode()),
        (headers.MESSAGE_ID, message_id.encode()),
        _JSON,
    )
    if is_cloudevents:
        described += (
            ("ce_specversion", b"1.0"),
            ("ce_id", message_id.encode()),
            ("ce_source", f"/sources/{message.source}".encode()),
            ("ce_type", f"hookmill.{kind}".encode()),
        )
        if isinstance(time, str):
            described += (("ce_time", time.encode()),)
    return NewRecord(message.raw, key, described)
