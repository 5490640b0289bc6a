"""Metrics of the function stage. Labels come from closed sets: `source` is a known one or `unknown`."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import accumulate
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from hookmill.breaker import State
from hookmill.parked import Why
from hookmill.records import TopicPartition
from hookmill.registry import Registry
from processors.parked_index import ParkedIndex

UNKNOWN_SOURCE: Final = "unknown"

_INVOCATIONS: Final = Counter(
    "hookmill_processors_invocations_total", "Webhooks by how running their function ended.", ["source", "status"]
)
_MESSAGES: Final = Counter("hookmill_processors_messages_total", "Messages that functions sent.", ["source", "kind"])
_RETRIES: Final = Counter(
    "hookmill_processors_retries_total", "Failed deliveries that are made again later.", ["source", "error_class"]
)
_DEAD_LETTERS: Final = Counter(
    "hookmill_processors_dead_letters_total", "Webhooks moved to the dead letters.", ["source", "error_class"]
)
_DEFERRED: Final = Counter(
    "hookmill_processors_deferred_total", "Webhooks moved from the main lane to the slow lane.", ["source"]
)
_SLOW_LANE: Final = Gauge(
    "hookmill_processors_slow_lane_active", "1 while this process works on the source on the slow lane.", ["source"]
)
_on_gauge: Final[set[str]] = set()
_PARKED: Final = Gauge(
    "hookmill_processors_parked_records", "Parked webhooks that this process looks after.", ["source"]
)
_PARKED_KEYS: Final = Gauge(
    "hookmill_processors_parked_keys",
    "Ordering keys of parked webhooks, by why the first of them is parked: queued, failed, dead, ...",
    ["source", "why"],
)
_BREAKER: Final = Gauge(
    "hookmill_processors_breaker_state",
    "Whether runners for the source's function are to be had: 0 closed, 1 half open (a few try), 2 open.",
    ["source"],
)
_shown: Final[dict[Gauge, dict[tuple[str, ...], int]]] = {}
_LAG: Final = Gauge(
    "hookmill_processors_lag_records", "Offsets between the committed position and the end.", ["topic", "partition"]
)


class _Durations(Collector):
    """A histogram that takes many values at once: the client's own takes a lock twice for each."""

    bounds_s: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

    def __init__(self) -> None:
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(self.bounds_s) + 1))
        self._sums_s: defaultdict[str, float] = defaultdict(float)

    def observe(self, language: str, durations_s: Iterable[float]) -> None:
        """Invocations in a language took so long."""
        counts = self._counts[language]
        for duration_s in durations_s:
            counts[bisect_left(self.bounds_s, duration_s)] += 1
            self._sums_s[language] += duration_s

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See `Collector`; buckets count everything up to their bound."""
        family = HistogramMetricFamily(
            "hookmill_processors_invocation_seconds", "Wall-clock time of one invocation.", labels=["language"]
        )
        names = [*map(str, self.bounds_s), "+Inf"]
        for language, counts in self._counts.items():
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric([language], buckets, self._sums_s[language])
        yield family


_durations: Final = _Durations()
REGISTRY.register(_durations)


def observe_seconds(language: str, durations_s: Iterable[float]) -> None:
    """Invocations in a language took so long."""
    _durations.observe(language, durations_s)


@cache
def invocations(source: str, status: str) -> Counter:
    """Invocations of a source that ended so."""
    return _INVOCATIONS.labels(source, status)


@cache
def messages(source: str, kind: str) -> Counter:
    """Messages of a source; `kind` is `event` or `object`."""
    return _MESSAGES.labels(source, kind)


@cache
def retries(source: str, error_class: str) -> Counter:
    """Failed deliveries of a source that are made again; the class is a `Reason`, never a name from user code."""
    return _RETRIES.labels(source, error_class)


@cache
def dead_letters(source: str, error_class: str) -> Counter:
    """Dead letters of a source; the class is a `Reason`, never a name from user code."""
    return _DEAD_LETTERS.labels(source, error_class)


@cache
def deferred(source: str) -> Counter:
    """Webhooks of a source that went to the slow lane; nothing is counted against them."""
    return _DEFERRED.labels(source)


def set_slow_lane(sources: Collection[str], slow: Collection[str]) -> None:
    """Of all deployed sources those in `slow` are on the slow lane."""
    for gone in _on_gauge - set(sources):
        _SLOW_LANE.remove(gone)
    _on_gauge.intersection_update(sources)
    _on_gauge.update(sources)
    for source in sources:
        _SLOW_LANE.labels(source).set(source in slow)


def set_parked(sources: Collection[str], index: ParkedIndex) -> None:
    """The index is what this process has to do with parked webhooks, of all sources deployed."""
    records, queues = index.records, index.queues
    _show(_PARKED, {(source,): records.get(source, 0) for source in sources})
    _show(_PARKED_KEYS, {(source, why.value): queues.get((source, why), 0) for source in sources for why in Why})


def set_breakers(states: Mapping[str, State]) -> None:
    """By source, of all that are deployed."""
    _show(_BREAKER, {(source,): state for source, state in states.items()})


def _show(gauge: Gauge, values: Mapping[tuple[str, ...], int]) -> None:
    """The gauge has these values by its labels, and no others. Only what has changed is set: there may be many."""
    shown = _shown.setdefault(gauge, {})
    for labels in shown.keys() - values.keys():
        gauge.remove(*labels)
        del shown[labels]
    for labels, value in values.items():
        if shown.get(labels) != value:
            gauge.labels(*labels).set(value)
            shown[labels] = value


def source_label(registry: Registry, source: str) -> str:
    """The label of a source: its id if it is known, because headers of records can hold anything."""
    return source if source in registry.sources else UNKNOWN_SOURCE


def set_lag(partition: TopicPartition, records: int) -> None:
    """The lag of an owned partition is known."""
    _LAG.labels(partition.topic, partition.partition).set(records)


def forget_lag(partition: TopicPartition) -> None:
    """The partition went to another reader, which tells its lag from now on."""
    _LAG.remove(partition.topic, partition.partition)
