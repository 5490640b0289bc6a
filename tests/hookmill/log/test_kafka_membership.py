"""Members of a group on a real Kafka whose processes are killed, and what others of the machine make of it."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hookmill.config import KafkaConfig
from hookmill.log.contract import RecordReader
from hookmill.log.kafka import KafkaLog
from hookmill.records import NewRecord, TopicPartition
from hookmill.topics import DAY_MS, TopicSpec
from tests.processes import ROOT, clean_environment

pytestmark = pytest.mark.kafka

DEADLINE_S = 40.0
SESSION_MS = 2_000 * round(DEADLINE_S)
"""Who waits for a session to end, or for a member to join again, waits longer than these tests do."""

MEMBER = """
import asyncio, sys
from pathlib import Path
import hookmill.log.kafka.consumer as consumer
from hookmill.config import KafkaConfig
from hookmill.log.kafka import KafkaLog

servers, topic, members, session_ms = sys.argv[1:]
consumer._SESSION_TIMEOUT_MS = consumer._REBALANCE_TIMEOUT_MS = int(session_ms)

async def live():
    log = KafkaLog(KafkaConfig(bootstrap_servers=servers), Path(members))
    async with log.reader([topic], group=topic) as reader:
        while not reader.assignment():
            await reader.poll(0.1)
        await reader.poll(0.1)
        await reader.commit({partition: 1 for partition in reader.assignment()})
        print("owns", flush=True)
        while True:
            await reader.poll(0.5)

asyncio.run(live())
"""

Launch = Callable[[], subprocess.Popen[str]]


@pytest.fixture
async def topic(kafka_bootstrap: str) -> str:
    """A topic of one partition, with two records."""
    log = KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap))
    name = f"t.{uuid.uuid4().hex}"
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    async with log.sender() as sender:
        await sender.send(name, [NewRecord(b"0"), NewRecord(b"1")])
    return name


@pytest.fixture
def log(kafka_bootstrap: str, tmp_path: Path) -> KafkaLog:
    return KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap), tmp_path / "members")


@pytest.fixture
def launch(kafka_bootstrap: str, topic: str, tmp_path: Path) -> Iterator[Launch]:
    """Starts a process with a member that owns the partition when `wait_until_owner` returns."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MEMBER, kafka_bootstrap, topic, str(tmp_path / "members"), str(SESSION_MS)]
        process = subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


def wait_until_owner(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "owns\n"


async def test_what_a_killed_process_had_is_its_successors_at_once(
    log: KafkaLog, topic: str, launch: Launch, tmp_path: Path
) -> None:
    owner = launch()
    await asyncio.to_thread(wait_until_owner, owner)
    owner.kill()
    owner.wait()

    async with log.reader([topic], group=topic) as successor:
        await until_owner(successor)
        end = await successor.lag()
        names = [path.name for path in (tmp_path / "members").iterdir()]

    assert end == {TopicPartition(topic, 0): 1}
    assert len(names) == 1  # of the successor
    assert names[0].startswith(f"{topic}@")


async def test_a_chain_of_killed_processes_holds_nothing_up(log: KafkaLog, topic: str, launch: Launch) -> None:
    owner = launch()
    await asyncio.to_thread(wait_until_owner, owner)
    waiting = launch()
    await asyncio.sleep(3.0)  # long enough to be in the group's queue, though without effect if it is not
    for process in (waiting, owner):
        process.kill()
        process.wait()

    async with log.reader([topic], group=topic) as successor:
        await until_owner(successor)


async def test_a_member_that_left_and_those_of_other_groups_leave_no_trace_and_are_left_alone(
    log: KafkaLog, topic: str, launch: Launch, tmp_path: Path
) -> None:
    owner = launch()
    await asyncio.to_thread(wait_until_owner, owner)
    (theirs,) = (tmp_path / "members").iterdir()

    async with log.reader([topic], group=f"other.{topic}") as other:
        await until_owner(other)

    assert list((tmp_path / "members").iterdir()) == [theirs]
    assert owner.poll() is None


async def test_where_no_file_can_be_made_a_reader_reads_all_the_same(log: KafkaLog, topic: str, tmp_path: Path) -> None:
    (tmp_path / "members").write_text("in the way")

    async with log.reader([topic], group=topic) as reader:
        await until_owner(reader)


async def until_owner(reader: RecordReader) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not reader.assignment():
            await reader.poll(0.1)
        await reader.poll(0.1)
