"""The check of sinks: what is missing at destinations, found without giving them anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Sink
from hookmill.topics import TopicNames
from sinks.check import what_is_missing
from sinks.options import Surroundings
from sinks.rules import Rules
from sinks.warehouses.postgres.connection import Address
from sinks.warehouses.postgres.sink import PostgresWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.sinks.database import tables
from tests.sinks.destination import Destination, answering
from tests.sinks.messages import write
from tests.sinks.segment_server import WRITE_KEY, SegmentServer
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
