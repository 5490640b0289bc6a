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
from bench.backlog import fill, function_of
from console.broker import LocalKafka
from hookmill.codec import FunctionError
from hookmill.config import Config, LoggingConfig, ProcessorsConfig, load_config
from hookmill.telemetry import configure_logging
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
    await fill(config, function_of("python"), RECORDS, BODY_BYTES)
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
