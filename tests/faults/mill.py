"""A whole Hookmill: a project published on a log of its own, and a process per stage."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from console.apply import apply_project
from console.project import load_project
from console.tokens import TokenFile
from hookmill.topics import Topic
from redelivery.scan import Scan
from tests.faults.ledger import Ledger
from tests.faults.workload import JAVASCRIPT, PYTHON, Workload, number_of
from tests.processes import HOOKMILL, ROOT, Process, free_port, started
from tests.redelivery.installation import Installation, install

DELAYS_S: Final = (0.5, 1.0, 1.5, 2.0, 3.0)
"""In place of minutes; 8 s in all, more than the `patience_s` of a load may be."""

_STANDSTILL_S: Final = 60.0
"""Nothing ended for so long, besides the longest wait for a retry: something is lost, or something hangs."""


@dataclass
class Mill:
    """`processes` by name: ingest, process-1 ..., sink, mover."""

    folder: Path
    workload: Workload
    installation: Installation
    environment: Mapping[str, str]
    port: int
    tokens: Mapping[str, str]
    longest_delay_s: float
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def warehouse(self) -> Path:
        """The SQLite file that the sink writes."""
        return self.installation.config.data_dir / "warehouse.db"

    @property
    def urls(self) -> dict[str, str]:
        """Where the webhooks of each source go."""
        return {source: f"http://127.0.0.1:{self.port}/v1/webhooks/{token}" for source, token in self.tokens.items()}

    def add(self, name: str, *arguments: str, program: Sequence[str] = (str(HOOKMILL),)) -> Process:
        """A further process, not started, or another one in place of the one of this name."""
        self.processes[name] = Process(arguments, self.folder / name, self.environment, program)
        return self.processes[name]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All processes are ready; those still running at the end are killed, with those added meanwhile."""
        try:
            with started(*self.processes.values()):
                yield
        finally:
            for process in self.processes.values():
                process.kill()

    async def stop(self) -> None:
        """Every process has ended in order, with exit code 0."""
        for name, process in self.processes.items():
            code, _ = await asyncio.to_thread(process.stop)
            assert code == 0, f"{name} ended with {code}:\n{process.stderr[-4_000:]}"

    async def settled(self, ledger: Ledger) -> float:
        """As many events and dead letters are there as webhooks were accepted; seconds it took.

        Fails when nothing happens for a minute, and names what is waited for.
        """
        standstill_s = _STANDSTILL_S + self.longest_delay_s
        began = heard = time.monotonic()
        dead = {number for number in ledger.accepted if self.workload.webhook(number).is_doomed}
        before = letters_before = -1
        while True:
            events = await asyncio.to_thread(self.count_events)
            # Counting letters reads them all: once the events stand still.
            letters = await self._letters(ledger) if events == before else 0
            if events + letters >= len(ledger.accepted):
                return time.monotonic() - began
            if events != before or letters != letters_before:
                before, letters_before, heard = events, letters, time.monotonic()
            wanted = f"{events:,} events of {len(ledger.accepted) - len(dead):,}, {letters:,} letters of {len(dead):,}"
            assert time.monotonic() - heard < standstill_s, f"nothing ends any more: {wanted}{self._gone()}"
            await asyncio.sleep(1)

    def _gone(self) -> str:
        """The processes that do not run, with the end of what they said."""
        gone = {name: process for name, process in self.processes.items() if process.exit_code is not None}
        return "".join(
            f"\n{name} ended with {process.exit_code}:\n{process.stderr[-4_000:]}" for name, process in gone.items()
        )

    async def _letters(self, ledger: Ledger) -> int:
        """How many of the accepted webhooks are dead letters."""
        found: set[int] = set()
        names = self.installation.names
        async with Scan(self.installation.log, [names.full(Topic.DEAD_LETTERS)]) as scan:
            async for span in scan.spans(dict.fromkeys(scan.ends, 0), scan.ends):
                found.update(number_of(record.value or b"") for record in span.records)
        return len(found & ledger.accepted.keys())

    def count_events(self) -> int:
        """Rows in the warehouse, one for each webhook that was delivered."""
        if not self.warehouse.exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.warehouse}?mode=ro", uri=True, timeout=30)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(
                connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
                for table in tables
                if table.endswith("__order_changed")
            )


async def install_mill(
    folder: Path,
    bootstrap_servers: str | None,
    workload: Workload,
    *,
    workers: int = 1,
    replication_factor: int = 1,
    delays_s: Sequence[float] = DELAYS_S,
    settings: Mapping[str, str] | None = None,
) -> Mill:
    """Topics exist, the project of the workload is published; no process runs. `settings` are further variables."""
    installation = await install(folder / "data", bootstrap_servers, replication_factor)
    environment = {
        **installation.environment,
        "HOOKMILL_RETRY__DELAYS_S": ",".join(map(str, delays_s)),
        # A runner for each source, so that none waits for one.
        "HOOKMILL_PROCESSORS__MAX_RUNNERS": str(workload.sources + 4),
        "HOOKMILL_LOGGING__LEVEL": "warning",
        "PYTHONPATH": str(ROOT),  # for programs among the tests
        # Nothing here speaks TLS, and to read the system's authorities is a tenth of what it costs to start a process.
        "SSL_CERT_FILE": os.devnull,
        **(settings or {}),
    }
    project = folder / "project"
    _write_project(project, workload)
    config = installation.config
    await apply_project(load_project(project), installation.log, config.topics.names, config.processors)
    tokens = TokenFile(project)
    tokens_by_source = {name: str(tokens.get(name)) for name in workload.source_names}
    mill = Mill(folder, workload, installation, environment, free_port(), tokens_by_source, delays_s[-1])
    mill.add("ingest", "ingest", "--port", str(mill.port))
    for number in range(1, workers + 1):
        mill.add(f"process-{number}", "process")
    mill.add("sink", "sink")
    mill.add("mover", "mover")
    return mill


def _write_project(project: Path, workload: Workload) -> None:
    for index, name in enumerate(workload.source_names):
        source = project / "sources" / name
        source.mkdir(parents=True)
        file, code = ("function.py", PYTHON) if index % 2 else ("function.js", JAVASCRIPT)
        (source / file).write_text(code)
        # On a machine that is busy with the fault, a second is no sign of a slow function.
        settings = f'function = "{file}"\ndelivery_id = "header:webhook-id"\ntimeout_ms = 10000\n'
        (source / "source.toml").write_text(settings)
    (project / "sinks.toml").write_text('[warehouse]\nkind = "sqlite"\npath = "warehouse.db"\n')
