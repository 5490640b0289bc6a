"""Sinks in the hands of an operator: listed, checked, paused and resumed by commands, while their workers run."""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hookmill.registry import Sink, publish
from hookmill.topics import Topic
from sinks.warehouses.parquet.folder import Folder
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import Process, run_hookmill, started, wait_until
from tests.redelivery.installation import Installation, install
from tests.sinks import duckdb_file, parquet_files
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


WRONG = {
    ("abacus", "abacus", None): 'kind "abacus" does not exist; there are sqlite, postgres',
    ("option", "duckdb", ("file", "x")): 'option "file" does not exist; duckdb has ',
    ("sqlite", "sqlite", ("path", "notes")): "notes: it is not a SQLite database: name another file with the option",
    ("duckdb", "duckdb", ("path", "notes")): "notes: it is not a DuckDB database: name another file with the option",
    ("folder", "parquet", ("path", "/gone")): 'Sink "folder": folder /gone does not exist',
    ("secret", "postgres", ("url", "postgresql://u:hunter2@h/d")): "url must not hold a password: name an environment",
    ("bucket", "parquet", ("url", "s3://key:hunter2@b")): "url must be like s3://bucket/prefix",
}
"""Name, kind and option of a sink, and what is told about them."""


def wrong_sinks(folder: Path) -> Operator:
    """An installation with these sinks."""
    (folder / "notes").write_text("These are notes, not a database, and long enough to be looked at. " * 200)
    sinks = [
        Sink(name, kind, events=True, objects=True, options=dict([option] if option else []))
        for name, kind, option in WRONG
    ]
    return Operator(folder, *sinks)


@pytest.mark.parametrize("name", ["abacus", "option", "sqlite", "duckdb", "folder"])
def test_a_wrong_setting_ends_the_start_with_78(tmp_path: Path, name: str) -> None:
    (text,) = (text for (each, *_), text in WRONG.items() if each == name)

    output = wrong_sinks(tmp_path).run(name, "--admin-port", "0", code=78)

    assert text in output
    assert "Traceback" not in output


def test_a_check_tells_wrong_settings_of_all_sinks(tmp_path: Path) -> None:
    output = wrong_sinks(tmp_path).run("check", code=1)

    for (name, *_), text in WRONG.items():
        assert f"{name}: something is missing\n" in output
        assert text in output
    assert "Traceback" not in output
    assert "hunter2" not in output


def test_a_database_that_is_not_there_yet_is_waited_for(tmp_path: Path, postgres_server: PostgresServer) -> None:
    address = postgres_server.address("late")
    options = {**address.parameters, "port": int(address.parameters["port"]), "password_env": PASSWORD_ENV}
    operator = Operator(tmp_path, Sink("late", "postgres", events=True, objects=True, options=options))
    operator.send(0, 10)
    database = Database(postgres_server, "late")

    with started(worker := operator.process("late")):
        wait_until(lambda: "does not exist" in worker.stderr, DEADLINE_S, "the failure is told")
        with postgres_server.connect("postgres") as connection:
            connection.execute(b"CREATE DATABASE late")
        wait_until(lambda: "pipedrive.deals" in database.tables(), DEADLINE_S, "the table comes")
        wait_until(lambda: len(database.rows("pipedrive", "deals")) == 10, DEADLINE_S, "rows come")

    assert "Traceback" not in worker.stderr
    assert PASSWORD not in worker.stderr


def objects_written(worker: Process) -> dict[str, int]:
    """How many the worker says to have written, by sink: in one batch or in several."""
    lines = [line for line in worker.stderr.splitlines(keepends=True) if "batch.written" in line and line[-1] == "\n"]
    written: Counter[str] = Counter()
    for batch in map(json.loads, lines):
        written[batch["sink"]] += batch["objects"]
    return dict(written)


def test_a_check_finds_nothing_missing_beside_workers_that_run(tmp_path: Path) -> None:
    kinds = ("sqlite", "duckdb", "parquet")
    operator = Operator(tmp_path, *(Sink(kind, kind, events=True, objects=True) for kind in kinds))
    operator.send(0, 10)

    with started(worker := operator.process(*kinds)):
        wait_until(lambda: objects_written(worker) == dict.fromkeys(kinds, 10), DEADLINE_S, "rows come")
        assert operator.run("check") == "duckdb: fine\nparquet: fine\nsqlite: fine\n"
        operator.send(10, 20)
        wait_until(lambda: objects_written(worker) == dict.fromkeys(kinds, 20), DEADLINE_S, "more rows come")
        assert worker.stop()[0] == 0

    assert operator.rows() == 20
    assert len(duckdb_file.rows(tmp_path / "warehouse.duckdb", "pipedrive", "deals")) == 20
    assert len(parquet_files.rows(Folder(tmp_path / "parquet"), tmp_path, "pipedrive", "deals")) == 20
