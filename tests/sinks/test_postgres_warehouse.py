"""What is the PostgreSQL warehouse's own: names, types, several workers, failures of the server and of rows."""

import asyncio
import math
import random
import re
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hookmill.errors import ConfigError
from sinks.contract import Message, RecordRejected, SinkUnavailable, SourcedObject
from sinks.rules import Rules
from sinks.warehouses.postgres.connection import Address
from sinks.warehouses.postgres.options import PostgresOptions
from sinks.warehouses.postgres.sink import PostgresWarehouse
from tests.disks import small_file_system, written_after_full_disk
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import or_skip
from tests.sinks.messages import deletion, event, write

SEED = 20_261_124
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "postgres.md"

HOSTILE = (
    'a"b',
    "a'); DROP TABLE x; --",
    "%s {} %(x)s",
    "a\x00b",
    "x" * 10_000,
    "select",
    "🎉",
    "id",
    "_versions",
    "_expected",
    "xmin",
    "ctid",
    "ORDER",
    "order",
    " ",
    "1st",
    "pg-class",
    "information-schema",
)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return postgres_server.empty_database()


async def written(database: Database, *batches: list[Message]) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        for batch in batches:
            await sink.write(batch)


async def test_each_source_has_a_schema(database: Database) -> None:
    await written(database, [write("1", 1, {}), event("m1", source="my-shop", event="Order Paid")])

    assert database.tables() == {"pipedrive.deals", "my_shop.tracks", "my_shop.order_paid"}


async def test_one_schema_can_hold_all_sources(database: Database) -> None:
    async with PostgresWarehouse(database.address(schema="Raw Data")) as sink:
        await sink.write([write("1", 1, {}), event("m1", source="my-shop", event="Order Paid")])

    assert database.tables() == {
        "Raw Data.pipedrive__deals",
        "Raw Data.my_shop__tracks",
        "Raw Data.my_shop__order_paid",
    }


async def test_hostile_names_are_only_names(database: Database) -> None:
    objects = [write("1", 1, dict.fromkeys(HOSTILE, "kept"), collection=name, source=name) for name in HOSTILE]
    events = [
        event(f"m{index}", source=name, event=name, properties=dict.fromkeys(HOSTILE, "kept"))
        for index, name in enumerate(HOSTILE)
    ]

    await written(database, [*objects, *events], [*objects, *events])

    row = database.rows("order", "order")["1"]
    assert {
        "a_b",
        "select",
        "_id",
        "versions",
        "_xmin",
        "_ctid",
        "_1st",
        "pg_class",
        "information_schema",
    } <= row.keys()
    # Two pairs of names come to one column (a"b and a NUL b; ORDER and order): 18 names, 16 columns.
    assert list(row.values()).count("kept") == 16
    assert {"_pg_class.pg_class", "_information_schema.information_schema"} <= database.tables()


async def test_foreign_tables_and_types_in_the_way_are_not_touched(database: Database) -> None:
    database.query("CREATE SCHEMA pipedrive CREATE TABLE deals (mine text)")
    database.query("CREATE TYPE pipedrive.leads AS ENUM ('a')")

    await written(database, [write("1", 1, {"a": 1}), write("1", 1, {"a": 2}, collection="leads")])

    assert database.query("SELECT count(*) FROM pipedrive.deals") == [(0,)]
    assert database.rows("pipedrive", "deals__objects")["1"]["a"] == 1
    assert database.rows("pipedrive", "leads__objects")["1"]["a"] == 2


async def test_columns_have_the_type_of_their_first_value(database: Database) -> None:
    await written(
        database,
        [
            write(
                "1", 1, {"n": 1, "x": 1.5, "is": True, "at": "2026-11-23T10:00:00+02:00", "on": "2026-11-23", "s": "x"}
            )
        ],
    )

    assert database.types("pipedrive", "deals") == {
        "id": "text",
        "received_at": "timestamp with time zone",
        "n": "bigint",
        "x": "double precision",
        "is": "boolean",
        "at": "timestamp with time zone",
        "on": "timestamp with time zone",
        "s": "text",
        "_versions": "text",
    }
    at = database.query("SELECT \"at\" = '2026-11-23T08:00:00Z', \"on\" = '2026-11-23T00:00:00Z' FROM pipedrive.deals")
    assert at == [(True, True)]


@pytest.mark.parametrize(
    ("values", "column_type", "kept"),
    [
        ([1, 2.5], "double precision", [1.0, 2.5]),
        ([1.5, 2], "double precision", [1.5, 2.0]),
        ([2**53 + 1, 2.5], "text", ["9007199254740993", "2.5"]),
        ([1.5, 2**53 + 1], "text", ["1.5", "9007199254740993"]),
        ([1, "x"], "text", ["1", "x"]),
        ([2.0, "x"], "text", ["2", "x"]),
        ([True, 1], "text", ["true", "1"]),
        ([1, True], "text", ["1", "true"]),
        ([2**70, 1], "text", [str(2**70), "1"]),
        ([1, [2, {"a": None}]], "text", ["1", '[2,{"a":null}]']),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_column_becomes_wide_enough_for_every_value(
    database: Database, values: list[Any], column_type: str, kept: list[Any], together: bool
) -> None:
    writes: list[Message] = [write(str(index), 1, {"v": value}) for index, value in enumerate(values)]

    await written(database, *([writes] if together else [[each] for each in writes]))

    assert database.types("pipedrive", "deals")["v"] == column_type
    assert [database.rows("pipedrive", "deals")[str(index)]["v"] for index in range(len(values))] == kept


async def test_a_time_that_is_none_goes_beside_its_column(database: Database) -> None:
    await written(
        database,
        [write("0", 1, {"at": "2026-02-30"}), write("1", 1, {"at": "2026-11-23"})],
        [write("2", 1, {"at": "soon"}), write("3", 1, {"at": "2026-11-24T10:00:00Z"})],
        [write("1", 2, {"at": 5})],
        [write("2", 2, {"at": "2026-11-25"})],
    )

    assert database.query('SELECT id, "at"::text, at__text FROM pipedrive.deals ORDER BY id') == [
        ("0", None, "2026-02-30"),
        ("1", None, "5"),
        ("2", "2026-11-25 00:00:00+00", None),
        ("3", "2026-11-24 10:00:00+00", None),
    ]


async def test_a_column_that_a_view_holds_gets_another_beside_it(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"v": 1}), event("m1", event="Paid", properties={"v": 1})])
        database.query("CREATE VIEW report AS SELECT v FROM pipedrive.deals")
        database.query("CREATE VIEW report_of_events AS SELECT v FROM pipedrive.paid")
        await sink.write([write("1", 2, {"v": "many"}), event("m2", event="Paid", properties={"v": "many"})])
        await sink.write([write("2", 1, {"v": 2})])

    assert database.query("SELECT id, v, v__text FROM pipedrive.deals ORDER BY id") == [
        ("1", None, "many"),
        ("2", 2, None),
    ]
    assert database.query("SELECT id, v, v__text FROM pipedrive.paid ORDER BY id") == [
        ("m1", 1, None),
        ("m2", None, "many"),
    ]


async def test_rights_on_a_history_outlast_new_columns_and_types(database: Database) -> None:
    async with PostgresWarehouse(database.address(schema="raw"), Rules(history=True)) as sink:
        await sink.write([write("1", 1, {"v": 1, "old": "A"})])
        database.query("GRANT SELECT ON raw.pipedrive__deals_history TO pg_monitor")
        await sink.write([write("1", 2, {"v": "many", "new": 2.5})])

    assert database.query("SELECT v, v__text, old, new FROM raw.pipedrive__deals_history ORDER BY valid_from") == [
        (1, None, "A", None),
        (None, "many", "A", 2.5),
    ]
    privilege = "SELECT has_table_privilege('pg_monitor', 'raw.pipedrive__deals_history', 'SELECT')"
    assert database.query(privilege) == [(True,)]


async def test_a_column_that_somebody_gave_a_type_of_their_own_loses_nothing(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"v": 1})])
        database.query("ALTER TABLE pipedrive.deals ALTER COLUMN v TYPE numeric(10, 2)")
    await written(database, [write("2", 1, {"v": 2})])

    assert database.query("SELECT id, v::float, v__text FROM pipedrive.deals ORDER BY id") == [
        ("1", 1, None),
        ("2", None, "2"),
    ]


async def test_workers_write_the_same_objects_at_the_same_time(database: Database) -> None:
    """Every worker meets objects, columns and types that another one is just making, or deleting."""
    chance = random.Random(SEED)
    writes = [
        write(f"d{chance.randrange(40)}", n, {f"p{chance.randrange(30)}": chance.choice((n, n + 0.5, f"text {n}"))})
        if chance.random() < 0.99
        else deletion(f"d{chance.randrange(40)}", n)
        for n in range(1_200)
    ]
    expected: dict[str, dict[str, Any]] = {}
    for message in writes:
        if message.write.deleted:
            expected.pop(message.write.id, None)
        else:
            expected.setdefault(message.write.id, {}).update(message.write.properties)
    shares = [chance.sample(writes, len(writes)) for _ in range(3)]

    async def work(share: list[Any]) -> None:
        async with PostgresWarehouse(database.address()) as sink:
            for first in range(0, len(share), 60):
                while True:
                    try:
                        await sink.write(share[first : first + 60])
                        break
                    except SinkUnavailable:  # as its worker: the same batch again
                        continue

    async with asyncio.TaskGroup() as workers:
        for share in shares:
            workers.create_task(work(share))

    found = {
        name: {column: value for column, value in row.items() if column not in ("id", "received_at")}
        for name, row in database.rows("pipedrive", "deals").items()
    }
    assert {name: {column: str(value) for column, value in row.items()} for name, row in found.items()} == {
        name: {column: str(value) for column, value in row.items()} for name, row in expected.items()
    }


async def test_what_somebody_dropped_comes_back(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"a": 1, "b": 1})])
        for change in (
            "ALTER TABLE pipedrive.deals DROP COLUMN b",
            "DROP TABLE pipedrive.deals",
            "DROP SCHEMA pipedrive CASCADE",
        ):
            database.query(change)
            with pytest.raises(SinkUnavailable, match="changed by somebody else"):
                await sink.write([write("1", 2, {"a": 2, "b": 2})])
            await sink.write([write("1", 2, {"a": 2, "b": 2})])
            assert database.rows("pipedrive", "deals")["1"].keys() >= {"a", "b"}


async def test_a_dropped_table_comes_back_without_its_tombstones(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"a": 1}), deletion("1", 2)])
        assert database.query("SELECT id, deleted_at FROM hookmill._hookmill_tombstones") == [
            ("1", datetime(2025, 11, 24, 16, 0, 0, 2, UTC))
        ]
        database.query("DROP TABLE pipedrive.deals")
        with pytest.raises(SinkUnavailable, match="changed by somebody else"):
            await sink.write([write("1", 1, {"a": 1})])
        await sink.write([write("1", 1, {"a": 1})])

    assert database.rows("pipedrive", "deals")["1"]["a"] == 1


async def test_a_collection_that_was_rebuilt_beside_the_old_one_takes_its_place(database: Database) -> None:
    """By the statements of the documentation, while the sink of the old table is open."""
    swap = re.search(r"```sql\n\s+(BEGIN;.*?COMMIT;)", DOCUMENTATION.read_text(), re.DOTALL)
    assert swap is not None
    old: list[Message] = [write("d1", 1, {"a": 1, "gone": 1}), write("d2", 2, {"a": 2}), write("d3", 3, {"a": 3})]
    live = write("d4", 5, {"a": 5})
    new: list[Message] = [recomputed(write("d1", 1, {"a": 10, "b": "new"})), recomputed(deletion("d2", 2)), live]

    async with PostgresWarehouse(database.address()) as warehouse:
        await warehouse.write([*old, deletion("d3", 4), live])
        async with PostgresWarehouse(database.address(schema="rebuilt")) as rebuilt:
            await rebuilt.write(old)
            database.query("DROP TABLE rebuilt.pipedrive__deals")
            await rebuilt.write(new)
        with database.server.connect(database.name) as connection:
            connection.execute(swap.group(1).encode())
        await warehouse.write([live, write("d1", 6, {"c": 6}), write("d2", 1, {"a": 1})])

    assert {key: set(row) - {"id", "received_at"} for key, row in database.rows("pipedrive", "deals").items()} == {
        "d1": {"a", "b", "c"},
        "d4": {"a"},
    }
    assert database.rows("pipedrive", "deals")["d1"]["a"] == 10
    assert database.query("SELECT table_name, id FROM hookmill._hookmill_tombstones") == [("deals", "d2")]
    assert database.tables() == {"pipedrive.deals"}


def recomputed(message: SourcedObject) -> SourcedObject:
    *place, _, index = message.write.version
    return SourcedObject(
        message.source, msgspec.structs.replace(message.write, version=(*place, 7, index)), message.raw
    )


async def test_a_warehouse_from_before_deletions_gets_tombstones(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"a": 1})])
    database.query("DROP TABLE hookmill._hookmill_tombstones")

    await written(database, [deletion("1", 2)], [write("1", 1, {"a": 1})])

    assert database.rows("pipedrive", "deals") == {}


async def test_a_warehouse_from_before_histories_can_keep_them(database: Database) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"a": 1})])
    database.query("DROP TABLE hookmill._hookmill_histories")

    async with PostgresWarehouse(database.address(), Rules(history=True)) as sink:
        await sink.write([write("1", 2, {"a": 2})])

    assert [row["a"] for row in database.listed("pipedrive", "deals_history")["deals_history"]] == [2]


@pytest.mark.parametrize(
    ("constraint", "refused", "error"),
    [("CHECK (v < 100)", 1_000, "23514 (CheckViolation)"), ("UNIQUE (v)", 0, "23505 (UniqueViolation)")],
)
async def test_rows_that_a_constraint_refuses_are_named_and_the_others_stay(
    database: Database, constraint: str, refused: int, error: str
) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("0", 1, {"v": 0})])
        database.query(f"ALTER TABLE pipedrive.deals ADD {constraint}")
        batch = [write(str(n), 2, {"v": refused if n in (3, 17) else n}) for n in range(1, 20)]

        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)

        assert caught.value.rejected == dict.fromkeys((2, 16), f"PostgreSQL refuses it with {error}")
        assert database.rows("pipedrive", "deals").keys() == {"0"}
        await sink.write([message for index, message in enumerate(batch) if index not in caught.value.rejected])

    assert len(database.rows("pipedrive", "deals")) == 18


PAUSED_INDEX = (
    """CREATE FUNCTION public.paused(text) RETURNS text IMMUTABLE LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN $1; END'""",
    "ALTER TABLE pipedrive.deals__history DROP CONSTRAINT deals__history_pkey",
    "ALTER TABLE pipedrive.deals__history DROP CONSTRAINT deals__history__object_id_id_key",
    "CREATE INDEX ON pipedrive.deals__history (public.paused(id))",
    "ALTER TABLE pipedrive.deals__history ADD PRIMARY KEY (id), ADD UNIQUE (_object_id, id)",
)
"""A row waits for the advisory lock 1 after its id was not found and before the unique indexes, made later, have it."""


async def test_a_row_of_a_history_that_two_workers_write_at_once_is_not_refused(database: Database) -> None:
    message = write("1", 1, {"a": 1})
    async with PostgresWarehouse(database.address(), Rules(history=True)) as sink:
        await sink.write([message])
        for statement in PAUSED_INDEX:
            database.query(statement)
        with database.server.connect(database.name) as other:
            other.execute("SELECT pg_advisory_lock(1)")
            (row,) = other.execute("DELETE FROM pipedrive.deals__history RETURNING id, _object_id").fetchall()
            again = asyncio.create_task(sink.write([message]))
            async with asyncio.timeout(30):
                while not database.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.05)
            other.execute("INSERT INTO pipedrive.deals__history (id, _object_id) VALUES (%s, %s)", row)
            other.execute("SELECT pg_advisory_unlock(1)")

        await again

    assert database.query("SELECT id, _object_id FROM pipedrive.deals__history") == [row]


async def test_a_batch_of_refused_rows_is_told_in_parts(database: Database) -> None:
    """As the worker does it: what is refused is taken out, the rest is written again."""
    batch: list[Message] = [write(str(n), 1, {"v": n}) for n in range(400)]
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("good", 1, {"v": 1_000})])
        database.query("ALTER TABLE pipedrive.deals ADD CHECK (v >= 250)")
        parts = []
        while True:
            try:
                await sink.write(batch)
                break
            except RecordRejected as error:
                parts.append(len(error.rejected))
                batch = [message for index, message in enumerate(batch) if index not in error.rejected]

    assert sum(parts) == 250
    assert max(parts) == 100
    assert len(database.rows("pipedrive", "deals")) == 151


async def test_an_id_too_long_for_an_index_is_refused_alone(database: Database) -> None:
    chance = random.Random(SEED)
    long_id = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))

    with pytest.raises(RecordRejected) as caught:
        await written(database, [write("1", 1, {"a": 1}), write(long_id, 1, {"a": 1})])

    assert caught.value.rejected == {1: "PostgreSQL refuses it with 54000 (ProgramLimitExceeded)"}


async def test_a_recomputed_event_takes_the_place_of_the_old_one_whatever_it_is_called(database: Database) -> None:
    def made_by(generation: int, **fields: Any) -> Message:
        return msgspec.structs.replace(event("m1", **fields), generation=generation)

    old, new = made_by(0, event="Paid", properties={"total": 1}), made_by(7, event="Refunded", properties={"total": 2})

    await written(database, [old, event("m2", event="Paid")], [new], [old], [new])

    assert database.rows("pipedrive", "paid").keys() == {"m2"}
    assert database.rows("pipedrive", "refunded")["m1"]["total"] == 2
    assert database.rows("pipedrive", "tracks")["m1"]["event"] == "refunded"


@pytest.fixture
def no_rights(database: Database) -> Iterator[str]:
    """A user who may connect and nothing else."""
    user = "guest"
    database.query(f"CREATE USER {user} PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    yield user
    with database.server.connect("postgres") as connection:
        connection.execute(f"DROP USER {user}".encode())


async def refusal_of(address: Address) -> str:
    with pytest.raises(SinkUnavailable) as caught:
        await PostgresWarehouse(address).__aenter__()
    whole = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in whole
    return str(caught.value)


async def test_wrong_settings_are_named_without_the_password(
    database: Database, no_rights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a right is missing: GRANT CREATE" in await refusal_of(database.address(user=no_rights))
    assert 'database "nothing" does not exist' in await refusal_of(database.server.address("nothing"))
    nowhere = Address({**database.address().parameters, "port": "1"}, PASSWORD_ENV)
    assert "refused" in await refusal_of(nowhere)
    database.query(f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on')
    assert "it takes no changes" in await refusal_of(database.address())
    monkeypatch.setenv(PASSWORD_ENV, "wrong")
    assert "password authentication failed" in await refusal_of(database.address())
    monkeypatch.delenv(PASSWORD_ENV)
    assert f"The environment variable {PASSWORD_ENV} is empty" in await refusal_of(database.address())


async def test_a_database_of_another_encoding_is_a_wrong_setting(database: Database) -> None:
    name = "latin"
    database.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")

    with pytest.raises(ConfigError, match="its encoding is LATIN1"):
        await PostgresWarehouse(database.server.address(name)).__aenter__()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (PostgresOptions(url="postgresql://u:hunter2@h/d"), "url must not hold a password"),
        (PostgresOptions(url="postgresql://u@h:x y/hunter2"), "url cannot be read"),
        (PostgresOptions(url="hunter2"), "url cannot be read"),
        (PostgresOptions(schema="pg_mine"), "PostgreSQL reserves"),
        (PostgresOptions(host=""), "host must be a text"),
    ],
)
def test_wrong_options_are_refused_without_quoting_them(options: PostgresOptions, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        options.check()

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_server_that_says_nothing_is_given_up_and_its_connection_cut(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        with database.server.connect(database.name) as other:
            other.execute("SET lock_timeout = '30s'")
            with other.transaction():
                other.execute("LOCK TABLE pipedrive.deals")
                monkeypatch.setattr("sinks.warehouses.postgres.sink._DEADLINE_S", 0.2)
                with pytest.raises(SinkUnavailable, match=r"has not answered for 0\.2 s"):
                    await sink.write([write("2", 1, {"a": 2})])
                monkeypatch.undo()
        await sink.write([write("2", 1, {"a": 2})])

    assert database.rows("pipedrive", "deals").keys() == {"1", "2"}


async def test_a_killed_server_loses_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its main process dies by SIGKILL in the middle of batches, which are then written again."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    server = PostgresServer()
    try:
        server.start()
        database = server.empty_database()
        batches = [
            [event(f"m{n}", event="Paid", properties={"n": n}) for n in range(first, first + 500)]
            + [write(f"d{n % 700}", n, {"n": n, f"p{n % 3}": n}) for n in range(first, first + 500)]
            for first in range(0, 6_000, 500)
        ]
        failures = 0
        async with PostgresWarehouse(database.address()) as sink:
            for number, batch in enumerate(batches):
                writing = asyncio.create_task(sink.write(batch))
                if number % 4 == 1:
                    await asyncio.sleep(0.01 * math.sqrt(number))
                    server.kill()
                while True:
                    try:
                        await writing
                        break
                    except SinkUnavailable:
                        failures += 1
                        await asyncio.to_thread(server.start)
                        writing = asyncio.create_task(sink.write(batch))

        assert failures >= 3
        assert database.query("SELECT count(*), count(DISTINCT n), sum(n) FROM pipedrive.paid") == [
            (6_000, 6_000, sum(range(6_000)))
        ]
        expected: dict[str, dict[str, int]] = {}
        for n in range(6_000):
            expected.setdefault(f"d{n % 700}", {}).update({"n": n, f"p{n % 3}": n})
        found = database.rows("pipedrive", "deals")
        assert {
            name: {column: value for column, value in row.items() if column not in ("id", "received_at")}
            for name, row in found.items()
        } == expected
    finally:
        server.stop()


@pytest.fixture
def database_on_small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Database, Path]]:
    """A database in a folder of a small file system, and that folder. The server's other files are elsewhere."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    server = or_skip(PostgresServer)
    try:
        server.start()
        with tempfile.TemporaryDirectory() as name, small_file_system(Path(name), 32) as disk:
            Path(name).chmod(0o755)  # pytest's own folders are closed to other users
            (disk / "tablespace").mkdir()
            shutil.chown(disk / "tablespace", "nobody")
            with server.connect("postgres") as connection:
                connection.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'tablespace'}'".encode())
                connection.execute(b"CREATE DATABASE small TABLESPACE small TEMPLATE template0")
            yield Database(server, "small"), disk
    finally:
        server.stop()


async def test_a_full_disk_is_waited_for(database_on_small_disk: tuple[Database, Path]) -> None:
    database, disk = database_on_small_disk
    batch: list[Message] = [write(str(n), 1, {"text": "x" * 1_000}) for n in range(2_000)]
    async with PostgresWarehouse(database.address()) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        await written_after_full_disk(sink, batch, disk, r"/small: it is out of disk, memory or connections \(53100")

    assert len(database.rows("pipedrive", "deals")) == 2_001
