"""The embedded log under kill -9, stopped processes, full disks and folders that cannot be written."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from hookmill.errors import LogFull, LogUnavailable
from hookmill.log.sqlite import SqliteLog
from hookmill.records import NewRecord, Record
from hookmill.topics import DAY_MS, TopicSpec
from tests.contracts.engines import Engine
from tests.contracts.process import batch, next_line, running
from tests.contracts.reading import DEADLINE_S, assert_nothing_more, numbered, numbers, owning, read, send, until
from tests.disks import fill, small_file_system
from tests.processes import ROOT, clean_environment

TOPIC = "t"
GROUP = "g"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(f"sqlite {tmp_path / 'log'}")


@pytest.mark.parametrize(
    "kills",
    [pytest.param(20, id="20"), pytest.param(200, id="200", marks=[pytest.mark.nightly, pytest.mark.timeout(600)])],
)
async def test_kill_9_of_writers_loses_no_acknowledged_record_and_tears_none(
    engine: Engine, tmp_path: Path, kills: int
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    await engine.open().ensure_topics([TopicSpec(TOPIC, 3, DAY_MS)])

    acknowledged: dict[str, int] = {}
    for number in range(0, kills, 2):
        # Two at a time: one dies while the other writes, and recovers what it left.
        acknowledged |= await asyncio.to_thread(_write_and_be_killed, engine, [f"w{number}", f"w{number + 1}"], chance)

    stored = await _all_records(engine)
    by_task: dict[str, list[Record]] = defaultdict(list)
    for record in stored:
        by_task[(record.key or b"").decode()].append(record)
    assert len(acknowledged) > kills
    for task, last in acknowledged.items():
        records = by_task[task]
        batches = len(records) // 10
        # At most the batch that was on its way may be there unacknowledged.
        assert last + 1 <= batches <= last + 2
        assert [record.value for record in records] == [
            sent.value for number in range(batches) for sent in batch(task, number)
        ]
    _assert_sound(tmp_path / "log" / f"{TOPIC}.topic")


async def test_the_second_process_of_a_group_waits_and_takes_over_when_the_first_is_killed(engine: Engine) -> None:
    log = engine.open()
    await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])
    await send(log, TOPIC, numbered(range(5)))
    with running("read-without-commit", engine, TOPIC, GROUP, "5") as first:
        assert await asyncio.to_thread(next_line, first) == "read"
        async with log.reader([TOPIC], group=GROUP) as second:
            # Longer than a lease: the first keeps it up.
            for _ in range(4):
                assert not await second.poll(1.0)
                assert second.assignment() == frozenset()
            first.kill()
            killed_at = time.monotonic()
            records = await read(second, 5)

    assert numbers(records) == [0, 1, 2, 3, 4]
    assert time.monotonic() - killed_at < DEADLINE_S


async def test_a_process_that_was_stopped_past_its_lease_cannot_commit(engine: Engine) -> None:
    log = engine.open()
    await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])
    await send(log, TOPIC, numbered([0]))
    with running("commit-when-told", engine, TOPIC, GROUP) as stopped:
        assert stopped.stdin is not None
        assert await asyncio.to_thread(next_line, stopped) == "read"
        async with log.reader([TOPIC], group=GROUP) as successor:
            assert numbers(await read(successor, 1)) == [0]

            stopped.stdin.write("go on\n")
            stopped.stdin.flush()
            said = await asyncio.to_thread(next_line, stopped)

            assert said == "refused, keeps 0"
            await successor.commit(dict.fromkeys(successor.assignment(), 0))

    async with log.reader([TOPIC], group=GROUP) as reader:
        assert numbers(await read(reader, 1)) == [0]


async def test_a_reader_that_was_asleep_past_its_lease_drops_the_partition(engine: Engine) -> None:
    log = engine.open()
    await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])
    async with log.sender() as sender, log.reader([TOPIC], group=GROUP) as sleeper:
        await owning(sleeper, 1)
        await sender.send(TOPIC, numbered([0]))
        with running("read-without-commit", engine, TOPIC, GROUP, "1") as heir:
            # The loop stands still as on a suspended machine, until the lease has ended and another has it.
            assert next_line(heir) == "read"

            records = await until(sleeper, lambda: not sleeper.assignment())

            assert records == []


async def test_a_full_disk_refuses_whole_sends_and_takes_more_when_there_is_room_again(tmp_path: Path) -> None:
    """In a file system of 2 MiB that the child mounts for itself alone."""
    unshare = shutil.which("unshare")
    mount = tmp_path / "disk"
    mount.mkdir()
    script = f'mount -t tmpfs -o size=2m none "$1" && exec "$2" {Path(__file__)} "$1"'
    command = [unshare or "unshare", "-Urm", "sh", "-c", script, "sh", str(mount), sys.executable]
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare of util-linux with user namespaces is needed for a small file system")

    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env=clean_environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.splitlines()[-1:] == ["everything acknowledged is there"], done.stdout + done.stderr


async def test_a_topic_that_nobody_has_open_is_not_opened_on_a_full_disk(tmp_path: Path) -> None:
    """Opening it could end the process: see `_ROOM_BYTES` of the engine."""
    with small_file_system(tmp_path) as mount:
        log = SqliteLog(mount / "log")
        await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])
        await send(log, TOPIC, numbered([0]))
        fill(mount / "filler")

        with pytest.raises(LogFull, match=r"t\.topic could not be opened: no space left"):
            async with log.reader([TOPIC], group=None):
                pass
        (mount / "filler").unlink()

        async with log.reader([TOPIC], group=None) as reader:
            assert numbers(await read(reader, 1)) == [0]


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = SqliteLog(tmp_path / "file" / "log")

    with pytest.raises(LogFull, match=r"file/log cannot be written"):
        await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    (tmp_path / f"{TOPIC}.topic").write_bytes(b"not a database" * 1_000)

    async with log.sender() as sender:
        with pytest.raises(LogUnavailable, match=r"t\.topic could not be .* damaged"):
            await sender.send(TOPIC, [NewRecord(b"x")])
    with pytest.raises(LogUnavailable, match=r"t\.topic could not be .* damaged"):
        async with log.reader([TOPIC], group=None):
            pass


def _write_and_be_killed(engine: Engine, writers: list[str], chance: random.Random) -> dict[str, int]:
    """The last batch that each task was told is stored."""
    with (
        running("write-batches", engine, TOPIC, writers[0]) as one,
        running("write-batches", engine, TOPIC, writers[1]) as two,
    ):
        said = [next_line(one), next_line(two)]
        for process in chance.sample([one, two], 2):
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
            assert process.stdout is not None
            # What it said before it died is in the pipe; a line cut short was not said.
            said += [line for line in process.stdout if line.endswith("\n")]
    told: dict[str, int] = {}
    for line in said:
        task, number = line.split()
        told[task] = max(told.get(task, 0), int(number))
    return told


async def _all_records(engine: Engine) -> list[Record]:
    records: list[Record] = []
    async with engine.open().reader([TOPIC], group=None) as reader:
        total = sum((await reader.end_positions()).values())
        records = await read(reader, total)
        await assert_nothing_more(reader)
    return records


def _assert_sound(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


async def _fill(folder: Path) -> None:
    """Runs in the small file system, until the log is full; then makes room and goes on."""
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    log = SqliteLog(folder / "log")
    await log.ensure_topics([TopicSpec(TOPIC, 1, DAY_MS)])
    acknowledged = 0
    async with log.sender() as sender:
        with pytest.raises(LogFull, match=str(folder / "log")):  # noqa: PT012 - the loop is what fills it
            while acknowledged < 1_000:
                await sender.send(TOPIC, numbered([acknowledged] * 2, headers=(("padding", b"x" * 4_000),)))
                acknowledged += 1
        assert 10 < acknowledged < 500
        ballast.unlink()
        await sender.send(TOPIC, numbered([acknowledged] * 2))
    async with log.reader([TOPIC], group=None) as reader:
        records = await read(reader, 2 * acknowledged + 2)
        await assert_nothing_more(reader)
    assert numbers(records) == sorted([*range(acknowledged + 1), *range(acknowledged + 1)])
    print("everything acknowledged is there")


if __name__ == "__main__":
    asyncio.run(_fill(Path(sys.argv[1])))
