"""Processes that tests of the log start and kill: `python -m tests.contracts.process <role> <engine> <topic> ...`.

They say on stdout, a line each, what they have seen done; a line that is there is a promise the log made.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hookmill.records import NewRecord
from tests.contracts.engines import Engine
from tests.processes import ROOT, clean_environment


@contextmanager
def running(role: str, engine: Engine, topic: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The process runs; killed at the end if it still does."""
    command = [sys.executable, "-m", "tests.contracts.process", role, engine.address, topic, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
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


async def write_batches(engine: Engine, topic: str, start: str) -> None:
    """Batches of 10 records from several tasks without end; the number of each batch is said once it is stored.

    The value is the batch's number, the record's place in it, and padding, so that a torn record shows.
    """
    batches = iter(range(int(start), sys.maxsize))
    async with engine.open().sender() as sender, asyncio.TaskGroup() as tasks:

        async def keep_sending() -> None:
            for batch in batches:
                await sender.send(
                    topic, [NewRecord(batch_value(batch, place), key=b"%d" % batch) for place in range(10)]
                )
                _say(str(batch))

        for _ in range(4):
            tasks.create_task(keep_sending())


def batch_value(batch: int, place: int) -> bytes:
    """What `write_batches` sends; from 0 to 4 KB of padding."""
    padding = b"%d." % batch * (batch % 7 * 100)
    return b"%d %d %s" % (batch, place, padding)


async def read_without_commit(engine: Engine, topic: str, group: str, count: str) -> None:
    """Reads `count` records, says so, and holds its partitions until killed."""
    seen = 0
    async with engine.open().reader([topic], group=group) as reader:
        while True:
            spans = await reader.poll(0.2)
            before, seen = seen, seen + sum(len(span.records) for span in spans)
            if before < int(count) <= seen:
                _say("read")


def _say(line: str) -> None:
    print(line, flush=True)


_ROLES = {"write": write, "write-batches": write_batches, "read-without-commit": read_without_commit}

if __name__ == "__main__":
    role, address, *arguments = sys.argv[1:]
    asyncio.run(_ROLES[role](Engine(address), *arguments))
