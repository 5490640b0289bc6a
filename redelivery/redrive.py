"""Redrive: dead letters go back to the stage that failed on them, or are given up; the topic says so."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from hookmill import headers
from hookmill.ids import new_request_id
from hookmill.log.contract import Log, RecordSender
from hookmill.parked import Why, parked_record, spot_of
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.topics import Topic, TopicNames
from redelivery.letters import Letter, LetterId, Settled, settlement_record
from redelivery.scan import Scan
from redelivery.stages import FUNCTION, topic_of_stage

_AT_ONCE: Final = 500
"""Letters per send: a crash repeats at most so many, with the ids they had."""
_OF_THE_FAILURE: Final = frozenset(
    {
        headers.ERROR_CLASS,
        headers.ERROR,
        headers.FIRST_FAILED_AT,
        headers.LAST_FAILED_AT,
        headers.NOT_BEFORE,
        headers.CRASHES,
    }
)
_OF_THE_NEWS: Final = frozenset({headers.FORMAT, headers.REQUEST_ID, headers.SOURCE, headers.ORIGIN})


async def redrive(
    log: Log, names: TopicNames, letters: Sequence[Letter], settled: Callable[[int], None]
) -> Sequence[Letter]:
    """Each letter is on its stage's redelivery topic, as a first delivery, and settled. Returns those that were gone.

    `settled` is called with counts as work goes on. Stopping at any point is harmless: what is on its way but not
    settled goes again with the same ids. Letters of stages that do not exist are returned as well.
    """
    by_id = {letter.id: letter for letter in letters if topic_of_stage(letter.stage) is not None}
    found: set[LetterId] = set()
    async with log.sender() as sender:
        async for records in _batches(log, names, list(by_id)):
            await _send_back(sender, names, records)
            done = [by_id[LetterId(record.partition, record.offset)] for record in records]
            await settle(sender, names, done, Settled.REDRIVEN)
            found.update(letter.id for letter in done)
            settled(len(done))
    return [letter for letter in letters if letter.id not in found]


async def drop(log: Log, names: TopicNames, letters: Sequence[Letter], settled: Callable[[int], None]) -> None:
    """Each letter is given up, and no webhook waits for it any more. Its bytes stay on the topic until retention takes
    them."""
    async with log.sender() as sender:
        for start in range(0, len(letters), _AT_ONCE):
            some = letters[start : start + _AT_ONCE]
            await _release(log, names, sender, [letter.id for letter in some if letter.stage == FUNCTION])
            await settle(sender, names, some, Settled.DROPPED)
            settled(len(some))


async def settle(sender: RecordSender, names: TopicNames, letters: Sequence[Letter], how: Settled) -> None:
    """The topic says so."""
    records = [settlement_record(letter, how) for letter in letters]
    await sender.send(names.full(Topic.DEAD_LETTERS), records)


async def read_record(log: Log, names: TopicNames, letter: Letter) -> Record | None:
    """The letter as it is on the topic; `None` when retention took it."""
    async for records in _batches(log, names, [letter.id]):
        return records[0]
    return None


async def deliver_edited(log: Log, names: TopicNames, letter: Letter, record: Record, body: bytes) -> str:
    """The webhook goes with another body, under a request id of its own, which is returned; the letter is settled."""
    request_id = new_request_id()
    changes = {headers.REQUEST_ID: request_id.encode()}
    edited = NewRecord(body, record.key, headers.with_headers(_sent_again(record).headers, changes))
    async with log.sender() as sender:
        await sender.send(names.full(Topic.WEBHOOKS_REDELIVERY), [edited])
        await settle(sender, names, [letter], Settled.REDRIVEN)
    return request_id


async def _release(log: Log, names: TopicNames, sender: RecordSender, ids: Sequence[LetterId]) -> None:
    """Whoever holds webhooks behind these letters hears that they are dropped. Before the letters are settled: what
    was not told because of a crash is told when they are dropped again."""
    news = []
    async for records in _batches(log, names, ids):
        news += [told for record in records if (told := _dropped(record, names)) is not None]
    if news:
        async with Scan(log, [names.full(Topic.WEBHOOKS_PARKED)]) as scan:
            partitions = len(scan.ends)
        await sender.send(
            names.full(Topic.WEBHOOKS_PARKED), [each for each in news if (each.partition or 0) < partitions]
        )


def _dropped(letter: Record, names: TopicNames) -> NewRecord | None:
    """The news for the webhooks behind the letter; `None` when there cannot be any."""
    place = headers.int_header(letter.headers, headers.HOLDS_ON, -1)
    spot = spot_of(letter.headers, names.full(Topic.WEBHOOKS))
    if place < 0 or spot is None or letter.key is None:
        return None
    kept = tuple(pair for pair in letter.headers if pair[0] in _OF_THE_NEWS)
    told_by = f"dropped-{LetterId(letter.partition, letter.offset)}"
    return parked_record(spot, Why.DROPPED, b"", letter.key, kept, place, told_by)


async def _send_back(sender: RecordSender, names: TopicNames, records: Sequence[Record]) -> None:
    by_topic: dict[Topic, list[NewRecord]] = {}
    for record in records:
        topic = topic_of_stage(headers.text_header(record.headers, headers.STAGE))
        assert topic is not None
        by_topic.setdefault(topic, []).append(_sent_again(record))
    for topic, some in by_topic.items():
        await sender.send(names.full(topic), some)


def _sent_again(record: Record) -> NewRecord:
    kept = headers.without_headers(record.headers, _OF_THE_FAILURE)
    changes = {
        headers.DELIVERY_COUNT: b"1",
        headers.REDRIVE_OF: str(LetterId(record.partition, record.offset)).encode(),
    }
    return record.sent_on(headers.with_headers(kept, changes))


async def _batches(log: Log, names: TopicNames, ids: Sequence[LetterId]) -> AsyncIterator[list[Record]]:
    """The records of these letters that are still there, some at a time."""
    wanted = frozenset(ids)
    topic = names.full(Topic.DEAD_LETTERS)
    starts = _by_partition(topic, ids, min)
    ends = {place: last + 1 for place, last in _by_partition(topic, ids, max).items()}
    records: list[Record] = []
    async with Scan(log, [topic]) as scan:
        async for span in scan.spans(starts, ends):
            records += [record for record in span.records if LetterId(record.partition, record.offset) in wanted]
            while len(records) >= _AT_ONCE:
                yield records[:_AT_ONCE]
                del records[:_AT_ONCE]
    if records:
        yield records


def _by_partition(
    topic: str, ids: Sequence[LetterId], choose: Callable[[int, int], int]
) -> Mapping[TopicPartition, int]:
    chosen: dict[TopicPartition, int] = {}
    for partition, offset in ids:
        place = TopicPartition(topic, partition)
        chosen[place] = choose(chosen.get(place, offset), offset)
    return chosen
