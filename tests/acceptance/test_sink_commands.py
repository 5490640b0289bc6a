"""Sinks in the hands of an operator: listed, checked, paused and resumed by commands, while their workers run."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from hookmill.registry import Sink, publish
from hookmill.topics import Topic
from tests.processes import Process, run_hookmill, started, wait_until
from tests.redelivery.installation import Installation, install
from tests.sinks.database import query
from tests.sinks.messages import object_record, write

DEADLINE_S = 60.0
WAREHOUSE = Sink("warehouse", "sqlite", events=True, objects=True)


class Operator:
    """Commands on an installation whose registry holds these sinks."""

    def __init__(self, folder: Path, *sinks: Sink) -> None:
        self.installation = asyncio.run(self._prepare(folder, sinks))
        self._file = folder / "warehouse.db"

    @staticmethod
    async def _prepare(folder: Path, sinks: tuple[Sink, ...]) -> Installation:
        installation = await install(folder, None)
        await publish(installation.log, installation.names.full(Topic.REGISTRY), sinks)
        return installation

    def run(self, *arguments: str, code: int = 0) -> str:
        ended_with, output = run_hookmill("sink", *arguments, env=self.installation.environment)
        assert ended_with == code, output
        return output

    def process(self, *arguments: str) -> Process:
        return Process(["sink", *arguments], self._file.with_name("process"), self.installation.environment)

    def send(self, first: int, behind: int) -> None:
        records = [object_record(write(str(n), n, {"value": n})) for n in range(first, behind)]
        asyncio.run(self.installation.send(Topic.OBJECTS, *records))

    def listed(self, name: str) -> dict[str, Any]:
        found = map(json.loads, self.run("list", "--json").splitlines())
        return next(line for line in found if line["name"] == name)

    def rows(self) -> int:
        with contextlib.suppress(sqlite3.OperationalError):  # not there yet
            return int(query(self._file, "SELECT count(*) FROM pipedrive__deals")[0][0])
        return 0


def test_a_sink_is_paused_and_resumed_while_it_runs_and_over_restarts(tmp_path: Path) -> None:
    operator = Operator(tmp_path, WAREHOUSE)
    objects = operator.installation.names.full(Topic.OBJECTS)
    operator.send(0, 10)

    with started(worker := operator.process("warehouse")):
        wait_until(lambda: operator.rows() == 10, DEADLINE_S, "rows come")
        assert operator.run("pause", "warehouse").startswith("Paused sink warehouse.")
        wait_until(lambda: "sink.paused" in worker.stderr, DEADLINE_S, "the worker is paused")
        operator.send(10, 100)
        worker.stop()
        worker.start()
        listed = operator.listed("warehouse")
        assert (listed["state"], listed["lag"][objects], operator.rows()) == ("paused", 90, 10)
        operator.run("resume", "warehouse")
        wait_until(lambda: operator.rows() == 100, DEADLINE_S, "the sink catches up")


def test_watching_tells_the_pace(tmp_path: Path) -> None:
    operator = Operator(tmp_path, WAREHOUSE)
    operator.send(0, 10)
    watch = operator.process("list", "--watch", "--json")

    watch.launch()
    try:
        wait_until(lambda: watch.stdout.count("\n") > 1, DEADLINE_S, "a second look")
    finally:
        watch.kill()

    first, second = map(json.loads, watch.stdout.splitlines()[:2])
    assert "recordsPerSecond" not in first
    assert (second["recordsPerSecond"], second["caughtUpInSeconds"]) == (0, None)


def test_a_check_ends_with_1_when_something_is_missing(tmp_path: Path) -> None:
    away = Sink("away", "sqlite", events=True, objects=True, options={"path": "gone/w.db"})
    operator = Operator(tmp_path, WAREHOUSE, away)

    output = operator.run("check", code=1)

    assert "warehouse: fine\n" in output
    assert "away: something is missing\n" in output
    assert "gone does not exist" in output
    checked = json.loads(operator.run("check", "warehouse", "--json"))
    assert checked == {"name": "warehouse", "kind": "sqlite", "missing": []}


def test_a_sink_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    output = Operator(tmp_path, WAREHOUSE).run("pause", "nobody", code=78)

    assert output == "hookmill: Sink 'nobody' is not in the registry. Sinks: warehouse.\n"
