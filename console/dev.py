"""`hookmill dev`: every stage of a project folder in one process, with reload on save and a line per webhook."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from console.apply import apply_project
from console.examples import example_files, load_example
from console.project import Project, load_project
from console.reload import Reloader
from console.reports import ReportTail, describe_report
from console.samples import post_sample
from console.stages import INGEST_ADMIN_PORT, receiver_services, sink_workers
from console.tables import print_tables, read_tables
from console.tokens import TokenFile
from hookmill.admin import AdminServer
from hookmill.codec import InvocationReport
from hookmill.config import Config
from hookmill.lifecycle import ExitCode, Readiness, Service, serve
from hookmill.log import open_log
from hookmill.topics import Topic
from processors.service import FunctionStage
from redelivery.mover import Mover
from sinks.open import describe_sink, warehouse_file
from sinks.worker import SinkWorker

_SAMPLES_DEADLINE_S = 60.0
_LAG_POLL_S = 0.1


@dataclass(frozen=True)
class Dev:
    """What runs, and where it says so."""

    config: Config
    project: Project
    tokens: TokenFile
    screen: Console

    def warehouses(self) -> list[Path]:
        """Files of the project's SQLite sinks."""
        files = (warehouse_file(sink, self.config.data_dir) for sink in self.project.sinks)
        return [file for file in files if file is not None]


async def run_dev(config: Config, folder: Path, screen: Console, *, send_samples: bool) -> ExitCode:
    """The project in `folder` runs until a signal. Errors: `ConfigError` for one that cannot run; `LogError`."""
    dev = Dev(config, load_project(folder), TokenFile(folder), screen)
    for source in dev.project.sources:
        if dev.tokens.get(source.slug) is None:
            dev.tokens.create(source.slug)
    log = open_log(config)
    names = config.topics.names
    await log.ensure_topics(names.specs())
    await apply_project(dev.project, log, names, config.processors)

    readiness = Readiness()
    finished: asyncio.Queue[InvocationReport] = asyncio.Queue()
    awaits_samples = send_samples

    def heard(report: InvocationReport) -> None:
        screen.print(describe_report(report))
        if awaits_samples:
            finished.put_nowait(report)

    admin = AdminServer(config.admin, INGEST_ADMIN_PORT, readiness)
    view, sender, receiver = receiver_services(config, log)
    workers = sink_workers(config, log, view.registry, dev.project.sinks)
    services: list[Service] = [
        admin,
        ReportTail(log, names.full(Topic.INVOCATIONS), heard),
        view,
        *workers,
        Mover(config.retry, log, names),
        FunctionStage(config),
        sender,
        receiver,
        Reloader(folder, log, names, config.processors, screen),
    ]

    async def once_ready() -> None:
        nonlocal awaits_samples
        _greet(dev, log.description, receiver.url, admin.address)
        if send_samples:
            await _send_samples(dev, receiver.url, finished)
            awaits_samples = False
            await _wait_for_sinks(workers)
            _show_rows(dev, "What is in the warehouse now")

    return await serve(services, readiness, once_ready)


def _greet(dev: Dev, log: str, url: str, admin: str) -> None:
    say = dev.screen.print
    say(f"Log       {log}")
    for sink in dev.project.sinks:
        place = describe_sink(sink, dev.config.data_dir)
        say(f"Sink      {sink.name}: {place}")
    say(f"Metrics   {admin}/metrics")
    kept = sum(table.rows for file in dev.warehouses() for table in read_tables(file))
    if kept:
        say(f"Kept      {kept} rows of earlier runs are in the warehouse")
    for source in dev.project.sources:
        token = dev.tokens.get(source.slug)
        command = f"curl -X POST -H 'Content-Type: application/json' -d '{{}}' '{url}/v1/webhooks/{token}'"
        say(f"{source.name}\n  {command}")
    say(f"Ready. Saving a file of {dev.project.folder} reloads it; Ctrl-C stops.")


async def _send_samples(dev: Dev, url: str, finished: asyncio.Queue[InvocationReport]) -> None:
    """The first example of each source is posted, and its invocation has been reported."""
    waiting: set[str] = set()
    for source in dev.project.sources:
        examples = example_files(source.folder)
        token = dev.tokens.get(source.slug)
        if not examples or token is None:
            continue
        request_id = await post_sample(url, token, load_example(examples[0]).sample)
        waiting.add(request_id)
        dev.screen.print(f"Sent {examples[0]} -> {request_id}")
    async with asyncio.timeout(_SAMPLES_DEADLINE_S):
        while waiting:
            report = await finished.get()
            waiting.discard(report.request_id)


async def _wait_for_sinks(workers: Sequence[SinkWorker]) -> None:
    """Every sink has written what was on its topics."""

    async def is_behind(worker: SinkWorker) -> bool:
        lag = await worker.lag()
        return not lag or any(lag.values())  # no lag at all: its group has not given it its partitions yet

    async with asyncio.timeout(_SAMPLES_DEADLINE_S):
        for worker in workers:
            while await is_behind(worker):  # noqa: ASYNC110 only asking tells
                await asyncio.sleep(_LAG_POLL_S)


def _show_rows(dev: Dev, title: str) -> None:
    for file in dev.warehouses():
        dev.screen.print(f"\n{title}: {file}")
        print_tables(dev.screen, read_tables(file))
