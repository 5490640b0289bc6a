"""How much work was done more than once, and when work was done at all, from what is on the log."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hookmill.codec import decode_report
from hookmill.headers import MESSAGE_ID, header
from hookmill.topics import Topic
from redelivery.scan import Scan
from tests.faults.mill import Mill


@dataclass(frozen=True)
class Repeats:
    """`worked_ms`: the instants at which invocations were reported, rising; `repeated_ms`: those of repeated events.
    `failed_first`: webhooks whose first delivery failed and was tried again."""

    events: int
    letters: int
    worked_ms: Sequence[int]
    repeated_ms: Sequence[int]
    failed_first: int

    def __str__(self) -> str:
        return (
            f"{len(self.repeated_ms):,} of {self.events:,} events repeated on the log, {self.letters:,} letters, "
            f"{len(self.worked_ms):,} invocations, {self.failed_first:,} webhooks failed at first"
        )

    def worked_again_s(self, at_ms: int) -> float:
        """Seconds from this instant until work was done; 0 when none was done any more."""
        index = bisect_right(self.worked_ms, at_ms)
        return (self.worked_ms[index] - at_ms) / 1_000 if index < len(self.worked_ms) else 0.0

    def longest_pause_s(self, from_ms: int, to_ms: int) -> float:
        """The longest time within these instants in which no work was done."""
        within = [from_ms, *self.worked_ms[bisect_left(self.worked_ms, from_ms) : bisect_left(self.worked_ms, to_ms)]]
        return max((later - earlier for earlier, later in zip(within, [*within[1:], to_ms], strict=True))) / 1_000

    def most_after_one_of(self, instants_ms: Sequence[int]) -> int:
        """The most events that were repeated between one of these instants, which rise, and the next."""
        counts = Counter(bisect_right(instants_ms, at_ms) for at_ms in self.repeated_ms)
        return max(counts.values(), default=0)


async def count_repeats(mill: Mill) -> Repeats:
    """Over the whole life of the log."""
    ids: set[bytes | None] = set()
    failed_first: set[str] = set()
    worked_ms: list[int] = []
    repeated_ms: list[int] = []
    letters = 0
    topics = {mill.installation.names.full(topic): topic for topic in _TOPICS}
    async with Scan(mill.installation.log, list(topics)) as scan:
        async for span in scan.spans(dict.fromkeys(scan.ends, 0), scan.ends):
            match topics[span.partition.topic]:
                case Topic.EVENTS:
                    for record in span.records:
                        message_id = header(record.headers, MESSAGE_ID)
                        if message_id in ids:
                            repeated_ms.append(record.timestamp_ms)
                        ids.add(message_id)
                case Topic.INVOCATIONS:
                    reports = (decode_report(record.value or b"") for record in span.records)
                    failed_first.update(each.request_id for each in reports if each.next == "retry")
                    worked_ms += [record.timestamp_ms for record in span.records]
                case _:
                    letters += len(span.records)
    events = len(ids) + len(repeated_ms)
    return Repeats(events, letters, sorted(worked_ms), sorted(repeated_ms), len(failed_first))


_TOPICS = (Topic.EVENTS, Topic.DEAD_LETTERS, Topic.INVOCATIONS)
