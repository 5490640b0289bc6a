"""A real ClickHouse for tests: the engine in this process (PyPI `chdb`), or a server by its address."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.rules import DEFAULT, Rules
from sinks.warehouses.clickhouse.connection import SETTINGS
from sinks.warehouses.clickhouse.sink import ClickHouseWarehouse

URL: Final = "HOOKMILL_TEST_CLICKHOUSE_URL"
"""Of a server that tests may make databases on: `http://user:password@host:8123`."""


class ClickHouseEngine:
    """Databases for tests. A process has one engine, so all tests of it share a folder."""

    def __init__(self, folder: Path) -> None:
        self._url = os.environ.get(URL)
        self._folder = folder
        if self._url is None and find_spec("chdb") is None:
            raise ConfigError(f"ClickHouse for the tests is missing: make test-more, or set {URL}")

    def empty_database(self) -> "Database":
        """A new one."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        client = self.connect("default")
        client.command(f"CREATE DATABASE {name}")
        client.close()
        return Database(self, name)

    def connect(self, database: str) -> Client:
        """A client with the settings of the warehouse."""
        if self._url is not None:
            return clickhouse_connect.get_client(dsn=self._url, database=database, settings=SETTINGS)
        settings = {**SETTINGS, "fsync_metadata": 0}  # tables are made by the hundred, and no power is cut
        return clickhouse_connect.get_client(
            interface="chdb", path=str(self._folder), database=database, settings=settings
        )


class Database:
    """A database of its own, looked at from outside."""

    def __init__(self, engine: ClickHouseEngine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._seen: list[str] | None = None

    def connect(self) -> Client:
        client = self._engine.connect(self.name)
        return client if self._seen is None else _overheard(client, self._seen)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What clients that are opened within the context send."""
        self._seen = []
        try:
            yield self._seen
        finally:
            self._seen = None

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return ClickHouseWarehouse(self.connect, self.name, rules)

    def query(self, sql: str) -> list[Any]:
        """All rows of the result."""
        client = self.connect()
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    def run(self, sql: str) -> None:
        """A statement without a result."""
        client = self.connect()
        try:
            client.command(sql)
        finally:
            client.close()

    def views(self) -> list[str]:
        """What is there for people to look at."""
        sql = f"SELECT name FROM system.tables WHERE database = '{self.name}' AND engine = 'View'"
        return [name for (name,) in self.query(sql)]

    def rows(self, view: str) -> dict[str, dict[str, Any]]:
        """Rows by id, without nulls."""
        return self.rows_of([view])[view]

    def rows_of(self, views: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """As `rows`, by view."""
        return {view: {row["id"]: row for row in rows} for view, rows in self.listed(views).items()}

    def listed(self, views: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """All rows by view, otherwise as `rows`."""
        client = self.connect()
        try:
            found = {view: client.query(f"SELECT * FROM `{view}`").named_results() for view in views}
            return {view: [_without_nulls(row) for row in rows] for view, rows in found.items()}
        finally:
            client.close()

    def types(self, table: str) -> dict[str, str]:
        """Names and types of columns."""
        sql = f"SELECT name, type FROM system.columns WHERE database = '{self.name}' AND table = '{table}'"
        return dict(self.query(sql))


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _overheard(client: Client, seen: list[str]) -> Client:
    """The client, with its statements in `seen`; of an insert the part that is no data."""
    command, query, insert = client.command, client.query, client.insert

    def heard_command(cmd: str, *arguments: Any, **options: Any) -> Any:
        seen.append(cmd)
        return command(cmd, *arguments, **options)

    def heard_query(sql: str, *arguments: Any, **options: Any) -> Any:
        seen.append(sql)
        return query(sql, *arguments, **options)

    def heard_insert(table: str, *arguments: Any, **options: Any) -> Any:
        columns = ", ".join(f"`{name}`" for name in options["column_names"])
        seen.append(f"INSERT INTO `{table}` ({columns})")
        return insert(table, *arguments, **options)

    for name, method in (("command", heard_command), ("query", heard_query), ("insert", heard_insert)):
        setattr(client, name, method)
    return client
