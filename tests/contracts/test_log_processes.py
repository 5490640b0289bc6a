"""The log contract, several processes: they write together, and what one that is killed leaves behind."""

import asyncio
import subprocess
from contextlib import ExitStack

import pytest

from hookmill.log.contract import Log
from tests.contracts.conftest import MakeTopic
from tests.contracts.engines import Engine
from tests.contracts.process import next_line, running
from tests.contracts.reading import assert_nothing_more, numbered, numbers, read, read_all, send


@pytest.mark.timeout(180)
async def test_many_processes_write_at_once_and_everything_is_there_in_the_order_of_each(
    log: Log, engine: Engine, make_topic: MakeTopic
) -> None:
    topic = await make_topic(partitions=3)
    writers = [f"writer-{number}" for number in range(4)]

    with ExitStack() as stack:
        processes = [stack.enter_context(running("write", engine, topic, writer, "500")) for writer in writers]
        codes = await asyncio.gather(*(asyncio.to_thread(_drain, process) for process in processes))

    assert codes == [0, 0, 0, 0]
    async with log.reader([topic], group=None) as reader:
        records = await read(reader, 2_000)
        await assert_nothing_more(reader)
    for writer in writers:
        of_writer = [record for record in records if record.key == writer.encode()]
        assert numbers(of_writer) == list(range(500))
        assert len({record.partition for record in of_writer}) == 1


async def test_what_a_process_was_told_is_stored_outlives_its_kill(log: Log, engine: Engine, topic: str) -> None:
    with running("write", engine, topic, "writer", "1000000") as process:
        for _ in range(200):
            told = int(next_line(process))
        process.kill()
        process.wait(10)

    records = await read_all(log, topic, told + 1)

    assert numbers(records)[: told + 1] == list(range(200))


async def test_what_a_killed_reader_did_not_commit_is_delivered_again(log: Log, engine: Engine, topic: str) -> None:
    group = f"g.{topic}"
    await send(log, topic, numbered(range(20)))
    with running("read-without-commit", engine, topic, group, "20") as process:
        assert await asyncio.to_thread(next_line, process) == "read"
        process.kill()

    async with log.reader([topic], group=group) as reader:
        records = await read(reader, 20)

    assert numbers(records) == list(range(20))


def _drain(process: "subprocess.Popen[str]") -> int:
    """The exit code, once it ended by itself."""
    process.communicate(timeout=120)
    return process.returncode
