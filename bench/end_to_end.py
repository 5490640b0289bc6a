"""End to end: webhooks posted, through a JavaScript function, into the SQLite warehouse; all processes counted."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from bench import report
from console.broker import LocalKafka
from console.tokens import TokenFile
from tests.processes import Process, free_port, run_hookmill, started, wait_until

WEBHOOKS = 20_000
CONNECTIONS = 64
BODY_BYTES = 1_200
RUNS = 3
DEADLINE_S = 240

FUNCTION = """
let count = 0
const run = Math.random().toString(36).slice(2)

async function onRequest(request) {
  const { event, current } = request.json()
  const id = `${run}-${count++}`
  Segment.track({ event, userId: id, properties: { value: current.value, currency: current.currency } })
  Segment.set({ collection: 'deals', id, properties: { status: current.status, value: current.value } })
}
"""


def run(broker: LocalKafka) -> None:
    """Prints webhooks per CPU second of ingest, process, runners and sink together, and per second of the clock."""
    compare("embedded log", {})
    with broker:
        compare("Kafka", {"HOOKMILL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers})


def compare(name: str, addresses: dict[str, str]) -> None:
    per_cpu_s, per_s = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            environment = {"HOOKMILL_DATA_DIR": folder, "HOOKMILL_TOPICS__PREFIX": f"e2e-{time.time_ns()}."}
            cpu_s, seconds = measure(Path(folder), {**environment, **addresses})
        per_cpu_s.append(WEBHOOKS / cpu_s)
        per_s.append(WEBHOOKS / seconds)
    report.line(f"end to end, {name}", "webhooks/s", per_cpu_s)
    report.line(f"end to end, {name}, by the clock", "webhooks/s", per_s, note="  (load generator included)")


def measure(folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """CPU seconds of all stages and seconds until the last row."""
    source = folder / "project" / "sources" / "bench"
    source.mkdir(parents=True)
    (source / "source.toml").write_text('function = "function.js"\n')
    (source / "function.js").write_text(FUNCTION)
    (folder / "project" / "sinks.toml").write_text('[warehouse]\nkind = "sqlite"\npath = "warehouse.db"\n')
    for command in (["topics", "ensure"], ["apply", str(folder / "project")]):
        code, output = run_hookmill(*command, env=environment)
        if code:
            raise SystemExit(output)
    port = free_port()
    stages = [
        Process(["ingest", "--port", str(port)], folder / "ingest", environment),
        Process(["process"], folder / "process", environment),
        Process(["sink"], folder / "sink", environment),
    ]
    url = f"http://127.0.0.1:{port}/v1/webhooks/{TokenFile(folder / 'project').get('bench')}"
    with started(*stages):
        send(url, 500)
        wait_until(lambda: rows(folder / "warehouse.db") == 500, 60, "warm-up rows")
        cpu_before, began = cpu_s(stages), time.perf_counter()
        send(url, WEBHOOKS)
        wait_until(lambda: rows(folder / "warehouse.db") == 500 + WEBHOOKS, DEADLINE_S, "every row")
        seconds = time.perf_counter() - began
        used = cpu_s(stages) - cpu_before
        for stage in stages:
            stage.stop()
    return used, seconds


def send(url: str, requests: int) -> None:
    command = [sys.executable, "-m", "bench.load", url, str(CONNECTIONS), str(requests), str(BODY_BYTES)]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S).stdout)
    if answer["refused"]:
        raise SystemExit(f"{answer['refused']} of {requests} requests were refused")


def rows(warehouse: Path) -> int:
    """Rows of objects."""
    if not warehouse.exists():
        return 0
    with closing(sqlite3.connect(f"file:{warehouse}?mode=ro", uri=True, timeout=10)) as connection:
        try:
            (objects,) = connection.execute("SELECT count(*) FROM bench__deals").fetchone()
            (events,) = connection.execute("SELECT count(*) FROM bench__tracks").fetchone()
        except sqlite3.OperationalError:
            return 0
    return int(min(objects, events))


def cpu_s(stages: list[Process]) -> float:
    total = 0.0
    for stage in stages:
        process = psutil.Process(stage.pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            total += times.user + times.system
    return total
