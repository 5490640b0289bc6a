"""The function stage: a backlog of webhooks through one `hookmill process`, into events, objects and reports."""

import asyncio
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from bench import report
from bench.backlog import FILE_NAMES, fill, function_of
from console.broker import LocalKafka
from hookmill.config import Config, load_config
from hookmill.log import open_log
from hookmill.topics import Topic
from tests.processes import Process, started, wait_until

WARM_UP = 8_000
WEBHOOKS = 40_000
BODY_BYTES = 1_200
RUNS = 3
DEADLINE_S = 120
OUTPUTS = (Topic.EVENTS, Topic.OBJECTS, Topic.INVOCATIONS)
TARGET = "  (target: 15,000)"
_LOOK_S = 0.02


def run(broker: LocalKafka) -> None:
    """Prints webhooks per CPU second of the stage, all its processes counted and the broker not, on each log."""
    for language in FILE_NAMES:
        compare("embedded log", language, None)
    with broker:
        for language in FILE_NAMES:
            compare("Kafka", language, broker.bootstrap_servers)


def compare(name: str, language: str, bootstrap_servers: str | None) -> None:
    rates = [measure(language, bootstrap_servers) for _ in range(RUNS)]
    note = TARGET if bootstrap_servers and language == "javascript" else ""
    report.line(f"function stage, {language}, {name}", "webhooks/s", rates, note=note)


def measure(language: str, bootstrap_servers: str | None) -> float:
    """Webhooks per CPU second of one fresh stage, start and warm-up left out, until the last one is committed."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"functions-{time.time_ns()}."
        config = load_config(
            {
                "data_dir": Path(folder),
                "kafka": {"bootstrap_servers": bootstrap_servers},
                "topics": {"prefix": prefix},
            }
        )
        environment = {"HOOKMILL_DATA_DIR": folder, "HOOKMILL_TOPICS__PREFIX": prefix}
        if bootstrap_servers is not None:
            environment["HOOKMILL_KAFKA__BOOTSTRAP_SERVERS"] = bootstrap_servers
        asyncio.run(fill(config, function_of(language), WARM_UP + WEBHOOKS, BODY_BYTES))
        return asyncio.run(measure_stage(config, Process(["process"], Path(folder) / "process", environment)))


async def measure_stage(config: Config, stage: Process) -> float:
    """As `measure`, with the backlog on the log; every output must be there in the end, and none twice."""
    names = config.topics.names
    topics = [names.full(topic) for topic in OUTPUTS]
    async with open_log(config).reader(topics, group=None) as outputs:

        async def sent() -> dict[str, int]:
            ends = await outputs.end_positions()
            return {topic: sum(end for place, end in ends.items() if place.topic == topic) for topic in topics}

        async def until_sent(webhooks: int) -> int:
            async with asyncio.timeout(DEADLINE_S):
                while (done := min((await sent()).values())) < webhooks:
                    await asyncio.sleep(_LOOK_S)
            return done

        with started(stage):
            done_before = await until_sent(WARM_UP)
            cpu_before = cpu_s(stage)
            await until_sent(WARM_UP + WEBHOOKS)
            wait_until(lambda: lag(stage) == 0, DEADLINE_S, "everything is committed")
            cpu_used = cpu_s(stage) - cpu_before
        if set((await sent()).values()) != {WARM_UP + WEBHOOKS}:
            raise SystemExit(f"{WARM_UP + WEBHOOKS} webhooks made other numbers of records: {await sent()}")
    return (WARM_UP + WEBHOOKS - done_before) / cpu_used


def lag(stage: Process) -> int:
    """Webhooks that are not committed, by the stage's own metrics."""
    with urllib.request.urlopen(f"{stage.admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("hookmill_processors_lag_records{"))


def cpu_s(stage: Process) -> float:
    """CPU seconds of the stage so far, its runners included."""
    process = psutil.Process(stage.pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)
