"""What a sink worker counts."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from hookmill.breaker import State
from hookmill.records import TopicPartition

_ROWS: Final = Counter("hookmill_sinks_rows_total", "Messages that the sink has durably.", ("sink", "kind"))
_BATCHES: Final = Counter("hookmill_sinks_batches_total", "Attempts to write a batch.", ("sink", "outcome"))
_WRITE: Final = Histogram(
    "hookmill_sinks_write_seconds",
    "Time of one attempt to write a batch.",
    ("sink",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_DEAD_LETTERS: Final = Counter("hookmill_sinks_dead_letters_total", "Records that became dead letters.", ("sink",))
_UNWANTED: Final = Counter("hookmill_sinks_unwanted_total", "Messages that the sink's filter leaves out.", ("sink",))
_DELAYED: Final = Counter("hookmill_sinks_delayed_total", "Records that come to the sink again later.", ("sink",))
_LAG: Final = Gauge(
    "hookmill_sinks_lag_records", "Records between the sink's position and the end.", ("sink", "topic", "partition")
)
_PAUSED: Final = Gauge("hookmill_sinks_paused", "1 while the sink is paused by an operator.", ("sink",))
_BREAKER: Final = Gauge(
    "hookmill_sinks_breaker_state", "Whether the sink is there: 0 closed, 1 half open (a few try), 2 open.", ("sink",)
)


class SinkMetrics:
    """The children of one sink, made once, so that they are exported as 0 from the start."""

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self.events = _ROWS.labels(sink, "event")
        self.objects = _ROWS.labels(sink, "object")
        self.written = _BATCHES.labels(sink, "written")
        self.rejected = _BATCHES.labels(sink, "rejected")
        self.failed = _BATCHES.labels(sink, "failed")
        self.unavailable = _BATCHES.labels(sink, "unavailable")
        self.write_seconds = _WRITE.labels(sink)
        self.dead_letters = _DEAD_LETTERS.labels(sink)
        self.delayed = _DELAYED.labels(sink)
        self.unwanted = _UNWANTED.labels(sink)
        self.paused = _PAUSED.labels(sink)
        self._lag: dict[TopicPartition, Gauge] = {}

    def show_breaker(self, state: State) -> None:
        """The sink's breaker is in this state."""
        _BREAKER.labels(self._sink).set(state)

    def set_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """The lag of the partitions owned now; those of others are no longer exported."""
        for gone in self._lag.keys() - lag.keys():
            _LAG.remove(self._sink, *map(str, gone))
            del self._lag[gone]
        for place, records in lag.items():
            if place not in self._lag:
                self._lag[place] = _LAG.labels(self._sink, *map(str, place))
            self._lag[place].set(records)
