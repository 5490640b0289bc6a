"""The mover on both engines: what waited is where its stage reads it, when its wait is over."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Self

import pytest
from prometheus_client import REGISTRY

from hookmill import headers
from hookmill.errors import LogUnavailable, RecordTooLarge
from hookmill.lifecycle import running
from hookmill.log import Log
from hookmill.log.contract import RebalanceListener, RecordReader, RecordSender
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.topics import Topic, TopicSpec
from tests.contracts.reading import DEADLINE_S, eventually, read_all
from tests.redelivery.installation import Installation
from tests.redelivery.moving import HandClock, delayed, mover_on, values_on


async def read_topic(installation: Installation, topic: Topic, count: int) -> list[Record]:
    return await read_all(installation.log, installation.names.full(topic), count)


async def values(installation: Installation, topic: Topic, count: int) -> Sequence[bytes | None]:
    return await values_on(installation, installation.names.full(topic), count)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_record_goes_to_its_stage_as_it_was_but_for_the_wait(installation: Installation) -> None:
    now_ms = round(time.time() * 1_000)
    due = delayed(b"\x00\xff", now_ms, key=b"k")
    await installation.send(Topic.DELAY_5S, due)
    await installation.send(Topic.DELAY_25S, delayed(b"event", now_ms, stage=b"events:warehouse"))
    await installation.send(Topic.DELAY_3125S, delayed(b"object", now_ms, stage=b"objects:a:b"))

    async with running([mover_on(installation)]):
        [webhook] = await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 1)
        assert await values(installation, Topic.EVENTS_REDELIVERY, 1) == [b"event"]
        assert await values(installation, Topic.OBJECTS_REDELIVERY, 1) == [b"object"]

    assert (webhook.value, webhook.key) == (b"\x00\xff", b"k")
    assert webhook.headers == tuple(pair for pair in due.headers if pair[0] != headers.NOT_BEFORE)


async def test_a_head_that_has_to_wait_stops_its_partition_and_no_other(installation: Installation) -> None:
    clock = HandClock()
    later_ms = clock.now_ms + 20_000
    await installation.send(
        Topic.DELAY_25S,
        delayed(b"first", clock.now_ms, partition=0),
        delayed(b"waits", later_ms, partition=0),
        delayed(b"behind", clock.now_ms, partition=0),
        delayed(b"elsewhere", clock.now_ms, partition=1),
    )

    async with running([mover_on(installation, clock)]):
        early = await values(installation, Topic.WEBHOOKS_REDELIVERY, 2)
        await installation.send(Topic.DELAY_25S, delayed(b"new elsewhere", clock.now_ms, partition=1))
        flowing = await values(installation, Topic.WEBHOOKS_REDELIVERY, 3)
        clock.pass_by(20)
        everything = await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 5)

    assert set(early) == {b"first", b"elsewhere"}
    assert set(flowing) == {b"first", b"elsewhere", b"new elsewhere"}
    assert {record.value for record in everything} == {*flowing, b"waits", b"behind"}


async def test_a_thousand_waits_end_one_after_the_other_and_none_early(installation: Installation) -> None:
    """Over more than one span of the log, by the real clock."""
    start_ms = round(time.time() * 1_000)
    records = [delayed(b"%d" % n, start_ms + 2 * n, key=b"k%d" % (n % 7)) for n in range(1_000)]
    await installation.send(Topic.DELAY_5S, *records)

    async with running([mover_on(installation)]):
        moved = await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 1_000)

    assert sorted(int(record.value or b"") for record in moved) == list(range(1_000))
    early = [record for record in moved if record.timestamp_ms < start_ms + 2 * int(record.value or b"")]
    assert early == []


async def test_what_waits_when_the_mover_stops_is_moved_by_the_next_and_nothing_else(
    installation: Installation,
) -> None:
    clock = HandClock()
    records = [delayed(b"%d" % n, clock.now_ms + (100_000 if n >= 3 else 0), partition=0) for n in range(6)]
    await installation.send(Topic.DELAY_125S, *records)

    async with running([mover_on(installation, clock)]):
        await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 3)
    clock.pass_by(100)
    async with running([mover_on(installation, clock)]):
        await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 6)

    everything = await installation.records(Topic.WEBHOOKS_REDELIVERY)
    assert sorted(record.value or b"" for record in everything) == [b"%d" % n for n in range(6)]


async def test_two_movers_share_the_partitions_and_lose_nothing(installation: Installation) -> None:
    now_ms = round(time.time() * 1_000)

    async def send(numbers: Collection[int], wait_ms: int) -> None:
        await installation.send(
            Topic.DELAY_5S, *[delayed(b"%d" % n, now_ms + wait_ms, key=b"k%d" % n) for n in numbers]
        )

    await send(range(200), 0)
    await send(range(200, 400), 3_000)
    async with running([mover_on(installation)]):
        async with running([mover_on(installation)]):
            await send(range(400, 600), 0)
            await read_topic(installation, Topic.WEBHOOKS_REDELIVERY, 400)
        await send(range(600, 800), 0)
        await eventually(lambda: has_all(installation, 800), "every record is moved")


async def has_all(installation: Installation, count: int) -> bool:
    records = await installation.records(Topic.WEBHOOKS_REDELIVERY)
    return {record.value for record in records} == {b"%d" % n for n in range(count)}


@pytest.mark.parametrize("stage", [None, b"", b"functions", b"events:", b"objects", b"\xff" * 1_000])
async def test_a_record_of_no_stage_is_a_dead_letter(installation: Installation, stage: bytes | None) -> None:
    await installation.send(Topic.DELAY_5S, delayed(b"lost", 0, stage=stage, key=b"k"))

    async with running([mover_on(installation)]):
        [letter] = await read_topic(installation, Topic.DEAD_LETTERS, 1)

    found = dict(letter.headers)
    assert (letter.value, letter.key) == (b"lost", b"k")
    assert (found[headers.ERROR_CLASS], found[headers.DELIVERY_COUNT]) == (b"UnknownStage", b"2")
    assert found.get(headers.STAGE) == stage
    assert len(found[headers.ERROR]) < 1_024
    assert found[headers.FIRST_FAILED_AT] == found[headers.LAST_FAILED_AT]
    assert headers.NOT_BEFORE not in found


async def test_an_hour_back_delays_by_the_wait_of_the_topic(installation: Installation) -> None:
    clock = HandClock()
    await installation.send(Topic.DELAY_25S, delayed(b"old", clock.now_ms + 25_000, partition=0))
    clock.set_by(-3_600)

    async with running([mover_on(installation, clock)]):
        await installation.send(Topic.DELAY_25S, delayed(b"other", clock.now_ms, partition=1))
        assert await values(installation, Topic.WEBHOOKS_REDELIVERY, 1) == [b"other"]
        clock.pass_by(24)
        await installation.send(Topic.DELAY_25S, delayed(b"another", clock.now_ms, partition=1))
        assert set(await values(installation, Topic.WEBHOOKS_REDELIVERY, 2)) == {b"other", b"another"}
        clock.pass_by(1)
        assert b"old" in await values(installation, Topic.WEBHOOKS_REDELIVERY, 3)


async def test_an_hour_forward_ends_the_wait(installation: Installation) -> None:
    clock = HandClock()
    await installation.send(Topic.DELAY_3125S, delayed(b"a", clock.now_ms + 3_125_000))

    async with running([mover_on(installation, clock)]):
        clock.set_by(3_600)
        assert await values(installation, Topic.WEBHOOKS_REDELIVERY, 1) == [b"a"]


async def test_a_stop_does_not_wait_for_what_waits(installation: Installation) -> None:
    clock = HandClock()
    mover = mover_on(installation, clock)
    await installation.send(Topic.DELAY_3125S, delayed(b"a", clock.now_ms + 3_125_000))
    await mover.start()
    await eventually(lambda: overdue(installation, Topic.DELAY_3125S, -3_125.0), "the head is seen")

    async with asyncio.timeout(DEADLINE_S):
        await mover.stop()


async def overdue(installation: Installation, topic: Topic, seconds: float) -> bool:
    return metric("hookmill_mover_overdue_seconds", topic=installation.names.full(topic)) == seconds


async def test_what_moves_and_what_waits_is_told(installation: Installation) -> None:
    clock = HandClock()
    topic = installation.names.full(Topic.DELAY_625S)
    await installation.send(
        Topic.DELAY_625S,
        delayed(b"a", clock.now_ms, partition=0),
        delayed(b"b", clock.now_ms, stage=b"nobody", partition=0),
        delayed(b"c", clock.now_ms + 7_000, partition=0),
        delayed(b"d", clock.now_ms + 9_000, partition=1),
    )

    async with running([mover_on(installation, clock)]):
        await eventually(lambda: overdue(installation, Topic.DELAY_625S, -7.0), "the next head is told")

        async def has_lag() -> bool:
            lag = [metric("hookmill_mover_lag_records", topic=topic, partition=str(n)) for n in (0, 1)]
            return lag == [1, 1]

        await eventually(has_lag, "the lag is told")

    moved = {
        to: metric("hookmill_mover_moved_total", topic=topic, to=to) for to in ("webhooks.redelivery", "dead-letters")
    }
    assert moved == {"webhooks.redelivery": 1, "dead-letters": 1}


class FailingLog:
    """A log whose senders fail as told before they send; `None` is a send that goes well."""

    def __init__(self, log: Log, failures: Sequence[Exception | None]) -> None:
        self._log = log
        self.failures = list(failures)
        self.description = log.description

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        return await self._log.ensure_topics(specs)

    def sender(self) -> RecordSender:
        return _FailingSender(self._log.sender(), self.failures)

    def reader(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
        from_end: bool = False,
    ) -> RecordReader:
        return self._log.reader(topics, group=group, listener=listener, from_end=from_end)


class _FailingSender:
    def __init__(self, sender: RecordSender, failures: list[Exception | None]) -> None:
        self._sender = sender
        self._failures = failures

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure
        await self._sender.send(topic, records)

    async def __aenter__(self) -> Self:
        await self._sender.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._sender.__aexit__(None, None, None)


async def test_while_the_log_takes_nothing_records_are_held_and_then_moved_once(installation: Installation) -> None:
    log = FailingLog(installation.log, [LogUnavailable("away")] * 3)
    await installation.send(Topic.DELAY_5S, *[delayed(b"%d" % n, 0, key=b"k") for n in range(5)])

    async with running([mover_on(installation, log=log)]):
        moved = await values(installation, Topic.WEBHOOKS_REDELIVERY, 5)

    assert moved == [b"0", b"1", b"2", b"3", b"4"]
    assert log.failures == []


async def test_a_record_that_its_topic_finds_too_large_is_a_dead_letter_and_the_others_are_moved(
    installation: Installation,
) -> None:
    too_large = RecordTooLarge("Record of 9 bytes exceeds 8.")
    log = FailingLog(installation.log, [too_large, None, too_large])  # three at once, then each alone
    await installation.send(Topic.DELAY_5S, *[delayed(value, 0, key=b"k") for value in (b"a", b"b", b"c")])

    async with running([mover_on(installation, log=log)]):
        moved = await values(installation, Topic.WEBHOOKS_REDELIVERY, 2)
        (letter,) = await read_topic(installation, Topic.DEAD_LETTERS, 1)

    said = {name: headers.text_header(letter.headers, name) for name in (headers.STAGE, headers.ERROR)}
    assert moved == [b"a", b"c"]
    assert letter.value == b"b"
    assert said == {headers.STAGE: "function", headers.ERROR: "Record of 9 bytes exceeds 8."}


async def test_an_unexpected_error_ends_the_mover_and_leaves_the_record(installation: Installation) -> None:
    log = FailingLog(installation.log, [ZeroDivisionError()])
    await installation.send(Topic.DELAY_5S, delayed(b"a", 0))
    mover = mover_on(installation, log=log)

    async with running([mover]), asyncio.timeout(DEADLINE_S):
        with pytest.raises(ZeroDivisionError):
            await mover.wait()
    async with running([mover_on(installation)]):
        assert await values(installation, Topic.WEBHOOKS_REDELIVERY, 1) == [b"a"]


async def test_a_partition_that_goes_takes_what_waits_with_it(installation: Installation) -> None:
    """Its next owner has it; what this mover still held must not be moved by both."""
    clock = HandClock()
    mover = mover_on(installation, clock)
    place = TopicPartition(installation.names.full(Topic.DELAY_125S), 0)
    await installation.send(Topic.DELAY_125S, delayed(b"a", clock.now_ms + 50_000, partition=0))

    async with running([mover]):
        await eventually(lambda: overdue(installation, Topic.DELAY_125S, -50.0), "the head is seen")
        await mover.revoked([place])
        await eventually(lambda: overdue(installation, Topic.DELAY_125S, 0.0), "nothing is held")
