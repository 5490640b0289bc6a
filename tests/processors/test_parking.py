"""Parking on an embedded log: what is handed out, what is kept and what is forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from hookmill import headers
from hookmill.parked import Spot, Why, entry_key, parked_record, unparked_record
from hookmill.records import NewRecord, Span, TopicPartition
from hookmill.registry import Registry
from hookmill.topics import KEPT, Topic
from processors import parked_upkeep
from processors.parked import Parked
from processors.parked_log import ParkedLog
from processors.parked_upkeep import ParkedUpkeep
from processors.parking import Parking
from tests.processors.parts import SHOP, SHOP_CODE, registry_of, webhook_headers
from tests.redelivery.installation import Installation, install

PARKING = msgspec.structs.replace(SHOP, order_by="/key", on_failure="park")
DEADLINE_S = 60.0


@dataclass
class Lot:
    """Parking of one process, and what others write to its topic."""

    installation: Installation
    parked: Parked
    log: ParkedLog
    parking: Parking
    upkeep: ParkedUpkeep

    async def write(self, *records: NewRecord) -> None:
        await self.installation.send(Topic.WEBHOOKS_PARKED, *records)

    async def next_span(self) -> Span:
        async with asyncio.timeout(DEADLINE_S):
            return await self.parking.next_span()

    async def known(self, *partitions: int) -> None:
        """These partitions are assigned and what is parked of them is known."""
        self.log.assigned(partitions)
        async with asyncio.timeout(DEADLINE_S):
            while not all(map(self.parked.is_known, partitions)):
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def lot_of(installation: Installation, registry: Registry, interval_s: float = 60.0) -> AsyncIterator[Lot]:
    names = installation.names
    parked = Parked(names)

    async def send(records: Sequence[NewRecord]) -> None:
        await installation.send(Topic.WEBHOOKS_PARKED, *records)

    parked_log = ParkedLog(installation.log, names.full(Topic.WEBHOOKS_PARKED), parked, lambda: 1_000)
    parking = Parking(parked, parked_log, registry, send, lambda partition: True, lambda source: 8, lambda: 1_000)
    upkeep = ParkedUpkeep(installation.log, parked, parked_log, parking, send, interval_s)
    async with parked_log:
        tasks = [asyncio.create_task(parked_log.run()), asyncio.create_task(upkeep.run())]
        try:
            yield Lot(installation, parked, parked_log, parking, upkeep)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            parked.index.close()


@pytest.fixture
async def installation(tmp_path: Path) -> Installation:
    return await install(tmp_path, None)


def entry(
    key: str, number: int, why: Why = Why.QUEUED, *, source: str = "shop", told_by: str = "", **said: bytes
) -> NewRecord:
    """Of webhook `number` of partition 0."""
    kept = webhook_headers(source, f"{key}-{number}", origin=b"x:0:%d" % number, **said)
    return parked_record(Spot(0, number), why, b"{}", key.encode(), kept, 0, told_by)


def gone(number: int, told_by: str = "") -> NewRecord:
    return unparked_record(entry_key(Spot(0, number), told_by), 0, "", "shop")


def ids(span: Span) -> list[str]:
    return [headers.text_header(record.headers, headers.REQUEST_ID) for record in span.records]


async def test_webhooks_are_handed_out_in_the_order_of_receipt_and_one_span_of_a_source_at_a_time(
    installation: Installation,
) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        await lot.write(*(entry("a", number) for number in (9, 4, 6)), *(entry("b", number) for number in (5, 8)))
        await lot.known(0)

        span = await lot.next_span()
        assert lot.parking.begin(span)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await lot.parking.next_span()

    by_key = {key: [name for name in ids(span) if name.startswith(key)] for key in ("a", "b")}
    assert by_key == {"a": ["a-4", "a-6", "a-9"], "b": ["b-5", "b-8"]}
    assert lot.parking.keys(span) == [entry_key(Spot(0, int(name[2:]))) for name in ids(span)]


async def test_sources_take_turns(installation: Installation) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        await lot.write(*(entry("a", n) for n in range(30)), *(entry("b", n, source="other") for n in range(30, 60)))
        await lot.known(0)

        sources = []
        for _ in range(4):
            span = await lot.next_span()
            assert lot.parking.begin(span)
            sources.append(headers.text_header(span.records[0].headers, headers.SOURCE))
            lot.parking.end(span, has_runner=True)

    assert sorted(sources[:2]) == sorted(sources[2:]) == ["other", "shop"]


async def test_a_source_without_runners_is_left_alone_and_others_are_not(installation: Installation) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        await lot.write(entry("a", 1), entry("b", 2, source="other"))
        await lot.known(0)
        first = await lot.next_span()
        lot.parking.begin(first)
        lot.parking.end(first, has_runner=False)

        second = await lot.next_span()
        lot.parking.begin(second)
        lot.parking.end(second, has_runner=True)
        third = await lot.next_span()

    assert ids(second) == ids(third) != ids(first)


@pytest.mark.parametrize("why", [Why.FAILED, Why.DEAD])
async def test_behind_what_is_not_due_nothing_of_its_key_is_handed_out(installation: Installation, why: Why) -> None:
    said = {"not_before": b"5000", "last_failed_at": b"1000"}
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        await lot.write(entry("a", 1, why, **said), entry("a", 2), entry("b", 3))
        await lot.known(0)

        span = await lot.next_span()

    assert ids(span) == ["b-3"]


async def test_news_of_a_dropped_dead_letter_end_it_and_those_behind_it_go_on(installation: Installation) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        dropped = entry("a", 1, Why.DROPPED, told_by="dropped-0-1")
        await lot.write(entry("a", 1, Why.DEAD, last_failed_at=b"1000"), entry("a", 2), dropped)
        await lot.known(0)

        span = await lot.next_span()

    assert ids(span) == ["a-2"]
    assert lot.parked.index.records == {"shop": 1}


async def test_what_comes_back_runs_before_those_behind_it(installation: Installation) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        returned = entry("a", 1, Why.RETURNED, told_by="3-7", redrive_of=b"0-1")
        await lot.write(entry("a", 1, Why.DEAD, last_failed_at=b"1000"), entry("a", 2), returned)
        await lot.known(0)

        span = await lot.next_span()

    assert ids(span) == ["a-1", "a-2"]
    assert lot.parking.keys(span)[0] == entry_key(Spot(0, 1), "3-7")


async def test_records_that_nobody_can_read_hold_up_nothing(installation: Installation) -> None:
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as lot:
        nonsense = [
            NewRecord(b"x", b"not a spot", (), 0),
            NewRecord(b"x", b"0:1", ((headers.PARKED, b"queued"),), 0),
            NewRecord(b"x", b"0:1", ((headers.PARKED, b"forever"), (headers.KEY, b"a")), 0),
            NewRecord(b"x", None, (), 0),
            NewRecord(None, b"0:99", (), 0),
        ]
        await lot.write(*nonsense, entry("a", 2))
        await lot.known(0)

        assert ids(await lot.next_span()) == ["a-2"]


async def test_what_is_parked_stays_on_the_topic_and_what_is_not_goes(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that waits since long is written again at the end, so that the topic is not kept for its sake."""
    for name, value in {"_WORTH_IT": 10, "_SLACK": 20}.items():
        monkeypatch.setattr(parked_upkeep, name, value)
    place = TopicPartition(installation.names.full(Topic.WEBHOOKS_PARKED), 0)
    async with lot_of(installation, registry_of(SHOP_CODE, PARKING), interval_s=0.1) as lot:
        await lot.write(entry("a", 0, Why.DEAD, last_failed_at=b"1000"), entry("a", 1))
        for number in range(2, 52):
            await lot.write(entry("b", number))
            await lot.write(gone(number))
        await lot.known(0)

        async with asyncio.timeout(DEADLINE_S):
            while (first := await first_offset(installation, place)) < 100:
                await asyncio.sleep(0.05)

    async with lot_of(installation, registry_of(SHOP_CODE, PARKING)) as successor:
        await successor.known(0)
        rows = successor.parked.index.oldest(0, 10)

    assert first >= 100
    assert sorted((row.spot.offset, row.why) for _, row in rows) == [(0, Why.DEAD), (1, Why.QUEUED)]


def test_the_topic_of_parked_webhooks_has_no_retention(installation: Installation) -> None:
    specs = {spec.name: spec for spec in installation.names.specs()}

    assert specs[installation.names.full(Topic.WEBHOOKS_PARKED)].retention_ms == KEPT


async def first_offset(installation: Installation, place: TopicPartition) -> int:
    async with installation.log.reader([place.topic], group=None) as reader:
        return (await reader.positions_at_time(0))[place]
