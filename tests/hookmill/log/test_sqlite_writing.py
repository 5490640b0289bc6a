"""How the embedded log writes: in groups, one writer at a time, with errors that say what to do."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from hookmill.errors import LogFull, LogUnavailable
from hookmill.log.sqlite import SqliteLog, write_lock
from hookmill.log.sqlite.database import named
from hookmill.log.sqlite.write_lock import WriteLock
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, TopicSpec
from tests.contracts.reading import numbered, numbers, read_all

FILE = Path("/data/log/t.topic")


@pytest.fixture
async def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path)
    await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
    return log


async def test_sends_that_meet_are_committed_together(log: SqliteLog, tmp_path: Path) -> None:
    async with log.sender() as sender:
        await sender.send("t", numbered([0]))
        with WriteLock(tmp_path / "t.topic").held():
            waiting = [asyncio.create_task(sender.send("t", numbered([number]))) for number in range(1, 101)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    assert numbers(await read_all(log, "t", 101)) == list(range(101))
    # The first send, what the writer had taken when the lock was free, and the rest.
    assert _rows(tmp_path) <= 3


async def test_a_cancelled_send_is_stored_all_the_same(log: SqliteLog, tmp_path: Path) -> None:
    async with log.sender() as sender:
        await sender.send("t", numbered([0]))
        with WriteLock(tmp_path / "t.topic").held():
            sending = asyncio.create_task(sender.send("t", numbered([1])))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    assert numbers(await read_all(log, "t", 2)) == [0, 1]


async def test_a_lock_that_another_process_keeps_is_unavailability(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lock, "WAIT_S", 0.05)
    async with log.sender() as sender:
        await sender.send("t", numbered([0]))
        with (
            WriteLock(tmp_path / "t.topic").held(),
            pytest.raises(LogUnavailable, match=r"t\.topic .* another process"),
        ):
            await sender.send("t", numbered([1]))

        await sender.send("t", numbered([2]))

    assert numbers(await read_all(log, "t", 2)) == [0, 2]


async def test_a_closed_sender_sends_nothing(log: SqliteLog) -> None:
    async with log.sender() as sender:
        pass

    with pytest.raises(LogUnavailable, match="closed"):
        await sender.send("t", [NewRecord(b"late")])


async def test_a_file_of_a_newer_version_is_not_read(log: SqliteLog, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "t.topic")
    connection.execute("PRAGMA user_version=2")
    connection.close()

    with pytest.raises(LogUnavailable, match=r"t\.topic has format 2"):
        async with log.reader(["t"], group=None):
            pass


@pytest.mark.parametrize(
    ("code", "done", "expected", "text"),
    [
        (sqlite3.SQLITE_FULL, "written", LogFull, "no space left in /data/log"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "written", LogFull, "/data/log is not writable"),
        (sqlite3.SQLITE_IOERR_WRITE, "written", LogFull, "the file system of /data/log refused it"),
        # The commit may have reached the disk.
        (sqlite3.SQLITE_IOERR_FSYNC, "written", LogUnavailable, "/data/log"),
        (sqlite3.SQLITE_IOERR_READ, "read", LogUnavailable, "/data/log"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "written", LogUnavailable, "locked by another process"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "read", LogUnavailable, "damaged"),
        (sqlite3.SQLITE_CANTOPEN, "opened", LogUnavailable, "Is /data/log there and writable?"),
    ],
)
def test_failures_of_sqlite_are_named_by_their_code(code: int, done: str, expected: type[Exception], text: str) -> None:
    failure = sqlite3.OperationalError("text that nobody matches")
    failure.sqlite_errorcode, failure.sqlite_errorname = code, "SQLITE_SOMETHING"

    error = named(failure, FILE, done)

    assert type(error) is expected
    assert f"{FILE} could not be {done}" in str(error)
    assert text in str(error)


def _rows(folder: Path) -> int:
    connection = sqlite3.connect(folder / "t.topic")
    try:
        return int(connection.execute("SELECT count(*) FROM batches").fetchone()[0])
    finally:
        connection.close()
