"""What the embedded log forgets, and when."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hookmill.errors import LogUnavailable
from hookmill.log.sqlite import SqliteLog
from hookmill.log.sqlite.database import connect
from hookmill.log.sqlite.housekeeping import keep_house
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.topics import DAY_MS, TopicSpec
from tests.contracts.reading import numbered, numbers, owning, read, send

NOW_MS = 4_000_000_000_000
"""In 2096: the housekeeping of senders goes by the real clock and must leave these records alone."""
PLACE = TopicPartition("t", 0)


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    """This process cannot open anything."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        with contextlib.suppress(OSError):
            while True:
                stack.callback(os.close, os.dup(0))
        yield


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path, housekeeping_interval_s=1e6)


async def test_a_batch_goes_when_its_youngest_record_is_older_than_the_retention(
    log: SqliteLog, tmp_path: Path
) -> None:
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
    async with log.sender() as sender:
        await sender.send("t", [NewRecord(b"0", timestamp_ms=NOW_MS - 10), NewRecord(b"1", timestamp_ms=NOW_MS)])
        await sender.send("t", [NewRecord(b"2", timestamp_ms=NOW_MS + 10)])

    _keep(tmp_path, NOW_MS + DAY_MS)
    both = numbers(await _all(log))
    _keep(tmp_path, NOW_MS + DAY_MS + 1)

    assert both == [0, 1, 2]
    assert numbers(await _all(log)) == [2]


async def test_a_process_without_descriptors_is_told_that_the_log_is_unavailable(
    log: SqliteLog, tmp_path: Path
) -> None:
    """Its sender's housekeeping waits for the next time then, where any other error would end it."""
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])

    with no_descriptors_left(), pytest.raises(LogUnavailable, match="Too many open files"):
        _keep(tmp_path, NOW_MS)
    with no_descriptors_left(), pytest.raises(LogUnavailable, match="Raise the limit of open files"):
        connect(tmp_path / "t.topic", synchronous="FULL")


async def test_offsets_go_on_after_everything_was_removed(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
    await send(log, "t", numbered(range(5), timestamp_ms=NOW_MS))

    _keep(tmp_path, NOW_MS + 2 * DAY_MS)
    await send(log, "t", numbered([5], timestamp_ms=NOW_MS + 2 * DAY_MS))

    (record,) = await _all(log)
    assert (record.offset, record.value) == (5, b"5")


async def test_records_that_expired_unread_are_an_error_with_their_number(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
    async with log.sender() as sender, log.reader(["t"], group="g") as reader:
        await owning(reader, 1)
        await reader.commit({PLACE: 2})
        reader.pause([PLACE])
        await sender.send("t", numbered(range(5), timestamp_ms=NOW_MS))
        await reader.seek({PLACE: 2})
        _keep(tmp_path, NOW_MS + 2 * DAY_MS)
        await sender.send("t", numbered([5], timestamp_ms=NOW_MS + 2 * DAY_MS))

        with capture_logs() as lines:
            lag = await reader.lag()
            reader.resume([PLACE])
            records = await read(reader, 1)

    assert numbers(records) == [5]
    assert lag == {PLACE: 1}
    assert [(line["event"], line["log_level"], line["records"], line["position"]) for line in lines] == [
        ("log.records_missed", "error", 3, 2)
    ]


async def test_a_new_group_starts_at_what_is_left_without_an_error(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
    await send(log, "t", numbered(range(5), timestamp_ms=NOW_MS))
    _keep(tmp_path, NOW_MS + 2 * DAY_MS)
    await send(log, "t", numbered([5], timestamp_ms=NOW_MS + 2 * DAY_MS))

    with capture_logs() as lines:
        async with log.reader(["t"], group="new") as reader:
            assert numbers(await read(reader, 1)) == [5]

    assert lines == []


async def test_compaction_keeps_the_newest_of_each_key_at_its_offset(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, None)])
    async with log.sender() as sender:
        await sender.send("t", [NewRecord(b"%d" % number, key=b"ab"[number % 2 :][:1]) for number in range(6)])
        await sender.send("t", [NewRecord(b"6", key=b"c"), NewRecord(b"7", key=b"b")])

    _keep(tmp_path, NOW_MS)

    assert [(record.offset, record.key, record.value) for record in await _all(log)] == [
        (4, b"a", b"4"),
        (6, b"c", b"6"),
        (7, b"b", b"7"),
    ]


async def test_a_tombstone_stays_a_day_and_then_goes_with_its_key(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, None)])
    await send(
        log,
        "t",
        [
            NewRecord(b"0", key=b"gone", timestamp_ms=NOW_MS),
            NewRecord(None, key=b"gone", timestamp_ms=NOW_MS),
            NewRecord(b"2", key=b"kept", timestamp_ms=NOW_MS),
        ],
    )

    _keep(tmp_path, NOW_MS + DAY_MS)
    within_a_day = [(record.offset, record.value) for record in await _all(log)]
    await send(log, "t", [NewRecord(b"3", key=b"other", timestamp_ms=NOW_MS + DAY_MS)])
    _keep(tmp_path, NOW_MS + DAY_MS + 1)

    assert within_a_day == [(1, None), (2, b"2")]
    assert [(record.offset, record.value) for record in await _all(log)] == [(2, b"2"), (3, b"3")]


async def test_a_reader_is_done_where_compaction_took_the_last_records(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, None)])
    old_ms = NOW_MS - 2 * DAY_MS
    await send(
        log, "t", [NewRecord(b"0", key=b"k", timestamp_ms=old_ms), NewRecord(None, key=b"k", timestamp_ms=old_ms)]
    )
    _keep(tmp_path, NOW_MS)

    async with log.sender() as sender, log.reader(["t"], group=None) as reader:
        assert not await reader.poll(0.1)
        assert await reader.lag() == {PLACE: 0}
        await sender.send("t", [NewRecord(b"2", key=b"k")])
        (record,) = await read(reader, 1)

    assert record.offset == 2


async def test_a_tombstone_goes_in_time_although_nothing_new_was_sent(log: SqliteLog, tmp_path: Path) -> None:
    await log.ensure_topics([TopicSpec("t", 1, None)])
    await send(log, "t", [NewRecord(None, key=b"gone", timestamp_ms=NOW_MS), NewRecord(b"1", key=b"k")])
    _keep(tmp_path, NOW_MS)
    _keep(tmp_path, NOW_MS + DAY_MS + 1)

    assert [(record.offset, record.value) for record in await _all(log)] == [(1, b"1")]


def _keep(folder: Path, now_ms: int) -> None:
    keep_house(folder, now_ms, lambda: False)


async def _all(log: SqliteLog) -> list[Record]:
    """Everything the topic holds: its last record is the last one sent, or of no interest."""
    records: list[Record] = []
    async with log.reader(["t"], group=None) as reader:
        while spans := await reader.poll(0.01):
            records += [record for span in spans for record in span.records]
    return records
