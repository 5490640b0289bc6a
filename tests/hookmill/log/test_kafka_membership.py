"""Members of a group on a real Kafka whose processes are killed, and what others of the machine make of it."""

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from hookmill.config import KafkaConfig
from hookmill.log.kafka import KafkaLog, membership
from hookmill.records import NewRecord, TopicPartition
from hookmill.topics import DAY_MS, TopicSpec
from tests.contracts.reading import DEADLINE_S, owning
from tests.processes import ROOT, clean_environment

pytestmark = pytest.mark.kafka

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
    end(owner)

    async with log.reader([topic], group=topic) as successor:
        await owning(successor, 1)
        lag = await successor.lag()
        (name,) = announced(tmp_path)

    assert lag == {TopicPartition(topic, 0): 1}
    assert name.startswith(f"{topic}@")


async def test_all_that_were_killed_are_put_out(log: KafkaLog, topic: str, launch: Launch, tmp_path: Path) -> None:
    first = launch()
    await asyncio.to_thread(wait_until_owner, first)
    second = launch()
    await until_announced(tmp_path, 2)
    end(first)
    end(second)

    async with log.reader([topic], group=topic) as successor:
        await owning(successor, 1)


async def test_a_member_is_announced_before_it_polls(log: KafkaLog, topic: str, tmp_path: Path) -> None:
    async with log.reader([topic], group=topic):
        assert len(announced(tmp_path)) == 1


async def test_a_member_is_announced_before_its_listener_hears_of_partitions(
    log: KafkaLog, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one killed at its first step has a successor that need not wait for its session."""
    monkeypatch.setattr(membership, "_LOOK_S", 1.0)
    listener = Looking(tmp_path)
    async with asyncio.timeout(DEADLINE_S), log.reader([topic], group=topic, listener=listener):
        await listener.is_assigned.wait()

    assert listener.announced == 1


class Looking:
    """A listener that counts the members that are announced when it is told of partitions."""

    def __init__(self, tmp_path: Path) -> None:
        self.announced = 0
        self.is_assigned = asyncio.Event()
        self._tmp_path = tmp_path

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.announced = len(announced(self._tmp_path))
        self.is_assigned.set()

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        pass


async def test_members_that_live_are_left_alone(log: KafkaLog, topic: str, launch: Launch, tmp_path: Path) -> None:
    owner = launch()
    await asyncio.to_thread(wait_until_owner, owner)
    (name,) = announced(tmp_path)

    async with log.reader([topic], group=topic) as other:
        async with asyncio.timeout(DEADLINE_S):
            while len(announced(tmp_path)) < 2:
                await other.poll(0.1)
        for _ in range(30):  # three heartbeats of the first: a member that was put out gets another name
            await other.poll(0.1)

        assert name in announced(tmp_path)


async def test_the_dead_of_other_groups_and_of_other_folders_are_left_to_those(
    log: KafkaLog, topic: str, kafka_bootstrap: str, launch: Launch, tmp_path: Path
) -> None:
    owner = launch()
    await asyncio.to_thread(wait_until_owner, owner)
    (name,) = announced(tmp_path)
    shutil.copytree(tmp_path / "members", tmp_path / "copy")  # where the lock of the living is not seen
    copy = KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap), tmp_path / "copy")

    async with copy.reader([topic], group=topic) as other:
        for _ in range(30):
            await other.poll(0.1)
    kept = announced(tmp_path)
    end(owner)
    async with log.reader([topic], group=f"other.{topic}") as other:
        await owning(other, 1)

    assert kept == [name]
    assert name in announced(tmp_path)


async def test_who_left_in_order_is_forgotten_by_the_next(log: KafkaLog, topic: str, tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        async with log.reader([topic], group=topic) as reader:
            await owning(reader, 1)
            names += announced(tmp_path)

    assert len(set(names)) == 2


async def test_where_no_file_can_be_made_a_reader_reads_all_the_same(log: KafkaLog, topic: str, tmp_path: Path) -> None:
    (tmp_path / "members").write_text("in the way")

    async with log.reader([topic], group=topic) as reader:
        await owning(reader, 1)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def announced(tmp_path: Path) -> list[str]:
    """The names of the members that have a file."""
    return [path.name for path in (tmp_path / "members").glob("*/[!.]*")]


async def until_announced(tmp_path: Path, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(announced(tmp_path)) < count:
            await asyncio.sleep(0.05)
