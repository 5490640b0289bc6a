"""The books of what the real stages make: retries, drops, dead letters, redrives, and a record that was taken away."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from hookmill import headers
from hookmill.codec import decode_report
from hookmill.config import Config, RetryConfig
from hookmill.lifecycle import running
from hookmill.log.sqlite.batch import StoredBatch, decode_batch, encode_batch
from hookmill.log.sqlite.topic_file import OFFSET_BITS, topic_path
from hookmill.records import NewRecord, Record
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.letter_index import LetterFilter, LetterIndex
from redelivery.letters import Letter
from redelivery.mover import Mover
from redelivery.redrive import drop, redrive
from tests.contracts.reading import eventually
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool, failed, ok, webhook_headers
from tests.redelivery.bookkeeping import account
from tests.redelivery.installation import Installation, install

COUNT = 500
DELAYS_S = (0.2, 3_600.0, 3_600.0, 3_600.0, 3_600.0)
"""The second failure waits for longer than the test takes."""


class Function:
    """Of ten webhooks one fails once, one twice, one is dropped, and two are refused until it is repaired."""

    def __init__(self) -> None:
        self.is_repaired = False
        self._has_failed: set[str] = set()

    def __call__(self, code: Code, invocation: Invocation) -> Outcome:
        match int(invocation.request_id) % 10:
            case 1 if invocation.request_id not in self._has_failed:
                self._has_failed.add(invocation.request_id)
                return failed(Status.ERROR)
            case 2:
                return failed(Status.ERROR)
            case 3:
                return failed(Status.DROPPED, "DropEvent")
            case 4 | 5 if not self.is_repaired:
                return failed(Status.REJECTED, "ValidationError")
        event = {"type": "track", "event": "a", "userId": invocation.request_id}
        return ok([event, event], [{"collection": "orders", "id": invocation.request_id}])


def webhooks(numbers: range) -> list[NewRecord]:
    return [NewRecord(b"{}", headers=webhook_headers("shop", str(number))) for number in numbers]


def impatient(config: Config) -> Config:
    return config.model_copy(update={"retry": RetryConfig(delays_s=DELAYS_S)})


async def letters(installation: Installation, folder: Path) -> list[Letter]:
    topic = installation.names.full(Topic.DEAD_LETTERS)
    with LetterIndex(folder / "index", installation.log, topic) as index:
        await index.catch_up()
        return [found.letter for found in index.find(LetterFilter())]


@pytest.fixture
async def installation(tmp_path: Path) -> Installation:
    """The source is deployed."""
    made = await install(tmp_path / "data", None)
    await publish(made.log, made.names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])
    return made


async def test_the_books_balance_at_every_step_of_what_webhooks_go_through(
    installation: Installation, tmp_path: Path
) -> None:
    function, tenth = Function(), COUNT // 10
    stage = [
        Mover(RetryConfig(delays_s=DELAYS_S), installation.log, installation.names),
        FunctionStage(impatient(installation.config), lambda processors: ScriptedPool(function)),
    ]

    async def settles_as(counts: dict[str, int]) -> None:
        await eventually(lambda: is_so(counts), f"the books say {counts}")

    async def is_so(counts: dict[str, int]) -> bool:
        found = await account(installation)
        assert (found.missing, found.doubled) == ({}, [])
        return found.counts == counts

    await installation.send(Topic.WEBHOOKS, *webhooks(range(COUNT)))
    await settles_as({"received": COUNT, "in_flight": COUNT})
    async with running(stage):
        ended = {"delivered": 6 * tenth, "waiting": tenth, "dropped": tenth, "dead": 2 * tenth}
        await settles_as({"received": COUNT, **ended})
        function.is_repaired = True
        dead = await letters(installation, tmp_path)
        await redrive(installation.log, installation.names, dead[:tenth], lambda count: None)
        await drop(installation.log, installation.names, dead[tenth:], lambda count: None)
        ended = {"delivered": 7 * tenth, "waiting": tenth, "dropped": 2 * tenth}
        await settles_as({"received": COUNT, **ended})
    await installation.send(Topic.WEBHOOKS, *webhooks(range(COUNT, COUNT + 7)))
    await settles_as({"received": COUNT + 7, **ended, "in_flight": 7})


async def test_every_record_that_is_taken_away_is_missed_by_name(installation: Installation) -> None:
    function = Function()
    stage = [
        Mover(RetryConfig(delays_s=DELAYS_S), installation.log, installation.names),
        FunctionStage(impatient(installation.config), lambda processors: ScriptedPool(function)),
    ]
    ended = {"delivered": 12, "waiting": 2, "dropped": 2, "dead": 4}
    await installation.send(Topic.WEBHOOKS, *webhooks(range(20)))
    async with running(stage):
        await eventually(lambda: has_ended(installation, ended), "every webhook has ended")
    whys = {
        Topic.INVOCATIONS: "the function stage has passed it, and no report tells how it ended",
        Topic.EVENTS: "of 2 events and 1 objects, the log has 1 and 1",
        Topic.OBJECTS: "of 2 events and 1 objects, the log has 2 and 0",
        Topic.DEAD_LETTERS: "it was a dead letter, and is neither there nor delivered",
        Topic.DELAY_25S: "it was to be delivered again, and neither waits nor came",
    }
    lost: dict[str, str] = {}

    for topic, why in whys.items():
        lost[await take_away(installation, topic, lost.keys())] = why

    found = await account(installation)
    assert len(lost) == len(whys)
    assert found.missing == lost
    assert found.counts == {"received": 20, "delivered": 9, "waiting": 1, "dropped": 2, "dead": 3, "missing": 5}


async def has_ended(installation: Installation, counts: dict[str, int]) -> bool:
    return (await account(installation)).counts == {"received": 20, **counts}


async def take_away(installation: Installation, topic: Topic, besides: Collection[str]) -> str:
    """The file of the topic no longer has one record; of reports, one of a first delivery. Returns its request id,
    which is none of `besides`."""
    records = [each for each in await installation.records(topic) if is_taken(topic, each)]
    [record, *_] = [each for each in records if request_id(each) not in besides]
    path = topic_path(installation.config.data_dir / "log", record.topic)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT id, base_offset, body FROM batches WHERE id >> ? = ?", (OFFSET_BITS, record.partition)
        )
        for id_, base_offset, body in rows.fetchall():
            batch = decode_batch(body)
            kept = [
                (stored, offset - base_offset)
                for stored, offset in zip(batch.records, batch.offsets(base_offset), strict=True)
                if offset != record.offset
            ]
            if kept:
                left = StoredBatch([stored for stored, _ in kept], [step for _, step in kept])
                database.execute("UPDATE batches SET body = ? WHERE id = ?", (encode_batch(left), id_))
            else:
                database.execute("DELETE FROM batches WHERE id = ?", (id_,))
        database.commit()
    # What follows shows readers that they are past the gap.
    await installation.send(topic, NewRecord(b"", partition=record.partition, headers=webhook_headers("other", "0")))
    return request_id(record)


def request_id(record: Record) -> str:
    return headers.text_header(record.headers, headers.REQUEST_ID)


def is_taken(topic: Topic, record: Record) -> bool:
    if topic is not Topic.INVOCATIONS:
        return True
    report = decode_report(record.value or b"")
    return report.next == "delivered" and report.delivery_count == 1
