"""Positions at which nothing is to be read: what a group lost by that is logged as an error and counted."""

from typing import Final

from prometheus_client import Counter

from hookmill.records import TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_MISSED: Final = Counter(
    "hookmill_log_records_missed_total",
    "Records that retention removed before the group had read them.",
    ["group", "topic"],
)


def report_missed(group: str | None, place: TopicPartition, position: int, first: int) -> None:
    """The offsets from `position` to before `first`, the first one left, are lost to the group.

    The reader has its group stand behind the gap then. A process that ends before, while records from before the gap
    are still in work, leaves it to be found, and counted, once more. To a reader without group nothing is lost: it
    begins wherever it was told to, often before what is left.
    """
    records = first - position
    where = {"topic": place.topic, "partition": place.partition, "position": position, "first": first}
    if group is None:
        log.debug("log.records_skipped", records=records, **where)
        return
    log.error("log.records_missed", group=group, records=records, **where)
    _MISSED.labels(group, place.topic).inc(records)


def report_beyond_end(place: TopicPartition, position: int, bounds: tuple[int, int]) -> None:
    """Nothing was ever at `position` of what is there now, from the first offset to before the second; all is read.

    The topic was created anew or restored from an older copy, or its cluster lost the newest records.
    """
    first, end = bounds
    where = {"topic": place.topic, "partition": place.partition, "position": position, "first": first}
    log.error("log.position_beyond_end", end=end, **where)
