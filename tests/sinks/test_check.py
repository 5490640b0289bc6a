"""The check of sinks: what is missing at destinations, found without giving them anything."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Sink
from hookmill.topics import TopicNames
from sinks.check import what_is_missing
from sinks.options import Surroundings
from sinks.rules import Rules
from sinks.warehouses.duckdb.sink import DuckdbWarehouse
from sinks.warehouses.parquet.folder import Folder
from sinks.warehouses.parquet.sink import ParquetWarehouse
from sinks.warehouses.postgres.connection import Address
from sinks.warehouses.postgres.sink import PostgresWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.disks import fill
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.s3_server import KEY_ID_ENV, SECRET_ENV, S3Server
from tests.sinks import database as database_file
from tests.sinks import duckdb_file
from tests.sinks.database import tables
from tests.sinks.destination import Destination, answering
from tests.sinks.messages import write
from tests.sinks.segment_server import WRITE_KEY, SegmentServer
from tests.sinks.test_duckdb_warehouse import another_process
from tests.sinks.test_parquet_warehouse import server
from tests.sinks.test_sqlite_warehouse import without_root
from tests.sinks.test_stream_webhook import SECRET

USER = "clerk"


async def missing(folder: Path, kind: str, **options: Any) -> list[str]:
    around = Surroundings(folder, SqliteLog(folder / "log"), TopicNames(partitions=1), allow_private=True)
    return list(await what_is_missing(Sink("checked", kind, events=True, objects=True, options=options), around))


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return postgres_server.empty_database()


@pytest.fixture
def clerk(database: Database) -> Iterator[Address]:
    """Of a user who may connect and nothing else."""
    database.query(f"CREATE USER {USER} PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    database.query(f"REVOKE TEMPORARY ON DATABASE {database.name} FROM PUBLIC")
    yield database.address(user=USER)
    database.query(f"GRANT TEMPORARY ON DATABASE {database.name} TO PUBLIC")
    database.query(f"DROP OWNED BY {USER} CASCADE")
    database.query(f"DROP USER {USER}")


async def granted(database: Database, sentences: list[str]) -> None:
    """What the sentences advise was done."""
    for sentence in sentences:
        database.query(sentence.removeprefix("A right is missing: "))


async def test_rights_that_are_missing_come_with_the_sql_that_grants_them(database: Database, clerk: Address) -> None:
    sentences = list(await PostgresWarehouse(clerk).check())

    assert sentences == [
        f'A right is missing: GRANT CREATE ON DATABASE "{database.name}" TO "{USER}";',
        f'A right is missing: GRANT TEMPORARY ON DATABASE "{database.name}" TO "{USER}";',
    ]
    await granted(database, sentences)
    assert await PostgresWarehouse(clerk).check() == []
    assert database.tables() == set()
    async with PostgresWarehouse(clerk) as sink:
        await sink.write([write("d1", 1, {"a": 1})])


async def test_rights_on_schemas_and_tables_of_another_user_are_asked_for(database: Database, clerk: Address) -> None:
    async with PostgresWarehouse(database.address(schema="raw")) as sink:
        await sink.write([write("d1", 1, {"a": 1})])
    address = Address(clerk.parameters, clerk.password_env, "raw")
    database.query(f"GRANT TEMPORARY ON DATABASE {database.name} TO {USER}")

    first = list(await PostgresWarehouse(address).check())
    await granted(database, first)
    database.query(f"GRANT SELECT, UPDATE, INSERT ON ALL TABLES IN SCHEMA raw TO {USER}")
    second = list(await PostgresWarehouse(address).check())

    assert first == [f'A right is missing: GRANT USAGE, CREATE ON SCHEMA "raw" TO "{USER}";']
    assert second == [f'A right is missing: ALTER TABLE "raw"."pipedrive__deals" OWNER TO "{USER}";']
    await granted(database, second)
    assert await PostgresWarehouse(address).check() == []


async def test_histories_of_another_user_are_asked_for_with_their_views(database: Database, clerk: Address) -> None:
    rules = Rules(history=True)
    async with PostgresWarehouse(database.address(schema="raw"), rules) as sink:
        await sink.write([write("d1", 1, {"a": 1})])
    address = Address(clerk.parameters, clerk.password_env, "raw")
    database.query(f"GRANT TEMPORARY ON DATABASE {database.name} TO {USER}")
    database.query(f"GRANT USAGE, CREATE ON SCHEMA raw TO {USER}")
    database.query(f"GRANT SELECT, UPDATE, INSERT, DELETE ON ALL TABLES IN SCHEMA raw TO {USER}")

    sentences = list(await PostgresWarehouse(address, rules).check())

    assert sentences == [
        f'A right is missing: ALTER TABLE "raw"."pipedrive__deals" OWNER TO "{USER}";',
        f'A right is missing: ALTER TABLE "raw"."pipedrive__deals__history" OWNER TO "{USER}";',
        f'A right is missing: ALTER VIEW "raw"."pipedrive__deals_history" OWNER TO "{USER}";',
    ]
    await granted(database, sentences)
    assert await PostgresWarehouse(address, rules).check() == []
    async with PostgresWarehouse(address, rules) as sink:
        await sink.write([write("d1", 2, {"b": 2})])
    assert {row["b"] for row in database.listed("raw", "pipedrive__deals_history")["pipedrive__deals_history"][1:]} == {
        2
    }


async def test_a_server_that_takes_no_changes_or_is_not_there_is_told(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = database.address().parameters
    options = {"host": "127.0.0.1", "dbname": database.name, "user": "postgres", "password_env": PASSWORD_ENV}

    assert await missing(tmp_path, "postgres", **options, port=int(parameters["port"])) == []
    (sentence,) = await missing(tmp_path, "postgres", **options, port=1)
    assert "refused" in sentence
    database.query(f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on')
    (sentence,) = await PostgresWarehouse(database.address()).check()
    assert "read-only" in sentence
    monkeypatch.setenv(PASSWORD_ENV, "wrong")
    (sentence,) = await missing(tmp_path, "postgres", **options, port=int(parameters["port"]))
    assert "password authentication failed" in sentence


async def test_a_sqlite_file_is_written_and_left_as_it_was(tmp_path: Path) -> None:
    async with SqliteWarehouse(tmp_path / "warehouse.db") as sink:
        await sink.write([write("d1", 1, {"a": 1})])

        assert await missing(tmp_path, "sqlite") == []

    assert tables(tmp_path / "warehouse.db") == {"pipedrive__deals"}
    (tmp_path / "note.db").write_text("This is no database, but a text that is long enough to be one." * 20)
    (sentence,) = await missing(tmp_path, "sqlite", path="note.db")
    assert "is not a SQLite database" in sentence
    (sentence,) = await missing(tmp_path, "sqlite", path="gone/w.db")
    assert "does not exist" in sentence


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "parquet"])
async def test_a_check_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    data_dir = tmp_path / "data"
    if kind == "parquet":
        (data_dir / "parquet").mkdir(parents=True)

    assert await missing(data_dir, kind) == []

    assert {left.name for left in data_dir.rglob("*")} - {"log"} <= {"parquet"}


async def test_a_file_of_somebody_gets_no_tables_of_ours(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mine.db")) as connection:
        connection.execute("CREATE TABLE notes (text)")
    duckdb_file.query(tmp_path / "mine.duckdb", "CREATE TABLE notes (text VARCHAR)")

    assert await missing(tmp_path, "sqlite", path="mine.db") == []
    assert await missing(tmp_path, "duckdb", path="mine.duckdb") == []

    assert database_file.query(tmp_path / "mine.db", "SELECT name FROM sqlite_master") == [("notes",)]
    assert duckdb_file.query(tmp_path / "mine.duckdb", "SELECT table_name FROM duckdb_tables()") == [("notes",)]


async def test_a_duckdb_file_that_another_process_has_open_cannot_be_tried(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    async with DuckdbWarehouse(file) as sink:
        await sink.write([write("d1", 1, {"a": 1})])

    with another_process(file, "reads") as pid:
        (sentence,) = await missing(tmp_path, "duckdb")

    assert f"{file}: another program has it open; end it, unless it is a worker of Hookmill" in sentence
    assert f"(PID {pid})" in sentence
    assert await missing(tmp_path, "duckdb") == []
    assert duckdb_file.tables(file) == {"pipedrive.deals"}


async def test_a_duckdb_file_that_a_worker_closes_when_it_is_idle_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.warehouses.duckdb.sink._PATIENCE_S", 60.0)
    file = tmp_path / "warehouse.duckdb"
    duckdb_file.query(file, "SELECT 1")

    with another_process(file, "writes", for_s=1.0):
        assert await missing(tmp_path, "duckdb") == []


async def test_what_is_wrong_with_a_duckdb_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "note.duckdb").write_text("This is no database, but a text that is long enough to be one." * 200)

    (sentence,) = await missing(tmp_path, "duckdb", path="note.duckdb")
    assert "note.duckdb: it is not a DuckDB database: name another file with the option path" in sentence
    (sentence,) = await missing(tmp_path, "duckdb", path="gone/w.duckdb")
    assert "gone does not exist" in sentence


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "parquet"])
async def test_a_full_disk_is_found(tmp_path: Path, small_disk: Path, kind: str) -> None:
    path = str(small_disk if kind == "parquet" else small_disk / "w")

    fill(small_disk / "filler")
    (sentence,) = await missing(tmp_path, kind, path=path)
    (small_disk / "filler").unlink()

    assert path in sentence
    assert "disk is full" in sentence or "No space left" in sentence
    assert await missing(tmp_path, kind, path=path) == []
    assert {left.name for left in small_disk.iterdir()} == {"lost+found"}


@pytest.mark.parametrize(("kind", "name"), [("sqlite", "w.db"), ("duckdb", "w.duckdb"), ("parquet", "")])
async def test_a_place_that_may_not_be_written_is_found(kind: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o555)
        with without_root():
            (sentence,) = await missing(Path(folder), kind, path=str(Path(folder, name)))
        Path(folder).chmod(0o755)

    assert str(Path(folder, name)) in sentence
    assert "Permission denied" in sentence


@pytest.mark.parametrize(("kind", "name"), [("sqlite", "w.db"), ("duckdb", "w.duckdb"), ("parquet", "lake")])
async def test_a_place_that_may_not_even_be_looked_at_is_found(kind: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "closed", "in").mkdir(mode=0o700, parents=True)
        Path(folder).chmod(0o755)
        Path(folder, "closed").chmod(0o700)
        with without_root():
            (sentence,) = await missing(Path(folder), kind, path=str(Path(folder, "closed", "in", name)))

    assert sentence.startswith(f'Sink "checked": {folder}/closed/in')
    assert "Permission denied; check its permissions" in sentence


async def test_folders_of_a_parquet_warehouse_that_another_user_owns_are_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        async with ParquetWarehouse(Folder(root), 0) as sink:
            await sink.write([write("d1", 1, {"a": 1})])
        (root / "foreign").mkdir(mode=0o700)
        root.chmod(0o777)
        with without_root():
            sentences = await missing(root, "parquet", path=name)

        assert sentences == [
            f"A right is missing: let user 65534 read and write {root / path} (chown, chmod)."
            for path in ("_inbox", "_scratch", "_lock", "pipedrive", "pipedrive/objects", "pipedrive/objects/deals")
        ]
        assert await missing(root, "parquet", path=name) == []


async def test_a_bucket_is_tried_and_left_as_it_was(tmp_path: Path, s3_server: S3Server) -> None:
    store = s3_server.empty_bucket()
    options = bucket_options(s3_server, str(store))

    assert await missing(tmp_path, "parquet", **options) == []

    store.open()
    assert store.list("") == []
    (sentence,) = await missing(tmp_path, "parquet", **{**options, "url": "s3://no-such"})
    assert sentence == "Parquet warehouse s3://no-such: the bucket does not exist: create it."
    (sentence,) = await missing(tmp_path, "parquet", **{**options, "access_key_id_env": "NOT_SET"})
    assert "The environment variable NOT_SET is empty" in sentence


async def test_each_right_that_is_missing_on_a_bucket_is_named(tmp_path: Path, s3_server: S3Server) -> None:
    store = s3_server.empty_bucket()
    options = bucket_options(s3_server, str(store))

    for rights in (["PutObject"], ["GetObject"], ["DeleteObject"], ["PutObject", "DeleteObject"]):
        s3_server.deny(store, *(f"s3:{right}" for right in rights))
        assert await missing(tmp_path, "parquet", **options) == [
            f"A right is missing: allow s3:{right} for {store}." for right in rights
        ]
    s3_server.deny(store)
    assert await missing(tmp_path, "parquet", **options) == []


async def test_a_bucket_that_refuses_everything_refuses_the_credentials(tmp_path: Path, s3_server: S3Server) -> None:
    refusal = b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId></Error>"
    with server(403, refusal) as endpoint:
        options = {**bucket_options(s3_server, "s3://b"), "endpoint": endpoint}
        (sentence,) = await missing(tmp_path, "parquet", **options)

    assert sentence.startswith("Parquet warehouse s3://b: S3 refuses the credentials, or a right is missing")
    assert "AKIA" not in sentence


def bucket_options(server: S3Server, url: str) -> dict[str, str]:
    return {
        "url": url,
        "endpoint": server.endpoint,
        "access_key_id_env": KEY_ID_ENV,
        "secret_access_key_env": SECRET_ENV,
    }


async def test_a_file_of_lines_is_not_made_and_may_be_in_use(tmp_path: Path) -> None:
    assert await missing(tmp_path, "jsonl", path="out.jsonl") == []
    assert not (tmp_path / "out.jsonl").exists()

    (tmp_path / "out.jsonl").write_text("half a li")

    assert await missing(tmp_path, "jsonl", path="out.jsonl") == []
    assert (tmp_path / "out.jsonl").read_text() == "half a li"


async def test_an_endpoint_for_webhooks_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    async with Destination() as destination:
        options = {"url": destination.url("/in"), "secret_env": "HOOK_SECRET"}
        destination.answer = answering(405)

        assert await missing(tmp_path, "webhook", **options) == []
        assert [request.body for request in destination.requests] == [b""]
        destination.answer = answering(503)
        assert await missing(tmp_path, "webhook", **options) == ["127.0.0.1 answered 503."]
        monkeypatch.delenv("HOOK_SECRET")
        (sentence,) = await missing(tmp_path, "webhook", **options)
        assert "HOOK_SECRET is empty" in sentence
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (sentence,) = await missing(tmp_path, "webhook", **options)
    assert "no connection could be made" in sentence


async def test_a_write_key_of_segment_is_tried_without_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = SegmentServer()
    monkeypatch.setenv("KEY", WRITE_KEY)
    async with Destination() as destination:
        destination.answer = segment.answer
        options = {"url": destination.url(""), "objects_url": destination.url(""), "write_key_env": "KEY"}

        assert await missing(tmp_path, "segment", **options) == []
        assert [json.loads(request.body).get("batch") for request in destination.requests] == [[], None]
        assert (segment.events, segment.objects, segment.dropped) == ([], {}, [])
        monkeypatch.setenv("KEY", "another")
        assert await missing(tmp_path, "segment", **options) == ["127.0.0.1 answered 401."]
