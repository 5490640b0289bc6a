"""Receive and store: the receiver on each log against an aiohttp handler that does nothing."""

import json
import subprocess
import sys
from collections.abc import Sequence

import psutil

from bench import report

CONNECTIONS = 64
BODY_BYTES = 1_200
WARM_UP = 5_000
REQUESTS = 40_000
RUNS = 5


def run(bootstrap_servers: str) -> None:
    """Prints webhooks per CPU second of each side. The runs of the sides alternate: the machine is noisy."""
    sides = {
        "empty aiohttp web.Server handler": ["empty"],
        "receive and store, embedded log": ["sqlite"],
        "receive and store, Kafka": ["kafka", bootstrap_servers],
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(RUNS):
        for name, arguments in sides.items():
            rates[name].append(measure(arguments))
    baseline = next(iter(rates.values()))
    for name, values in rates.items():
        report.line(name, "webhooks/s", values, baseline)


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
