"""How much work was done more than once, and how long none was done, from what is on the log."""

from dataclasses import dataclass

from hookmill.codec import decode_report
from hookmill.headers import MESSAGE_ID, header
from hookmill.topics import Topic
from redelivery.scan import Scan
from tests.faults.mill import Mill


@dataclass(frozen=True)
class Repeats:
    """`failed_first`: webhooks whose first delivery failed and was tried again."""

    events: int
    events_repeated: int
    letters: int
    invocations: int
    failed_first: int

    def __str__(self) -> str:
        return (
            f"{self.events_repeated:,} of {self.events:,} events repeated on the log, {self.letters:,} letters, "
            f"{self.invocations:,} invocations, {self.failed_first:,} webhooks failed at their first delivery"
        )


async def count_repeats(mill: Mill) -> Repeats:
    """Over the whole life of the log."""
    ids: set[bytes | None] = set()
    failed_first: set[str] = set()
    counts = dict.fromkeys((Topic.EVENTS, Topic.DEAD_LETTERS, Topic.INVOCATIONS), 0)
    names = mill.installation.names
    for topic in counts:
        async with Scan(mill.installation.log, [names.full(topic)]) as scan:
            async for span in scan.spans(dict.fromkeys(scan.ends, 0), scan.ends):
                counts[topic] += len(span.records)
                if topic is Topic.EVENTS:
                    ids.update(header(record.headers, MESSAGE_ID) for record in span.records)
                if topic is Topic.INVOCATIONS:
                    reports = (decode_report(record.value or b"") for record in span.records)
                    failed_first.update(each.request_id for each in reports if each.next == "retry")
    events = counts[Topic.EVENTS]
    return Repeats(events, events - len(ids), counts[Topic.DEAD_LETTERS], counts[Topic.INVOCATIONS], len(failed_first))
