"""The sink worker on the embedded log, with real sinks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hookmill import headers
from hookmill.breaker import TRIAL, State
from hookmill.config import SinksConfig
from hookmill.errors import ConfigError, LogError, LogFull, LogUnavailable, RecordTooLarge
from hookmill.lifecycle import running
from hookmill.log.sqlite import SqliteLog
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.registry import Only
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import Topic, TopicNames
from sinks import schema
from sinks.contract import Message, RecordRejected, Sink, SinkUnavailable, SourcedObject
from sinks.metrics import SinkMetrics
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker
from tests.sinks.database import query, rows, tables
from tests.sinks.messages import event, event_record, object_record, write

DEADLINE_S = 60.0
CONFIG = SinksConfig(batch_timeout_s=0.02, drain_timeout_s=20.0)
NAMES = TopicNames(partitions=2)
TOPICS = frozenset(
    NAMES.full(topic)
    for topic in (
        Topic.EVENTS,
        Topic.EVENTS_REDELIVERY,
        Topic.OBJECTS,
        Topic.OBJECTS_REDELIVERY,
        Topic.DEAD_LETTERS,
        Topic.DELAY_5S,
    )
)


class Scripted:
    """A sink that does what the test says before the real one is asked."""

    def __init__(self, real: Sink, before_write: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        self._real = real
        self._before_write = before_write

    async def __aenter__(self) -> Self:
        await self._real.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._real.__aexit__(kind, error, trace)

    async def write(self, batch: Sequence[Message]) -> None:
        await self._before_write(batch)
        await self._real.write(batch)


class Stage:
    """The sink stage around one worker: a log, a warehouse file, both ends."""

    def __init__(self, folder: Path) -> None:
        self.log = SqliteLog(folder / "log")
        self.file = folder / "w.db"

    def worker(self, sink: Sink | None = None, config: SinksConfig = CONFIG, **changes: Any) -> SinkWorker:
        definition = SinkDefinition(name="warehouse", kind="sqlite", **{"events": True, "objects": True, **changes})
        return SinkWorker(config, definition, self.log, NAMES, sink or SqliteWarehouse(self.file))

    async def send(self, topic: Topic, *records: NewRecord) -> None:
        async with self.log.sender() as sender:
            await sender.send(NAMES.full(topic), records)

    async def dead_letters(self, count: int) -> list[Record]:
        return await self.read(Topic.DEAD_LETTERS, count)

    async def read(self, topic: Topic, count: int) -> list[Record]:
        found: list[Record] = []
        async with asyncio.timeout(DEADLINE_S), self.log.reader([NAMES.full(topic)], group=None) as reader:
            while len(found) < count:
                for span in await reader.poll(1.0):
                    found += span.records
        return found


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.log.ensure_topics([spec for spec in NAMES.specs() if spec.name in TOPICS])
    return stage


async def drained(worker: SinkWorker) -> None:
    """Everything that was sent before is committed."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            lag = await worker.lag()
            if lag and not any(lag.values()):
                return
            await asyncio.sleep(0.01)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"sink": "warehouse", **labels}) or 0.0


async def test_events_and_objects_come_into_the_warehouse(stage: Stage) -> None:
    before = metric("hookmill_sinks_rows_total", kind="object"), metric("hookmill_sinks_rows_total", kind="event")
    await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"value": n})) for n in range(1_000)))
    await stage.send(Topic.EVENTS, *(event_record(event(f"m{n}", event="Paid")) for n in range(500)))

    worker = stage.worker()
    async with running([worker]):
        await drained(worker)

    assert len(rows(stage.file, "pipedrive__deals")) == 1_000
    assert len(rows(stage.file, "pipedrive__paid")) == 500
    after = metric("hookmill_sinks_rows_total", kind="object"), metric("hookmill_sinks_rows_total", kind="event")
    assert (after[0] - before[0], after[1] - before[1]) == (1_000, 500)


async def test_what_comes_after_a_silence_is_written_at_once_and_what_follows_it_together(stage: Stage) -> None:
    batches: list[int] = []

    async def note(batch: Sequence[Message]) -> None:
        batches.append(len(batch))

    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), note), SinksConfig(batch_timeout_s=600.0))
    async with running([worker]):
        await stage.send(Topic.OBJECTS, object_record(write("1", 1, {})))
        await drained(worker)
        for number in (2, 3):
            await stage.send(Topic.OBJECTS, object_record(write(str(number), number, {})))
            await asyncio.sleep(0.5)
        assert batches == [1]

    assert batches == [1, 2]  # the second when the worker was told to stop


async def test_a_sink_gets_only_what_it_asks_for(stage: Stage) -> None:
    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {})))
    await stage.send(Topic.EVENTS, event_record(event("m1", event="Paid")))

    worker = stage.worker(objects=False)
    async with running([worker]):
        await drained(worker)

    assert query(stage.file, "SELECT table_name FROM _hookmill_tables ORDER BY 1") == [
        ("pipedrive__paid",),
        ("pipedrive__tracks",),
    ]


async def test_what_the_filter_leaves_out_is_counted_and_committed(stage: Stage) -> None:
    before = metric("hookmill_sinks_unwanted_total")
    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {})), object_record(write("2", 2, {}, source="shop")))
    await stage.send(Topic.EVENTS, event_record(event("m1", event="Paid")))

    worker = stage.worker(only=Only(sources=("shop",)))
    async with running([worker]):
        await drained(worker)

    assert query(stage.file, "SELECT table_name FROM _hookmill_tables") == [("shop__deals",)]
    assert metric("hookmill_sinks_unwanted_total") - before == 2


async def test_after_an_outage_a_few_messages_try_before_the_others_follow(stage: Stage) -> None:
    sizes: list[int] = []
    states: list[float] = []

    async def away_twice(batch: Sequence[Message]) -> None:
        sizes.append(len(batch))
        states.append(metric("hookmill_sinks_breaker_state"))
        if len(sizes) <= 2:
            raise SinkUnavailable("warehouse does not answer")

    await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"value": n})) for n in range(200)))
    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), away_twice))
    with capture_logs() as lines:
        async with running([worker]):
            await drained(worker)

    assert len(rows(stage.file, "pipedrive__deals")) == 200
    assert sizes == [200, TRIAL, TRIAL, 200 - TRIAL]
    assert states == [State.CLOSED, State.HALF_OPEN, State.HALF_OPEN, State.CLOSED]
    told = [line["event"] for line in lines if line["event"] in ("breaker.opened", "breaker.closed")]
    assert told == ["breaker.opened", "breaker.closed"]
    assert metric("hookmill_sinks_rows_total", kind="object") >= 200


async def test_a_position_is_committed_after_the_write_only(stage: Stage) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait(batch: Sequence[Message]) -> None:
        entered.set()
        await go_on.wait()

    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {})))
    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), wait))
    async with running([worker]):
        await asyncio.wait_for(entered.wait(), DEADLINE_S)
        lag_before = sum((await worker.lag()).values())
        go_on.set()
        await drained(worker)

    assert lag_before == 1


async def test_a_stop_finishes_the_batch_in_hand(stage: Stage) -> None:
    entered = asyncio.Event()

    async def take_a_while(batch: Sequence[Message]) -> None:
        entered.set()
        await asyncio.sleep(0.1)

    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {})))
    async with running([stage.worker(Scripted(SqliteWarehouse(stage.file), take_a_while))]):
        await asyncio.wait_for(entered.wait(), DEADLINE_S)

    assert set(rows(stage.file, "pipedrive__deals")) == {"1"}
    async with running([again := stage.worker()]):
        await drained(again)
        assert sum((await again.lag()).values()) == 0


async def test_a_sink_that_is_away_holds_the_batch_until_it_is_back(stage: Stage) -> None:
    is_away, tried = True, asyncio.Event()
    batches: list[int] = []

    async def fail_while_away(batch: Sequence[Message]) -> None:
        if is_away:
            batches.append(len(batch))
            if len(batches) == 3:
                tried.set()
            raise SinkUnavailable("The test is away.")

    await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"value": n})) for n in range(10)))
    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), fail_while_away))
    async with running([worker]):
        await asyncio.wait_for(tried.wait(), DEADLINE_S)
        await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"value": n})) for n in range(10, 20)))
        lag_while_away = sum((await worker.lag()).values())
        is_away = False
        await drained(worker)

    assert batches[0] == 10
    assert set(batches[1:]) == {TRIAL}  # nothing was read on
    assert lag_while_away == 20
    assert len(rows(stage.file, "pipedrive__deals")) == 20


async def test_a_message_that_may_fare_better_later_comes_again_to_this_sink(stage: Stage) -> None:
    before = metric("hookmill_sinks_delayed_total")

    async def refuse_for_now(batch: Sequence[Message]) -> None:
        if len(batch) == 2:
            raise RecordRejected({1: "The test refuses it."}, retriable={1})

    records = [object_record(write(str(n), n, {"a": n})) for n in (1, 2)]
    await stage.send(Topic.OBJECTS, *records)
    async with running([worker := stage.worker(Scripted(SqliteWarehouse(stage.file), refuse_for_now))]):
        await drained(worker)

        (delayed,) = await stage.read(Topic.DELAY_5S, 1)
        assert set(rows(stage.file, "pipedrive__deals")) == {"1"}
        assert (delayed.value, delayed.key) == (records[1].value, records[1].key)
        found = dict(delayed.headers)
        assert found[headers.STAGE] == b"objects:warehouse"
        assert found[headers.DELIVERY_COUNT] == b"2"
        assert found[headers.ERROR] == b"The test refuses it."
        assert int(found[headers.NOT_BEFORE]) - int(found[headers.LAST_FAILED_AT]) == 5_000
        assert metric("hookmill_sinks_delayed_total") - before == 1

        await stage.send(Topic.OBJECTS_REDELIVERY, NewRecord(delayed.value, delayed.key, delayed.headers))
        await drained(worker)
    assert set(rows(stage.file, "pipedrive__deals")) == {"1", "2"}


async def test_a_message_that_was_refused_as_often_as_there_are_rungs_is_a_dead_letter(stage: Stage) -> None:
    async def refuse(batch: Sequence[Message]) -> None:
        raise RecordRejected({0: "The test refuses it."}, retriable={0})

    record = object_record(write("1", 1, {"a": 1}))
    changes = {headers.STAGE: b"objects:warehouse", headers.DELIVERY_COUNT: b"6"}
    last = NewRecord(record.value, record.key, headers.with_headers(record.headers, changes))
    await stage.send(Topic.OBJECTS_REDELIVERY, last)
    async with running([worker := stage.worker(Scripted(SqliteWarehouse(stage.file), refuse))]):
        (dead,) = await stage.dead_letters(1)
        await drained(worker)

    assert dead.value == record.value
    assert headers.header(dead.headers, headers.NOT_BEFORE) is None


async def test_a_sink_that_says_when_to_come_again_is_left_alone_until_then(stage: Stage) -> None:
    attempts: list[float] = []

    async def ask_for_time(batch: Sequence[Message]) -> None:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise SinkUnavailable("The test is busy.", retry_after_s=0.6)  # alone, the worker waits 0.1 s

    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {"a": 1})))
    async with running([worker := stage.worker(Scripted(SqliteWarehouse(stage.file), ask_for_time))]):
        await drained(worker)

    first, second = attempts
    assert second - first >= 0.6


async def test_a_stop_does_not_wait_for_a_sink_that_is_away(stage: Stage) -> None:
    tried = asyncio.Event()

    async def fail(batch: Sequence[Message]) -> None:
        tried.set()
        raise SinkUnavailable("The test is away.")

    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {"a": 1})))
    async with asyncio.timeout(CONFIG.drain_timeout_s):
        async with running([stage.worker(Scripted(SqliteWarehouse(stage.file), fail))]):
            await tried.wait()

    async with running([worker := stage.worker()]):
        await drained(worker)
    assert set(rows(stage.file, "pipedrive__deals")) == {"1"}


async def test_a_sink_that_is_away_at_the_start_is_opened_later(tmp_path: Path, stage: Stage) -> None:
    folder = tmp_path / "not yet"
    sink = SqliteWarehouse(folder / "w.db")
    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {"a": 1})))

    worker = stage.worker(sink)
    async with running([worker]):
        folder.mkdir()
        await drained(worker)

    assert set(rows(folder / "w.db", "pipedrive__deals")) == {"1"}


async def test_a_sink_that_is_set_up_wrongly_stops_the_start(tmp_path: Path, stage: Stage) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("No database. " * 100)

    with pytest.raises(ConfigError):
        await stage.worker(SqliteWarehouse(file)).start()


async def test_what_would_make_the_schema_too_large_is_a_dead_letter_and_the_rest_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MAX_TABLES", 2)
    monkeypatch.setattr(schema, "MAX_COLUMNS", 4)
    writes = [
        write("1", 1, {"a": 1}, collection="deals"),
        write("2", 2, {"a": 1}, collection="orders"),
        write("3", 3, {"a": 1}, collection="of-2026-11-23"),
        write("4", 4, {"b": 1, "c": 1}, collection="deals"),
        write("5", 5, {"a": 5}, collection="deals"),
    ]
    records = [object_record(message) for message in writes]
    one_partition = [NewRecord(record.value, record.key, record.headers, partition=0) for record in records]
    await stage.send(Topic.OBJECTS, *one_partition)

    worker = stage.worker()
    async with running([worker]):
        await drained(worker)

    assert set(rows(stage.file, "pipedrive__deals")) == {"1", "5"}
    assert tables(stage.file) == {"pipedrive__deals", "pipedrive__orders"}
    reasons = {headers.text_header(dead.headers, headers.ERROR) for dead in await stage.dead_letters(2)}
    assert reasons == {
        (
            "table of_2026_11_23 would be one more than the 2 that a source may have: "
            "keep values, such as ids, out of the names of events and collections"
        ),
        "table deals would have more than 4 columns: keep values, such as ids, out of the names of properties",
    }


async def test_rejected_records_are_dead_letters_and_the_rest_is_written(stage: Stage) -> None:
    async def reject_odd(batch: Sequence[Message]) -> None:
        rejected = {
            index: "it is odd"
            for index, message in enumerate(batch)
            if int(message.write.id) % 2  # type: ignore[union-attr]
        }
        if rejected:
            raise RecordRejected(rejected)

    records = [object_record(write(str(n), n, {"value": n})) for n in range(6)]
    await stage.send(Topic.OBJECTS, *records)

    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), reject_odd))
    async with running([worker]):
        await drained(worker)

    assert set(rows(stage.file, "pipedrive__deals")) == {"0", "2", "4"}
    dead = sorted(await stage.dead_letters(3), key=lambda record: record.value or b"")
    assert [(record.key, record.value) for record in dead] == [(records[n].key, records[n].value) for n in (1, 3, 5)]
    first = dead[0].headers
    assert first[:4] == records[1].headers
    assert headers.text_header(first, headers.STAGE) == "objects:warehouse"
    assert headers.text_header(first, headers.ERROR_CLASS) == "RecordRejected"
    assert headers.text_header(first, headers.ERROR) == "it is odd"
    assert headers.int_header(first, headers.FIRST_FAILED_AT, 0) > 1_700_000_000_000


@pytest.mark.parametrize(
    ("value", "record_headers"),
    [
        (b"\xff not json", ((headers.SOURCE, b"s"), (headers.MESSAGE_ID, b"m"))),
        (b"[1]", ((headers.SOURCE, b"s"), (headers.MESSAGE_ID, b"m"))),
        (b"[" * 100_000, ((headers.SOURCE, b"s"), (headers.MESSAGE_ID, b"m"))),
        (b"{}", ((headers.SOURCE, b"s"),)),
        (b"{}", ((headers.MESSAGE_ID, b"m"),)),
        (None, ((headers.SOURCE, b"s"),)),
    ],
)
async def test_a_record_that_is_no_message_is_a_dead_letter(
    stage: Stage, value: bytes | None, record_headers: tuple[tuple[str, bytes], ...]
) -> None:
    await stage.send(Topic.EVENTS, NewRecord(value, b"key", record_headers), event_record(event("m1", event="Paid")))

    worker = stage.worker()
    async with running([worker]):
        await drained(worker)

    [dead] = await stage.dead_letters(1)
    assert (dead.key, dead.value) == (b"key", value)
    assert headers.text_header(dead.headers, headers.STAGE) == "events:warehouse"
    assert headers.text_header(dead.headers, headers.ERROR_CLASS) == "Undecodable"
    assert set(rows(stage.file, "pipedrive__paid")) == {"m1"}


async def test_redelivered_records_of_other_sinks_are_passed_over(stage: Stage) -> None:
    def to(stage_name: bytes, name: str) -> NewRecord:
        record = object_record(write(name, 1, {"a": 1}))
        return NewRecord(record.value, record.key, (*record.headers, (headers.STAGE, stage_name)))

    await stage.send(Topic.OBJECTS_REDELIVERY, to(b"objects:warehouse", "mine"), to(b"objects:lake", "theirs"))

    worker = stage.worker()
    async with running([worker]):
        await drained(worker)

    assert set(rows(stage.file, "pipedrive__deals")) == {"mine"}


async def test_a_message_on_which_the_sink_fails_is_found_and_comes_again_while_the_others_are_written(
    stage: Stage,
) -> None:
    bad, attempts = {"13", "14", "77"}, 0

    async def break_down(batch: Sequence[Message]) -> None:
        nonlocal attempts
        attempts += 1
        if bad & {message.write.id for message in batch if isinstance(message, SourcedObject)}:
            raise ZeroDivisionError("with a secret")

    await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"a": n})) for n in range(100)))
    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), break_down))
    with capture_logs() as lines:  # tracebacks take seconds to print in the form of tests
        async with running([worker]):
            await drained(worker)
    failed = [line for line in lines if line["event"] == "sink.failed"]
    assert [line["messages"] for line in failed if line["exc_info"]] == [1, 1, 1]
    async with running([worker := stage.worker(Scripted(SqliteWarehouse(stage.file), break_down))]):
        delayed = await stage.read(Topic.DELAY_5S, 3)

        assert rows(stage.file, "pipedrive__deals").keys() == {str(n) for n in range(100)} - bad
        assert attempts < 60, "the culprits are found by halves"
        found = dict(delayed[0].headers)
        assert found[headers.ERROR_CLASS] == b"pipeline-crash"
        assert b"ZeroDivisionError" in found[headers.ERROR]
        assert b"secret" not in found[headers.ERROR]

        bad.clear()
        again = [NewRecord(record.value, record.key, record.headers) for record in delayed]
        await stage.send(Topic.OBJECTS_REDELIVERY, *again)
        await drained(worker)
    assert len(rows(stage.file, "pipedrive__deals")) == 100


async def test_a_sink_that_fails_is_entered_anew_before_it_is_tried_again(stage: Stage) -> None:
    steps: list[str] = []

    class Broken(Scripted):
        async def __aenter__(self) -> Self:
            steps.append("enter")
            return await super().__aenter__()

    async def fail_once(batch: Sequence[Message]) -> None:
        steps.append(f"write {len(batch)}")
        if steps.count("enter") == 1:
            raise ZeroDivisionError

    await stage.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"a": n})) for n in range(2)))
    async with running([worker := stage.worker(Broken(SqliteWarehouse(stage.file), fail_once))]):
        await drained(worker)

    assert steps[:4] in (["enter", "write 2", "enter", "write 1"], ["enter", "write 1", "enter", "write 1"])


async def test_two_workers_of_one_sink_share_the_work_and_hand_it_over(stage: Stage) -> None:
    first, second = stage.worker(), stage.worker()
    async with running([first]):
        await stage.send(Topic.OBJECTS, *(object_record(write(str(n), 1, {"value": 1})) for n in range(200)))
        async with running([second]):
            await stage.send(Topic.OBJECTS, *(object_record(write(str(n), 2, {"value": 2})) for n in range(200)))
            await drained(first)
        await stage.send(Topic.OBJECTS, *(object_record(write(str(n), 3, {"value": 3})) for n in range(200)))
        async with asyncio.timeout(DEADLINE_S):
            while query(stage.file, "SELECT count(*) FROM pipedrive__deals WHERE value = 3") != [(200,)]:
                await asyncio.sleep(0.02)

    assert len(rows(stage.file, "pipedrive__deals")) == 200


async def test_a_partition_is_given_away_after_the_write_in_progress(stage: Stage) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait(batch: Sequence[Message]) -> None:
        entered.set()
        await go_on.wait()

    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {"a": 1})))
    worker = stage.worker(Scripted(SqliteWarehouse(stage.file), wait))
    async with running([worker]):
        await asyncio.wait_for(entered.wait(), DEADLINE_S)
        handover = asyncio.create_task(worker.revoked(await worker.lag()))
        done, _ = await asyncio.wait({handover}, timeout=0.05)
        go_on.set()
        await asyncio.wait_for(handover, DEADLINE_S)

        assert not done
        assert set(rows(stage.file, "pipedrive__deals")) == {"1"}


class Unsteady:
    """Something of the log whose methods named `failing` each fail once with `error`."""

    def __init__(self, real: Any, error: LogError, *failing: str) -> None:
        self._real = real
        self._error = error
        self._failing = set(failing)

    def __getattr__(self, name: str) -> Any:
        if name in self._failing:
            self._failing.discard(name)
            return self._fail
        return getattr(self._real, name)

    async def __aenter__(self) -> Self:
        await self._real.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._real.__aexit__(*exc_info)

    async def _fail(self, *arguments: Any) -> None:
        raise self._error


class UnsteadyLog(SqliteLog):
    """A log that fails once at every step of the worker."""

    def __init__(self, folder: Path, error: LogError) -> None:
        super().__init__(folder)
        self._error = error

    def sender(self) -> Any:
        return Unsteady(super().sender(), self._error, "send")

    def reader(self, *arguments: Any, **options: Any) -> Any:
        return Unsteady(super().reader(*arguments, **options), self._error, "poll", "commit", "lag")


@pytest.mark.parametrize("error", [LogUnavailable("away"), LogFull("no space")])
async def test_a_log_that_is_away_or_full_for_a_moment_loses_nothing(
    tmp_path: Path, stage: Stage, error: LogError
) -> None:
    await stage.send(Topic.OBJECTS, object_record(write("1", 1, {"a": 1})), NewRecord(b"torn", b"key"))
    stage.log = UnsteadyLog(tmp_path / "log", error)

    worker = stage.worker()
    async with running([worker]):
        async with asyncio.timeout(DEADLINE_S):
            while not query(stage.file, "SELECT 1 FROM sqlite_master WHERE name = 'pipedrive__deals'"):
                await asyncio.sleep(0.01)
        await drained(worker)

    stage.log = SqliteLog(tmp_path / "log")
    assert set(rows(stage.file, "pipedrive__deals")) == {"1"}
    assert {record.value for record in await stage.dead_letters(1)} == {b"torn"}


class SmallLog(SqliteLog):
    """A log whose topic of dead letters has room for a record the second time only."""

    def sender(self) -> Any:
        return Unsteady(super().sender(), RecordTooLarge("The record has 3 bytes, the topic takes 2."), "send")


async def test_a_dead_letter_that_is_too_large_for_its_topic_waits_for_a_higher_limit(
    tmp_path: Path, stage: Stage
) -> None:
    await stage.send(Topic.OBJECTS, NewRecord(b"torn", b"key"))
    stage.log = SmallLog(tmp_path / "log")

    async with running([worker := stage.worker()]):
        await drained(worker)

    stage.log = SqliteLog(tmp_path / "log")
    assert [record.value for record in await stage.dead_letters(1)] == [b"torn"]


def test_the_lag_of_a_partition_that_went_elsewhere_is_no_longer_told() -> None:
    metrics = SinkMetrics("lagging")
    metrics.set_lag({TopicPartition("t", 0): 5, TopicPartition("t", 1): 7})
    metrics.set_lag({TopicPartition("t", 1): 3})

    def lag(partition: str) -> float | None:
        labels = {"sink": "lagging", "topic": "t", "partition": partition}
        return REGISTRY.get_sample_value("hookmill_sinks_lag_records", labels)

    assert (lag("0"), lag("1")) == (None, 3.0)
