"""What the mover counts."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge

from hookmill.records import TopicPartition
from hookmill.topics import Topic

_MOVED: Final = Counter("hookmill_mover_moved_total", "Records moved when their wait was over.", ("topic", "to"))
_OVERDUE: Final = Gauge(
    "hookmill_mover_overdue_seconds",
    "Since when the longest overdue record of a delay topic should have been moved; negative: until the next is due.",
    ("topic",),
)
_LAG: Final = Gauge("hookmill_mover_lag_records", "Records that wait on a delay topic.", ("topic", "partition"))

_TARGETS: Final = (
    Topic.WEBHOOKS_REDELIVERY,
    Topic.EVENTS_REDELIVERY,
    Topic.OBJECTS_REDELIVERY,
    Topic.DEAD_LETTERS,
)


class MoverMetrics:
    """The children, made once, so that they are exported as 0 from the start. Topics have their full names but in `to`,
    which is the name without prefix."""

    def __init__(self, topics: Mapping[str, float]) -> None:
        self._moved = {(topic, to): _MOVED.labels(topic, to.value) for topic in topics for to in _TARGETS}
        self._overdue = {topic: _OVERDUE.labels(topic) for topic in topics}
        self._lag: dict[TopicPartition, Gauge] = {}

    def moved(self, topic: str, to: Topic, records: int) -> None:
        """Records of `topic` were moved."""
        self._moved[topic, to].inc(records)

    def set_overdue(self, seconds: Mapping[str, float]) -> None:
        """By topic; topics on which nothing is known to wait are left out."""
        for topic, gauge in self._overdue.items():
            gauge.set(seconds.get(topic, 0.0))

    def set_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """The lag of the partitions owned now; those of others are no longer exported."""
        for gone in self._lag.keys() - lag.keys():
            _LAG.remove(*map(str, gone))
            del self._lag[gone]
        for place, records in lag.items():
            if place not in self._lag:
                self._lag[place] = _LAG.labels(*map(str, place))
            self._lag[place].set(records)
