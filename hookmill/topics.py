"""The topics of Hookmill as one table, and every size that derives from the body limit."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000

KEPT: Final = -1
"""A retention: records stay until they are forgotten, see `Log.forget`. Kafka's own value for it."""

MAX_BODY_BYTES: Final = 2_097_152
"""Largest webhook body, inclusive: 2 MiB (SEGMENT-SPEC F40 says 2 MB)."""

MAX_RECORD_BYTES: Final = 3_670_016
"""Largest record with its headers: 3.5 MiB. Room over the body for URL, header list and failure headers (aiohttp
accepts at most 128 headers of 8,190 bytes), and for the 1.7-fold growth of a body that a function sends on."""


MAX_WEBHOOK_BYTES: Final = MAX_RECORD_BYTES - 8_192
"""Largest record of a webhook as it is received: with the headers of a failure, under 2 KiB, and of a replay it must
still fit the delay topics and the dead letters."""


class Topic(StrEnum):
    """Names without prefix."""

    WEBHOOKS = "webhooks"
    WEBHOOKS_REDELIVERY = "webhooks.redelivery"
    WEBHOOKS_REPLAY = "webhooks.replay"
    WEBHOOKS_SLOW = "webhooks.slow"
    WEBHOOKS_PARKED = "webhooks.parked"
    EVENTS = "events"
    EVENTS_REDELIVERY = "events.redelivery"
    OBJECTS = "objects"
    OBJECTS_REDELIVERY = "objects.redelivery"
    DELAY_5S = "delay.5s"
    DELAY_25S = "delay.25s"
    DELAY_125S = "delay.125s"
    DELAY_625S = "delay.625s"
    DELAY_3125S = "delay.3125s"
    DEAD_LETTERS = "dead-letters"
    INVOCATIONS = "invocations"
    REGISTRY = "registry"


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it is created."""

    name: str
    partitions: int
    retention_ms: int | None
    """Age after which records may go, or `KEPT`; `None` for a compacted topic, which keeps the newest record of each
    key."""
    max_record_bytes: int = MAX_RECORD_BYTES

    @property
    def is_compacted(self) -> bool:
        return self.retention_ms is None


_RETENTION_DAYS: Final[dict[Topic, int]] = {
    Topic.WEBHOOKS: 14,
    Topic.WEBHOOKS_REDELIVERY: 7,
    Topic.WEBHOOKS_REPLAY: 7,
    Topic.WEBHOOKS_SLOW: 14,
    Topic.EVENTS: 14,
    Topic.EVENTS_REDELIVERY: 7,
    Topic.OBJECTS: 14,
    Topic.OBJECTS_REDELIVERY: 7,
    Topic.DELAY_5S: 2,
    Topic.DELAY_25S: 2,
    Topic.DELAY_125S: 2,
    Topic.DELAY_625S: 2,
    Topic.DELAY_3125S: 2,
    Topic.DEAD_LETTERS: 30,
    Topic.INVOCATIONS: 7,
}


@dataclass(frozen=True)
class TopicNames:
    """The topics of one installation: full names and specifications."""

    prefix: str = "hookmill."
    partitions: int = 4
    """Of every topic but `registry`, which has one so that its order is total."""

    def full(self, topic: Topic) -> str:
        """The name on the log."""
        return self.prefix + topic.value

    def group(self, role: str) -> str:
        """Name of a consumer group, `<prefix><role>`; public, because autoscalers watch its lag."""
        return self.prefix + role

    def specs(self) -> tuple[TopicSpec, ...]:
        """Every topic, in the order of the table in DESIGN section 4."""
        ordinary = tuple(
            TopicSpec(self.full(topic), self.partitions, days * DAY_MS, _max_record_bytes(topic))
            for topic, days in _RETENTION_DAYS.items()
        )
        parked = TopicSpec(self.full(Topic.WEBHOOKS_PARKED), self.partitions, KEPT)
        return (*ordinary, parked, TopicSpec(self.full(Topic.REGISTRY), 1, None))


def _max_record_bytes(topic: Topic) -> int:
    return MAX_WEBHOOK_BYTES if topic is Topic.WEBHOOKS else MAX_RECORD_BYTES
