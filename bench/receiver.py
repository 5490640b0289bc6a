"""Receive and store: the receiver on each log against an aiohttp handler that does nothing."""

import json
import os
import subprocess
import sys
import tempfile

import psutil

from bench import report
from console.broker import LocalKafka

CONNECTIONS = 64
BODY_BYTES = 1_200
WARM_UP = 5_000
REQUESTS = 25_000
RUNS = 9


def run(broker: LocalKafka) -> None:
    """Prints webhooks per CPU second of each log and, from the same alternation, of the empty handler.

    The runs of both sides alternate, for the machine is noisy; Kafka, which takes CPU from both, runs only for its own.
    """
    compare("embedded log", "sqlite")
    with broker:
        compare("Kafka", "kafka", broker.bootstrap_servers)


def compare(name: str, *side: str) -> None:
    empty, stored = [], []
    for _ in range(RUNS):
        empty.append(measure("empty"))
        stored.append(measure(*side))
    report.line("empty aiohttp web.Server handler", "webhooks/s", empty, empty)
    report.line(f"receive and store, {name}", "webhooks/s", stored, empty)


def measure(side: str, *addresses: str) -> float:
    """Webhooks per CPU second of one fresh server process, start-up and warm-up left out."""
    # What earlier runs left for the disk would cost this one: a virtual machine pays for the device with its own CPU.
    os.sync()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.servers", side, folder, *addresses]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                process = psutil.Process(server.pid)
                send(url, WARM_UP)
                before = process.cpu_times()
                send(url, REQUESTS)
                after = process.cpu_times()
            finally:
                server.kill()
    return REQUESTS / (after.user + after.system - before.user - before.system)


def send(url: str, requests: int) -> None:
    """Posts the requests; all must be taken."""
    command = [sys.executable, "-m", "bench.load", url, str(CONNECTIONS), str(requests), str(BODY_BYTES)]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
    if answer["refused"]:
        raise SystemExit(f"{answer['refused']} of {requests} requests to {url} were refused")
