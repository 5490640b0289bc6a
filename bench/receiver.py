"""Receive and store: the receiver on each log against an aiohttp handler that does nothing."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench import report
from console.broker import LocalKafka

CONNECTIONS = 64
BODY_BYTES = 1_200
WARM_UP = 5_000
TURNS = 10
REQUESTS = 2_500
"""Of a turn: the machine's speed changes within seconds, so both sides take turns of a fraction of one."""
RUNS = 9


def run(broker: LocalKafka) -> None:
    """Prints webhooks per CPU second of each log and, from the same turns, of the empty handler.

    Kafka, which takes CPU from both, runs only for its own.
    """
    compare("embedded log", "sqlite")
    with broker:
        compare("Kafka", "kafka", broker.bootstrap_servers)


def compare(name: str, *side: str) -> None:
    empty, stored = zip(*(measure(side) for _ in range(RUNS)), strict=True)
    report.line("empty aiohttp web.Server handler", "webhooks/s", empty, empty)
    report.line(f"receive and store, {name}", "webhooks/s", stored, empty)


def measure(side: tuple[str, ...]) -> tuple[float, float]:
    """Webhooks per CPU second of two fresh server processes, the empty one first; start-up and warm-up left out."""
    # What earlier runs left for the disk would cost this one: a virtual machine pays for the device with its own CPU.
    os.sync()
    with served("empty") as empty, served(*side) as stored:
        sides = (empty, stored)
        for server in sides:
            server.send(WARM_UP)
        before = [server.cpu_s() for server in sides]
        for _ in range(TURNS):
            for server in sides:
                server.send(REQUESTS)
        spent = [server.cpu_s() - earlier for server, earlier in zip(sides, before, strict=True)]
    return TURNS * REQUESTS / spent[0], TURNS * REQUESTS / spent[1]


class Server:
    """A server process under load. It takes next to no CPU while the other one has its turn."""

    def __init__(self, process_id: int, url: str) -> None:
        self._process = psutil.Process(process_id)
        self._url = url

    def cpu_s(self) -> float:
        """User and system time, of all threads."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def send(self, requests: int) -> None:
        """Posts the requests; all must be taken."""
        command = [sys.executable, "-m", "bench.load", self._url, str(CONNECTIONS), str(requests), str(BODY_BYTES)]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        if answer["refused"]:
            raise SystemExit(f"{answer['refused']} of {requests} requests to {self._url} were refused")


@contextmanager
def served(side: str, *addresses: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.servers", side, folder, *addresses]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield Server(process.pid, process.stdout.readline().strip())
            finally:
                process.kill()
