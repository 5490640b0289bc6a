"""The span channel: records through the function stage with a pool that does nothing, reports included.

`run` starts one process per side and run: `python -m bench.spans FOLDER [BOOTSTRAP_SERVERS]` prints CPU seconds.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop

from bench import report
from bench.load import body_of
from console.broker import LocalKafka
from hookmill.codec import FunctionError, HttpRequest, encode
from hookmill.config import Config, LoggingConfig, ProcessorsConfig, load_config
from hookmill.headers import FORMAT, FORMAT_VERSION, HTTP, RECEIVED_AT, REQUEST_ID, SOURCE
from hookmill.ids import new_request_id
from hookmill.log import open_log
from hookmill.records import NewRecord
from hookmill.registry import Function, Source, publish
from hookmill.telemetry import configure_logging
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage

RECORDS = 50_000
BODY_BYTES = 1_200
RUNS = 3
DEADLINE_S = 120


class NoPool:
    """A pool whose functions all return at once and send nothing."""

    def __init__(self) -> None:
        self.done = 0
        self.all_done = asyncio.Event()

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        self.done += len(invocations)
        if self.done >= RECORDS:
            self.all_done.set()
        return [Outcome(Status.OK, 0.0)] * len(invocations)

    async def check(self, code: Code) -> FunctionError | None:
        return None


def run(broker: LocalKafka) -> None:
    """Prints records per CPU second of the process, on each log."""
    compare("embedded log", [])
    with broker:
        compare("Kafka", [broker.bootstrap_servers])


def compare(name: str, addresses: Sequence[str]) -> None:
    rates = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.spans", folder, *addresses]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S).stdout
            rates.append(RECORDS / json.loads(output.splitlines()[-1]))
    report.line(f"span channel, {name}", "records/s", rates)


async def measure(config: Config) -> float:
    """CPU seconds for all records; sending them before is not counted."""
    await fill(config)
    pool = NoPool()

    @contextlib.asynccontextmanager
    async def make_pool(_: ProcessorsConfig) -> AsyncIterator[NoPool]:
        yield pool

    stage = FunctionStage(config, make_pool)
    began = time.process_time()
    await stage.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await pool.all_done.wait()
    finally:
        await stage.stop()
    return time.process_time() - began


async def fill(config: Config) -> None:
    """The log holds a source and its webhooks."""
    log = open_log(config)
    names = config.topics.names
    await log.ensure_topics(names.specs())
    source = Source(id="bench", name="Bench", token_hashes=(), function_version="1")
    function = Function(source="bench", version="1", language="python", file_name="f.py", code="")
    await publish(log, names.full(Topic.REGISTRY), [source, function])
    http = encode(HttpRequest("POST", "https://hooks.example/", [("Content-Type", "application/json")]))
    body = body_of(BODY_BYTES)
    async with log.sender() as sender:
        for _ in range(RECORDS // 500):
            now_us = time.time_ns() // 1_000
            records = [webhook(body, http, now_us) for _ in range(500)]
            await sender.send(names.full(Topic.WEBHOOKS), records)


def webhook(body: bytes, http: bytes, now_us: int) -> NewRecord:
    headers = (
        (FORMAT, FORMAT_VERSION),
        (REQUEST_ID, new_request_id().encode()),
        (SOURCE, b"bench"),
        (RECEIVED_AT, b"%d" % now_us),
        (HTTP, http),
    )
    return NewRecord(body, headers=headers)


def main() -> None:
    configure_logging(LoggingConfig(level="error"))
    folder, *addresses = sys.argv[1:]
    config = load_config(
        {
            "data_dir": Path(folder),
            "kafka": {"bootstrap_servers": next(iter(addresses), None)},
            "topics": {"prefix": f"{Path(folder).name}."},
        }
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(measure(config)))


if __name__ == "__main__":
    main()
