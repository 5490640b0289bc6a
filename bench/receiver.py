"""Receive and store: the receiver on each log against an aiohttp handler that does nothing."""

import json
import subprocess
import sys
from collections.abc import Sequence

import psutil

from bench import report
from console.broker import LocalKafka

CONNECTIONS = 64
BODY_BYTES = 1_200
WARM_UP = 5_000
REQUESTS = 40_000
RUNS = 5


def run(broker: LocalKafka) -> None:
    """Prints webhooks per CPU second of each log and, from the same alternation, of the empty handler.

    The runs of both sides alternate, for the machine is noisy; Kafka, which takes CPU from both, runs only for its own.
    """
    compare("embedded log", ["sqlite"])
    with broker:
        compare("Kafka", ["kafka", broker.bootstrap_servers])


def compare(name: str, arguments: Sequence[str]) -> None:
    empty, stored = [], []
    for _ in range(RUNS):
        empty.append(measure(["empty"]))
        stored.append(measure(arguments))
    report.line("empty aiohttp web.Server handler", "webhooks/s", empty, empty)
    report.line(f"receive and store, {name}", "webhooks/s", stored, empty)


def measure(arguments: Sequence[str]) -> float:
    """Webhooks per CPU second of one fresh server process, start-up and warm-up left out."""
    command = [sys.executable, "-m", "bench.servers", *arguments]
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
