"""Processes that tests of the log start and kill: `python -m tests.contracts.process <role> <engine> <topic> ...`.

They say on stdout, a line each, what they have seen done; a line that is there is a promise the log made.
"""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hookmill.errors import CommitRefused
from hookmill.records import NewRecord, TopicPartition
from tests.contracts.engines import Engine
from tests.processes import ROOT, clean_environment


@contextmanager
def running(role: str, engine: Engine, topic: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The process runs; killed at the end if it still does."""
    command = [sys.executable, "-m", "tests.contracts.process", role, engine.address, topic, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: "subprocess.Popen[str]") -> str:
    """What the process said next; fails when it ended instead. Bounded by the timeout of the test."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the process ended with {process.wait(10)}"
    return line.strip()


async def write(engine: Engine, topic: str, writer: str, count: str) -> None:
    """`count` records, one send each, keyed by the writer's name; the number of each is said once it is stored."""
    async with engine.open().sender() as sender:
        for number in range(int(count)):
            await sender.send(topic, [NewRecord(b"%d" % number, key=writer.encode())])
            _say(str(number))


async def write_batches(engine: Engine, topic: str, writer: str) -> None:
    """Batches from several tasks without end; task and number of each batch are said once it is stored."""
    async with engine.open().sender() as sender, asyncio.TaskGroup() as tasks:

        async def keep_sending(task: str) -> None:
            for number in itertools.count():
                await sender.send(topic, batch(task, number))
                _say(f"{task} {number}")

        for index in range(4):
            tasks.create_task(keep_sending(f"{writer}.{index}"))


def batch(task: str, number: int) -> list[NewRecord]:
    """Ten records of one key, each different, of up to 6 KB: a torn or mixed-up one shows."""
    padding = b"%d." % number * (number % 7 * 100)
    return [NewRecord(b"%d %d %s" % (number, place, padding), key=task.encode()) for place in range(10)]


async def read_without_commit(engine: Engine, topic: str, group: str, count: str) -> None:
    """Reads `count` records, says so, and holds its partitions until killed."""
    seen = 0
    async with engine.open().reader([topic], group=group) as reader:
        while True:
            spans = await reader.poll(0.2)
            before, seen = seen, seen + sum(len(span.records) for span in spans)
            if before < int(count) <= seen:
                _say("read")


async def commit_when_told(engine: Engine, topic: str, group: str) -> None:
    """Reads a record, says so, waits for a line on stdin without the loop turning, and commits."""
    place = TopicPartition(topic, 0)
    async with engine.open().reader([topic], group=group) as reader:
        while not await reader.poll(0.2):
            pass
        _say("read")
        sys.stdin.readline()
        try:
            await reader.commit({place: 1})
            _say("committed")
        except CommitRefused as refused:
            _say(f"refused, keeps {len(reader.assignment())}" if place in refused.partitions else "refused another")


def _say(line: str) -> None:
    print(line, flush=True)


_ROLES = {
    "write": write,
    "write-batches": write_batches,
    "read-without-commit": read_without_commit,
    "commit-when-told": commit_when_told,
}

if __name__ == "__main__":
    role, address, *arguments = sys.argv[1:]
    asyncio.run(_ROLES[role](Engine(address), *arguments))
