"""The batch in hand: records between reading and committing, taken apart into messages and records that cannot be any.

Pure bookkeeping. Whatever happens to a record, it stays here until its partition is committed or forgotten.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from hookmill import headers
from hookmill.errors import FailureKind
from hookmill.records import NewRecord, Record, Span, TopicPartition
from hookmill.retry import RetryPolicy
from hookmill.topics import Topic, TopicNames
from sinks.contract import Message, RecordRejected, SourcedObject
from sinks.dead_letters import Refusal, set_aside
from sinks.decode import Undecodable, decode_event, decode_object_write
from sinks.filter import Wants, everything

MAX_BATCH_BYTES: Final = 16_777_216
"""A batch of this size is written though it has few records: 16 MiB, so that a worker stays under 100 MiB."""


@dataclass(frozen=True)
class Intake:
    """How records of one topic become messages of the sink."""

    decode: Callable[[Record], Message]
    stage: str
    """The sink's own stage for this topic's records: `events:<sink>` or `objects:<sink>`."""
    is_redelivery: bool
    """The topic carries records of all sinks back; those of other stages are not ours."""


def intakes(sink: str, names: TopicNames, *, events: bool, objects: bool) -> dict[str, Intake]:
    """What the sink reads, by full name of the topic."""
    found: dict[str, Intake] = {}
    if events:
        stage = f"events:{sink}"
        found[names.full(Topic.EVENTS)] = Intake(decode_event, stage, is_redelivery=False)
        found[names.full(Topic.EVENTS_REDELIVERY)] = Intake(decode_event, stage, is_redelivery=True)
    if objects:
        stage = f"objects:{sink}"
        found[names.full(Topic.OBJECTS)] = Intake(decode_object_write, stage, is_redelivery=False)
        found[names.full(Topic.OBJECTS_REDELIVERY)] = Intake(decode_object_write, stage, is_redelivery=True)
    return found


class Batch:
    """Records of any partitions, in the order in which they were read."""

    def __init__(self, topics: Mapping[str, Intake], wants: Wants = everything) -> None:
        self._topics = topics
        self._wants = wants
        self._accepted: list[tuple[Record, Message]] = []
        self._written: list[tuple[Record, Message]] = []
        self._refused: list[tuple[Record, Refusal]] = []
        self._size_bytes = 0
        self.unwanted = 0
        """Messages that the sink's filter leaves out."""
        self.positions: dict[TopicPartition, int] = {}
        """What to commit once everything here is done."""

    def __bool__(self) -> bool:
        return bool(self.positions)

    @property
    def messages(self) -> list[Message]:
        """What the sink is still to have; indexes are those of `refuse`."""
        return [message for _, message in self._accepted]

    def is_full(self, max_records: int) -> bool:
        """Nothing more should be added."""
        records = len(self._accepted) + len(self._refused) + self.unwanted
        return records >= max_records or self._size_bytes >= MAX_BATCH_BYTES

    def add(self, span: Span) -> None:
        """The span's records are in the batch; those that are no messages are refused already."""
        intake = self._topics[span.partition.topic]
        for record in span.records:
            if (
                intake.is_redelivery
                and headers.text_header(record.headers, headers.STAGE, intake.stage) != intake.stage
            ):
                continue
            self._size_bytes += record.size_bytes
            try:
                message = intake.decode(record)
            except Undecodable as error:
                self._refused.append((record, Refusal(type(error).__name__, str(error))))
                continue
            if self._wants(message):
                self._accepted.append((record, message))
            else:
                self.unwanted += 1
        self.positions[span.partition] = span.next_offset

    def written(self, count: int) -> None:
        """The sink has the first `count` of `messages`, which are no longer among them."""
        self._written += self._accepted[:count]
        del self._accepted[:count]

    def refuse(self, rejection: RecordRejected) -> None:
        """The messages that the sink rejected are no longer among `messages`."""
        error_class = type(rejection).__name__
        for index, reason in rejection.rejected.items():
            kind = FailureKind.RETRIABLE if index in rejection.retriable else FailureKind.FINAL
            self._refused.append((self._accepted[index][0], Refusal(error_class, reason, kind)))
        self._accepted = [pair for index, pair in enumerate(self._accepted) if index not in rejection.rejected]

    def refuse_next(self, refusal: Refusal) -> None:
        """The first of `messages` is no longer among them."""
        record, _ = self._accepted.pop(0)
        self._refused.append((record, refusal))

    def set_aside(self, policy: RetryPolicy, now_ms: int) -> dict[Topic, list[NewRecord]]:
        """What becomes of the refused records: dead letters, and those that come again, by topic."""
        found: dict[Topic, list[NewRecord]] = {}
        for record, refusal in self._refused:
            topic, changed = set_aside(record, self._topics[record.topic].stage, refusal, policy, now_ms)
            found.setdefault(topic, []).append(changed)
        return found

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Another reader gets these partitions; what is here of them is not ours to finish."""
        if self.positions.keys().isdisjoint(partitions):
            return
        self._accepted = [pair for pair in self._accepted if _place(pair[0]) not in partitions]
        self._written = [pair for pair in self._written if _place(pair[0]) not in partitions]
        self._refused = [pair for pair in self._refused if _place(pair[0]) not in partitions]
        self.positions = {place: offset for place, offset in self.positions.items() if place not in partitions}

    def count(self) -> tuple[int, int]:
        """Events and objects among the messages that the sink has."""
        objects = sum(isinstance(message, SourcedObject) for _, message in self._written)
        return len(self._written) - objects, objects


def _place(record: Record) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
