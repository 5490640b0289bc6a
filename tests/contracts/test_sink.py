"""The contract of `sinks.contract.Sink` for warehouses: every one passes this suite on its real engine."""

import asyncio
import contextlib
import random
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import pytest

from sinks.contract import Message, RecordRejected, Sink, SinkUnavailable, SourcedObject
from sinks.rules import DEFAULT, Merge, Names, Rules
from sinks.schema import MAX_COLUMNS
from sinks.warehouses.duckdb.sink import DuckdbWarehouse
from sinks.warehouses.parquet.folder import Folder
from sinks.warehouses.parquet.sink import ParquetWarehouse
from sinks.warehouses.parquet.store import Store
from sinks.warehouses.postgres.sink import PostgresWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.clickhouse_engine import ClickHouseEngine
from tests.postgres_server import PostgresServer
from tests.sinks.database import listed, rows, tables
from tests.sinks.duckdb_file import listed as duckdb_listed
from tests.sinks.duckdb_file import rows as duckdb_rows
from tests.sinks.duckdb_file import tables as duckdb_tables
from tests.sinks.duckdb_file import traced
from tests.sinks.messages import RECEIVED_AT, deletion, event, write
from tests.sinks.parquet_files import rows as parquet_rows
from tests.sinks.parquet_files import tables as parquet_tables

T = TypeVar("T")

SEED = 20_261_123
STANDARD = {"received_at": RECEIVED_AT}


class Warehouse(Protocol):
    """A warehouse under test: opened as often as asked, and looked at from outside."""

    nul: str
    """What a NUL becomes."""
    mixed: tuple[Any, ...]
    """What the values of a column that has every type become."""

    def sink(self, rules: Rules = DEFAULT) -> Sink: ...

    def rows(self, source: str, table: str) -> dict[str, dict[str, Any]]:
        """Rows by id, without columns of our own and without nulls."""
        ...

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        """All tables of the source, each as by `rows`."""
        ...

    def statements(self) -> AbstractContextManager[list[str]]:
        """All SQL that sinks send within the context; the list is complete when it is left."""
        ...


class Historian(Warehouse, Protocol):
    """A warehouse that can keep histories."""

    def listed(self, source: str, view: str) -> list[dict[str, Any]]:
        """All rows of the view, as it has them, without nulls."""
        ...


class _Sqlite:
    nul = "\x00"
    mixed = (7, 1.5, "007", "2026-11-23", '[1,"a"]', 1, "text")

    def __init__(self, folder: Path) -> None:
        self._file = folder / "warehouse.db"

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return SqliteWarehouse(self._file, rules)

    def rows(self, source: str, table: str) -> dict[str, dict[str, Any]]:
        return rows(self._file, f"{source}__{table}")

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        prefix = f"{source}__"
        names = [name for name in tables(self._file) if name.startswith(prefix)]
        return {name.removeprefix(prefix): rows(self._file, name) for name in names}

    def listed(self, source: str, view: str) -> list[dict[str, Any]]:
        return listed(self._file, f"{source}__{view}")

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        seen: list[str] = []
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(seen.append)
            return connection

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite3, "connect", traced)
            yield seen


class _Postgres:
    nul = "\u2400"
    mixed = ("7", "1.5", "007", "2026-11-23", '[1,"a"]', "true", "text")

    def __init__(self, server: PostgresServer) -> None:
        self._database = server.empty_database()

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return PostgresWarehouse(self._database.address(), rules)

    def rows(self, source: str, table: str) -> dict[str, dict[str, Any]]:
        return self._rows(source, table)[table]

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        prefix = f"{source}."
        names = [name.removeprefix(prefix) for name in self._database.tables() if name.startswith(prefix)]
        return self._rows(source, *names)

    def listed(self, source: str, view: str) -> list[dict[str, Any]]:
        return self._database.listed(source, view)[view]

    def _rows(self, source: str, *tables: str) -> dict[str, dict[str, dict[str, Any]]]:
        return {
            table: {key: {name: _as_iso(value) for name, value in row.items()} for key, row in found.items()}
            for table, found in self._database.content(source, *tables).items()
        }

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        seen: list[str] = []
        before = len(self._database.server.log())
        self._database.query(f"ALTER DATABASE {self._database.name} SET log_statement = 'all'")
        yield seen
        entries = re.split(r"^\d{4}-\d\d-\d\d .*?\[\d+\] ", self._database.server.log()[before:], flags=re.MULTILINE)
        seen += [entry for entry in entries if re.match("LOG:  (statement|execute .*?):", entry)]


class _Duckdb:
    nul = "\u2400"
    mixed = ("7", "1.5", "007", "2026-11-23", '[1,"a"]', "true", "text")

    def __init__(self, folder: Path) -> None:
        self._file = folder / "warehouse.duckdb"

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return DuckdbWarehouse(self._file, rules)

    def rows(self, source: str, table: str) -> dict[str, dict[str, Any]]:
        found = duckdb_rows(self._file, source, table)
        return {key: {name: _as_iso(value) for name, value in row.items()} for key, row in found.items()}

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        prefix = f"{source}."
        names = [name.removeprefix(prefix) for name in duckdb_tables(self._file) if name.startswith(prefix)]
        return {name: self.rows(source, name) for name in names}

    def listed(self, source: str, view: str) -> list[dict[str, Any]]:
        return duckdb_listed(self._file, source, view)

    def statements(self) -> AbstractContextManager[list[str]]:
        return traced()


class _Parquet:
    nul = "\u2400"
    mixed = (7, "1.5", "007", "2026-11-23", '[1,"a"]', "true", "text")

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return ParquetWarehouse(self._store, merge_every_s=0, rules=rules)

    def rows(self, source: str, table: str, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """A value that is beside its column is shown in its place."""
        found = parquet_rows(self._store, self._folder, source, table, kind)
        return {
            key: {name.removesuffix("__text"): _as_iso(value) for name, value in row.items()}
            for key, row in found.items()
        }

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        names = parquet_tables(self._store, source)
        return {label: self.rows(source, name, kind) for label, (name, kind) in names.items()}

    def statements(self) -> AbstractContextManager[list[str]]:
        return traced()


def _as_iso(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return (
        (value if value.tzinfo else value.replace(tzinfo=UTC))
        .astimezone(UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class _ClickHouse:
    nul = "\x00"
    mixed = _Postgres.mixed

    def __init__(self, engine: ClickHouseEngine) -> None:
        self._database = engine.empty_database()

    def sink(self, rules: Rules = DEFAULT) -> Sink:
        return self._database.sink(rules)

    def rows(self, source: str, table: str) -> dict[str, dict[str, Any]]:
        return self._rows_of(source, [f"{source}__{table}"])[table]

    def tables(self, source: str) -> dict[str, dict[str, dict[str, Any]]]:
        prefix = f"{source}__"
        return self._rows_of(source, [name for name in self._database.views() if name.startswith(prefix)])

    def listed(self, source: str, view: str) -> list[dict[str, Any]]:
        name = f"{source}__{view}"
        return self._database.listed([name])[name]

    def _rows_of(self, source: str, views: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        return {
            view.removeprefix(f"{source}__"): {
                key: {name: _as_iso(value) for name, value in row.items()} for key, row in rows.items()
            }
            for view, rows in self._database.rows_of(views).items()
        }

    def statements(self) -> AbstractContextManager[list[str]]:
        return self._database.statements()


DATABASES = [
    "sqlite",
    "postgres",
    pytest.param("duckdb", marks=pytest.mark.columnar),
    pytest.param("clickhouse", marks=pytest.mark.clickhouse),
]
FILES = [pytest.param("parquet", marks=pytest.mark.columnar), pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(params=[*DATABASES, *FILES])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    match request.param:
        case "parquet":
            return _Parquet(Folder(tmp_path), tmp_path)
        case "s3":
            return _Parquet(request.getfixturevalue("s3_server").empty_bucket(), tmp_path)
        case _:
            return _database(request, tmp_path)


@pytest.fixture(params=DATABASES)
def historian(request: pytest.FixtureRequest, tmp_path: Path) -> Historian:
    return _database(request, tmp_path)


def _database(request: pytest.FixtureRequest, tmp_path: Path) -> Historian:
    match request.param:
        case "clickhouse":
            return _ClickHouse(request.getfixturevalue("clickhouse_engine"))
        case "postgres":
            return _Postgres(request.getfixturevalue("postgres_server"))
        case "duckdb":
            return _Duckdb(tmp_path)
        case _:
            return _Sqlite(tmp_path)


async def written(warehouse: Warehouse, *batches: Sequence[Message], rules: Rules = DEFAULT) -> None:
    async with warehouse.sink(rules) as sink:
        for batch in batches:
            await sink.write(batch)


async def test_objects_are_rows_by_id(warehouse: Warehouse) -> None:
    await written(warehouse, [write("d1", 1, {"title": "A", "value": 1.5}), write("d2", 2, {"title": "B"})])

    assert warehouse.rows("pipedrive", "deals") == {
        "d1": {"id": "d1", "title": "A", "value": 1.5, **STANDARD},
        "d2": {"id": "d2", "title": "B", **STANDARD},
    }


async def test_events_are_rows_by_message_id(warehouse: Warehouse) -> None:
    await written(warehouse, [event("m1", event="Deal Won", properties={"amount": 5})])

    assert warehouse.rows("pipedrive", "deal_won")["m1"]["amount"] == 5
    assert warehouse.rows("pipedrive", "tracks")["m1"]["event_text"] == "Deal Won"


async def test_a_batch_written_twice_leaves_the_same_as_once(warehouse: Warehouse) -> None:
    batch = [
        event("m1", event="Deal Won", properties={"amount": 5}),
        write("d1", 1, {"title": "A", "value": 1}),
        event("m2", type="identify", userId="u1", traits={"plan": "pro"}),
        write("d1", 2, {"title": "B"}),
        event("m1", event="Deal Won", properties={"amount": 5}),
    ]
    names = ("tracks", "deal_won", "identifies", "users", "deals")

    await written(warehouse, batch)
    once = {name: warehouse.rows("pipedrive", name) for name in names}
    await written(warehouse, batch, batch)

    assert {name: warehouse.rows("pipedrive", name) for name in names} == once
    assert once["deals"] == {"d1": {"id": "d1", "title": "B", "value": 1, **STANDARD}}
    assert once["users"] == {"u1": {"id": "u1", "plan": "pro", **STANDARD}}
    assert len(once["tracks"]) == 1


async def test_sources_have_their_own_tables(warehouse: Warehouse) -> None:
    await written(warehouse, [write("1", 1, {"a": 1}), write("1", 1, {"a": 2}, source="my-shop")])

    assert warehouse.rows("pipedrive", "deals")["1"]["a"] == 1
    assert warehouse.rows("my_shop", "deals")["1"]["a"] == 2


async def test_an_event_and_a_collection_of_one_name_do_not_mix(warehouse: Warehouse) -> None:
    await written(warehouse, [write("x", 1, {"a": 1})], [event("x", event="Deals", properties={"a": 2})])

    assert warehouse.rows("pipedrive", "deals")["x"]["a"] == 1
    assert warehouse.rows("pipedrive", "tracks")["x"]["event"] == "deals"


async def test_partial_late_and_cleared_writes_merge_per_property(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 3, {"value": 3, "stage": None})],
        [write("d1", 1, {"value": 1, "stage": "new", "title": "A"})],
        [write("d1", 2, {"value": 2, "owner": "Ann"})],
    )

    assert warehouse.rows("pipedrive", "deals") == {
        "d1": {"id": "d1", "value": 3, "title": "A", "owner": "Ann", **STANDARD}
    }


async def test_a_property_cleared_before_it_ever_had_a_value_stays_clear(warehouse: Warehouse) -> None:
    await written(
        warehouse, [write("d1", 2, {"stage": None})], [write("d1", 1, {"stage": "new"}), write("d2", 1, {"stage": "x"})]
    )

    assert warehouse.rows("pipedrive", "deals")["d1"] == {"id": "d1", **STANDARD}


async def test_a_deleted_object_is_no_row_and_older_writes_do_not_bring_it_back(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 1, {"title": "A"}), write("d2", 1, {"title": "B"})],
        [deletion("d1", 3), deletion("d3", 3)],
        [write("d1", 2, {"title": "late"}), write("d3", 2, {"title": "late"})],
        [deletion("d1", 3)],
    )

    assert set(warehouse.rows("pipedrive", "deals")) == {"d2"}


async def test_a_newer_write_makes_a_deleted_object_anew_with_only_its_own_properties(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 1, {"title": "A", "value": 1})],
        [deletion("d1", 2)],
        [write("d1", 3, {"value": 3})],
        [write("d1", 1, {"title": "A", "value": 1}), deletion("d1", 2)],
    )

    assert warehouse.rows("pipedrive", "deals") == {"d1": {"id": "d1", "value": 3, **STANDARD}}


async def test_a_late_deletion_takes_only_what_is_older(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 1, {"title": "A", "value": 1})],
        [write("d1", 3, {"value": 3})],
        [deletion("d1", 2)],
        [write("d1", 0, {"owner": "Ann"})],
    )

    assert warehouse.rows("pipedrive", "deals") == {"d1": {"id": "d1", "value": 3, **STANDARD}}


async def test_an_object_deleted_and_set_within_a_batch_ends_as_its_last_version(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 1, {"a": 1}), deletion("d1", 2), write("d1", 3, {"b": 3})],
        [write("d2", 1, {"a": 1}), write("d2", 3, {"b": 3}), deletion("d2", 2)],
        [write("d3", 1, {"a": 1}), deletion("d3", 2)],
    )

    assert warehouse.rows("pipedrive", "deals") == {
        "d1": {"id": "d1", "b": 3, **STANDARD},
        "d2": {"id": "d2", "b": 3, **STANDARD},
    }


async def test_a_deletion_is_of_one_collection_and_source(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("1", 1, {"a": 1}), write("1", 1, {"a": 2}, collection="orders"), write("1", 1, {"a": 3}, source="shop")],
        [deletion("1", 2)],
    )

    assert warehouse.rows("pipedrive", "deals") == {}
    assert warehouse.rows("pipedrive", "orders")["1"]["a"] == 2
    assert warehouse.rows("shop", "deals")["1"]["a"] == 3


async def test_the_row_of_a_user_can_be_deleted(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [event("m1", type="identify", userId="u1", traits={"email": "a@b.c"})],
        [deletion("u1", 1_000_000_000_000_000, collection="users")],
        [event("m1", type="identify", userId="u1", traits={"email": "a@b.c"})],
    )

    assert warehouse.rows("pipedrive", "users") == {}


async def test_a_write_that_replaces_is_all_of_the_object(warehouse: Warehouse) -> None:
    await written(
        warehouse,
        [write("d1", 1, {"a": 1, "b": 1}), write("d2", 2, {"b": 2})],
        [write("d1", 3, {"b": 3})],
        [write("d1", 2, {"a": 2, "c": 2}), write("d2", 1, {"a": 1}), write("d1", 3, {"b": 3})],
        [write("o1", 1, {"a": 1}, collection="orders"), write("o1", 2, {"b": 2}, collection="orders")],
        rules=Rules(merge={"deals": Merge.REPLACE}),
    )

    assert warehouse.rows("pipedrive", "deals") == {
        "d1": {"id": "d1", "b": 3, **STANDARD},
        "d2": {"id": "d2", "b": 2, **STANDARD},
    }
    assert warehouse.rows("pipedrive", "orders")["o1"] == {"id": "o1", "a": 1, "b": 2, **STANDARD}


@pytest.mark.parametrize(
    ("objects", "merge"),
    [
        (5_000, Merge.PROPERTIES),
        (1_000, Merge.REPLACE),
        pytest.param(50_000, Merge.PROPERTIES, marks=pytest.mark.nightly),
        pytest.param(50_000, Merge.REPLACE, marks=pytest.mark.nightly),
    ],
)
async def test_objects_converge_however_they_arrive(warehouse: Warehouse, objects: int, merge: Merge) -> None:
    """Shuffled, doubled, late, partial, cleared and deleted: in batches of any size it ends as in order of versions."""
    chance = random.Random(SEED)
    writes = [_some_write(chance, objects, position) for position in range(3 * objects)]
    expected: dict[str, dict[str, Any]] = {}
    for message in writes:
        if message.write.deleted or merge is Merge.REPLACE:
            expected.pop(message.write.id, None)
        if not message.write.deleted:
            row = expected.setdefault(message.write.id, {"id": message.write.id})
            row |= {"received_at": message.write.received_at, **message.write.properties}
    arrivals = writes + chance.choices(writes, k=objects)
    chance.shuffle(arrivals)

    await written(warehouse, *_batches(chance, arrivals), rules=Rules(merge=merge))

    found = warehouse.rows("pipedrive", "deals")
    assert found == {
        name: {column: value for column, value in row.items() if value is not None} for name, row in expected.items()
    }


async def test_a_closed_warehouse_goes_on_where_it_was(warehouse: Warehouse) -> None:
    await written(warehouse, [write("d1", 2, {"value": 2})])

    await written(warehouse, [write("d1", 1, {"value": 1, "title": "A"}), write("d1", 3, {"stage": "won"})])

    assert warehouse.rows("pipedrive", "deals")["d1"] == {
        "id": "d1",
        "value": 2,
        "title": "A",
        "stage": "won",
        **STANDARD,
    }


async def test_a_rejected_message_leaves_the_batch_unwritten(warehouse: Warehouse) -> None:
    good, bad = write("d1", 1, {"a": 1}), event("m1", type="trace")
    async with warehouse.sink() as sink:
        await sink.write([write("d0", 1, {"a": 0})])
        with pytest.raises(RecordRejected) as caught:
            await sink.write([good, bad])

        assert set(caught.value.rejected) == {1}
        assert set(warehouse.rows("pipedrive", "deals")) == {"d0"}

        await sink.write([good])

    assert set(warehouse.rows("pipedrive", "deals")) == {"d0", "d1"}


async def test_strict_names_reject_collections_that_segment_would(warehouse: Warehouse) -> None:
    batch = [write("1", 1, {"a": 1}), write("1", 1, {"a": 1}, collection="checkout-order")]
    async with warehouse.sink(Rules(names=Names.STRICT)) as sink:
        with pytest.raises(RecordRejected) as caught:
            await sink.write(batch)

    assert list(caught.value.rejected) == [1]
    assert '"checkout-order" must be lower-case letters' in caught.value.rejected[1]


async def test_a_value_of_another_type_is_kept(warehouse: Warehouse) -> None:
    values = [7, 1.5, "007", "2026-11-23", [1, "a"], True, "text"]

    await written(warehouse, [write(str(index), 1, {"value": value}) for index, value in enumerate(values)])

    found = warehouse.rows("pipedrive", "deals")
    assert tuple(found[str(index)]["value"] for index in range(7)) == warehouse.mixed


VALUES = {
    "integer": (7, {"7", "7.0"}),
    "large": (2**53 + 1, {"9007199254740993"}),
    "float": (0.1 + 0.2, {"0.30000000000000004"}),
    "date": ("2026-11-23", {"2026-11-23", "2026-11-23T00:00:00.000Z"}),
    "text": ("007", {"007"}),
    "list": ([1, "a"], {'[1,"a"]'}),
    "boolean": (True, {"True", "true", "1"}),
}
"""Values of a column, and what of each may be found in it or in its variant."""


@pytest.mark.parametrize("first", VALUES)
async def test_a_column_loses_nothing_whatever_came_first(warehouse: Warehouse, first: str) -> None:
    others = [write(name, 1, {"value": value}) for name, (value, _) in VALUES.items() if name != first]
    cleared = [write(f"{name} cleared", 1, {"value": value}) for name, (value, _) in VALUES.items()]
    nulls = [write(f"{name} cleared", 2, {"value": None}) for name in VALUES]

    await written(warehouse, [write(first, 1, {"value": VALUES[first][0]})], *([message] for message in others))
    await written(warehouse, [write("object", 1, {"value": {"first name": "Ann", "n": 1}})], cleared, nulls)

    found = {
        name: {str(value) for column, value in row.items() if column in ("value", "value__text")}
        for name, row in warehouse.rows("pipedrive", "deals").items()
    }
    for name, (_, texts) in VALUES.items():
        assert len(found[name]) == 1
        assert found[name] <= texts
        assert found[f"{name} cleared"] == set()
    row = warehouse.rows("pipedrive", "deals")["object"]
    assert (row["value_first_name"], row["value_n"]) == ("Ann", 1)


async def _write_at_once(
    open_sink: Callable[[], AbstractAsyncContextManager[Sink]], batches: Sequence[Sequence[Message]]
) -> None:
    """Three workers write the same batches."""

    async def patiently(act: Callable[[], Awaitable[T]]) -> T:
        """As the worker of a sink: the same again while it is unavailable."""
        while True:
            with contextlib.suppress(SinkUnavailable):
                return await act()

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            sink = await patiently(lambda: stack.enter_async_context(open_sink()))
            for batch in batches:
                await patiently(partial(sink.write, batch))

    async with asyncio.TaskGroup() as workers:
        for _ in range(3):
            workers.create_task(work())


async def test_several_workers_make_the_same_tables_and_columns_at_the_same_time(warehouse: Warehouse) -> None:
    """Each table and each column is new to all of them."""
    batches = [
        [
            write(f"{number}", number, {f"p{number}": number, f"q{number}": f"text {number}"}, collection=f"c{table}"),
            event(f"m{number}", event=f"Event {table}", properties={f"p{number}": number}),
        ]
        for table in range(4)
        for number in range(table * 5, table * 5 + 5)
    ]

    await _write_at_once(warehouse.sink, batches)

    assert warehouse.tables("pipedrive").keys() == {
        "tracks",
        *(f"{name}{n}" for name in ("c", "event_") for n in range(4)),
    }
    for table in range(4):
        numbers = range(table * 5, table * 5 + 5)
        objects, events = (warehouse.rows("pipedrive", f"{name}{table}") for name in ("c", "event_"))
        assert objects == {f"{n}": {"id": f"{n}", f"p{n}": n, f"q{n}": f"text {n}", **STANDARD} for n in numbers}
        assert {key: row[f"p{key[1:]}"] for key, row in events.items()} == {f"m{n}": n for n in numbers}


MARK = "pwned"
"""In every hostile name that is no keyword: outside of quotes no statement may have it."""
KEYWORDS = (
    "select", "ORDER", "order", "Table", "user", "group", "null", "primary key", "default", "join", "end", "all", "id",
    "ID", "_id", "received_at", "_versions", "xmin", "ctid", "rowid", "oid", "tableoid", "sqlite_master", "pg_class",
    "timestamp", "event_text", "context_ip", "current_user", "values", "tracks", "Users", "identifies", "1", "", " ",
    "ß", "日本語", "🎉", "-", "_",
)  # fmt: skip


def _hostile_names(count: int) -> list[str]:
    forms = (
        '{m}{n}"; DROP TABLE {m}; --',
        "{m}{n}'); DELETE FROM {m}; --",
        "{m}{n}\x00 after NUL",
        "{m}{n}" + "x" * 10_000,
        "x" * 10_000 + "{m}{n}",
        "🎉 {m} {n}",
        "{M}{n}",
        "{m}{n}",
        "{n} {m}",
        "{m}{n} %s $1 ? :a {{}} \\",
        "{m}{n}\n/* */ `a` [b]",
    )
    made = [forms[n % len(forms)].format(m=MARK, M=MARK.upper(), n=n // 2) for n in range(count - len(KEYWORDS))]
    return [*KEYWORDS, *made]


@pytest.mark.parametrize(
    ("events", "collections", "columns"), [(50, 50, 50), pytest.param(500, 200, 300, marks=pytest.mark.nightly)]
)
async def test_hostile_names_are_names_and_nothing_else(
    warehouse: Warehouse, events: int, collections: int, columns: int
) -> None:
    names = {name: f"e{n}" for n, name in enumerate(_hostile_names(events)) if name}  # an event has a name
    batch: list[Message] = [event(own_id, event=name, properties={"n": own_id}) for name, own_id in names.items()]
    objects = [f"o{n}" for n in range(collections)]
    batch += [
        write(own_id, 1, {"n": own_id}, collection=name)
        for own_id, name in zip(objects, _hostile_names(collections), strict=True)
    ]
    batch += [
        write(f"w{n}", 1, {name: f"value {n}"}, collection="wide") for n, name in enumerate(_hostile_names(columns))
    ]

    with warehouse.statements() as statements:
        await written(warehouse, batch)
        content = warehouse.tables("pipedrive")
        await written(warehouse, batch[::-1])

    assert warehouse.tables("pipedrive") == content
    content.pop("tracks")
    by_id: dict[str, list[dict[str, Any]]] = {}
    for table in content.values():
        for own_id, row in table.items():
            by_id.setdefault(own_id, []).append(row)
    for name, own_id in names.items():
        (row,) = by_id[own_id]
        assert (row["event_text"], row["n"]) == (name.replace("\x00", warehouse.nul), own_id)
    for own_id in objects:
        (row,) = by_id[own_id]
        assert row["n"] == own_id
    for n in range(columns):
        (row,) = by_id[f"w{n}"]
        assert [value for column, value in row.items() if column not in ("id", "received_at")] == [f"value {n}"]
    assert len(statements) > events + collections
    for statement in statements:
        assert MARK not in _unquoted(statement).lower()


def _unquoted(statement: str) -> str:
    """The statement without its identifiers and literals, which a quote within would end."""
    return re.sub(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|`(?:[^`]|``)*`", " ", statement)


async def test_values_are_kept_to_the_last_byte(warehouse: Warehouse) -> None:
    values = {
        "quote": "'; DROP TABLE deals; --",
        "nul": "a\x00b",
        "emoji": "🎉",
        "big": 2**63 - 1,
        "long": "x" * 100_000,
    }

    await written(warehouse, [write("a\x00b", 1, values)], [write("a\x00b", 0, {"nul": "late"})])

    kept = {name: value.replace("\x00", warehouse.nul) if name == "nul" else value for name, value in values.items()}
    own_id = f"a{warehouse.nul}b"
    assert warehouse.rows("pipedrive", "deals") == {own_id: {"id": own_id, **kept, **STANDARD}}


HISTORY = Rules(history=True)
BASE_US = 1_764_000_000_000_000
"""When position 0 of `messages.write` came."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

State = tuple[str, int, int | None, dict[str, Any]]
"""Id, position from which and to which it was so, and the properties that were not null."""


def history(warehouse: Historian, view: str = "deals_history") -> list[State]:
    """The rows of the view in order."""
    found: list[State] = []
    for row in warehouse.listed("pipedrive", view):
        start, end = _position(row.pop("valid_from")), _position(row.pop("valid_to", None))
        assert start is not None
        found.append((row.pop("id"), start, end, {name: _as_iso(value) for name, value in row.items()}))
    return sorted(found, key=lambda state: state[:2])


def _position(instant: Any) -> int | None:
    if instant is None:
        return None
    time = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (time - EPOCH) // timedelta(microseconds=1) - BASE_US


async def test_history_is_what_an_object_was_and_from_when_to_when(historian: Historian) -> None:
    await written(
        historian,
        [write("d1", 1, {"title": "A", "stage": "new"}), write("d2", 2, {"title": "B"})],
        [write("d1", 5, {"title": "C"}), deletion("d1", 4), write("d1", 3, {"stage": None, "value": 3})],
        rules=HISTORY,
    )

    assert history(historian) == [
        ("d1", 1, 3, {"title": "A", "stage": "new", **STANDARD}),
        ("d1", 3, 4, {"title": "A", "value": 3, **STANDARD}),
        ("d1", 5, None, {"title": "C", **STANDARD}),
        ("d2", 2, None, {"title": "B", **STANDARD}),
    ]


@pytest.mark.parametrize("merge", Merge)
@pytest.mark.parametrize(("objects", "writes_each"), [(40, 25), pytest.param(2_000, 25, marks=pytest.mark.nightly)])
async def test_history_converges_however_writes_arrive(
    historian: Historian, objects: int, writes_each: int, merge: Merge
) -> None:
    """Shuffled, doubled, late, partial, cleared, deleted, three of each instant: as if in order of versions."""
    chance = random.Random(SEED)
    rules = Rules(merge=merge, history=True)
    writes = [
        _of_instant(_some_write(chance, objects, position), position) for position in range(objects * writes_each)
    ]
    arrivals = writes + chance.choices(writes, k=len(writes) // 3)
    chance.shuffle(arrivals)

    await written(historian, *_batches(chance, arrivals), rules=rules)

    found = history(historian)
    assert found == _told(writes, merge)
    current = {own_id: {"id": own_id, **state} for own_id, _, end, state in found if end is None}
    assert current == historian.rows("pipedrive", "deals")


def _of_instant(message: SourcedObject, position: int) -> SourcedObject:
    """The write as one of three of a webhook: a repair, the first run, a recompute."""
    version = (BASE_US + position // 3, 0, position // 3, (-1, 0, BASE_US // 1_000)[position % 3], 0)
    return msgspec.structs.replace(message, write=msgspec.structs.replace(message.write, version=version))


def _told(writes: Sequence[SourcedObject], merge: Merge) -> list[State]:
    """The history that these writes make, in this order."""
    rows: dict[str, list[State]] = {}
    for body in (message.write for message in writes):
        of_object = rows.setdefault(body.id, [])
        at = body.version[0] - BASE_US
        state: dict[str, Any] = {}
        if of_object and of_object[-1][2] is None:
            own_id, start, _, before = of_object.pop()
            of_object.append((own_id, start, at, before))
            state = {} if merge is Merge.REPLACE else dict(before)
        if not body.deleted:
            of_object.append((body.id, at, None, state | {"received_at": body.received_at, **body.properties}))
    return sorted(
        (own_id, start, end, {name: value for name, value in state.items() if value is not None})
        for of_object in rows.values()
        for own_id, start, end, state in of_object
        if start != end
    )


async def test_without_the_option_a_collection_has_no_history(historian: Historian) -> None:
    """Nor have users, whose rows calls make besides."""
    await written(historian, [write("d1", 1, {"a": 1})])
    await written(
        historian,
        [write("o1", 1, {"a": 1}, collection="orders"), write("d1", 2, {"a": 2})],
        [write("u1", 1, {"a": 1}, collection="users"), event("m1", type="identify", userId="u1", traits={"b": 1})],
        rules=Rules(history=("Orders",)),
    )
    await written(historian, [write("u1", 2, {"a": 2}, collection="users")], rules=HISTORY)

    found = {name for name in historian.tables("pipedrive") if "history" not in name}
    assert found == {"deals", "orders", "users", "identifies"}
    assert len(historian.tables("pipedrive")) == len(found) + 1
    assert [state[:3] for state in history(historian, "orders_history")] == [("o1", 1, None)]


async def test_history_has_columns_that_come_later(historian: Historian) -> None:
    await written(historian, [write("d1", 1, {"a": 1}), write("d1", 4, {"b": None})], rules=HISTORY)
    await written(historian, [write("d1", 2, {"b": "late"}), write("d1", 3, {"c": 1.5})], rules=HISTORY)

    assert history(historian) == [
        ("d1", 1, 2, {"a": 1, **STANDARD}),
        ("d1", 2, 3, {"a": 1, "b": "late", **STANDARD}),
        ("d1", 3, 4, {"a": 1, "b": "late", "c": 1.5, **STANDARD}),
        ("d1", 4, None, {"a": 1, "c": 1.5, **STANDARD}),
    ]


async def test_history_begins_when_it_is_switched_on(historian: Historian) -> None:
    await written(historian, [write("d1", 1, {"a": 1, "b": 1}), write("d2", 1, {"a": 1})])
    await written(historian, [write("d1", 2, {"b": 2}), deletion("d2", 2)], rules=HISTORY)
    await written(historian, [write("d1", 3, {"b": 3})])

    assert history(historian) == [("d1", 2, None, {"b": 2, **STANDARD})]
    assert historian.rows("pipedrive", "deals") == {"d1": {"id": "d1", "a": 1, "b": 3, **STANDARD}}


async def test_history_of_writes_that_share_a_version_has_each_object(historian: Historian) -> None:
    """As of a function that names another object when its webhook comes again."""
    await written(historian, [write("d1", 1, {"a": 1})], [write("d2", 1, {"a": 2})], rules=HISTORY)

    assert [(own_id, state["a"]) for own_id, _, _, state in history(historian)] == [("d1", 1), ("d2", 2)]


async def test_history_takes_no_name_from_properties_and_ids(historian: Historian) -> None:
    names = ("valid_from", "valid_to", "object_id", "effect", "cleared", "xmin", "id")
    await written(historian, [write("2026-11-23", 1, dict.fromkeys(names, "x"))], rules=HISTORY)
    await written(historian, [write("a\x00b", 2, {"valid_to": "y", "xmin": None})], rules=HISTORY)
    await written(historian, [write("2026-11-23", 3, {"valid_to": None, "xmin": None})], rules=HISTORY)

    first, last, other = history(historian)
    assert {name.lstrip("_") for name in first[3]} == {*names, "received_at"}
    assert (first[:3], last[:3]) == (("2026-11-23", 1, 3), ("2026-11-23", 3, None))
    assert first[3].keys() - last[3].keys() == {"_valid_to", next(name for name in first[3] if "xmin" in name)}
    assert other == (f"a{historian.nul}b", 2, None, {"_valid_to": "y", **STANDARD})


async def test_a_collection_that_is_called_like_a_history_keeps_its_name_apart(historian: Historian) -> None:
    before, after = (
        write("x", 1, {"own": 1}, collection="deals_history"),
        write("x", 1, {"own": 2}, collection="orders_history"),
    )
    await written(historian, [before])
    await written(historian, [write("d1", 1, {"a": 1})], [write("o1", 1, {"a": 1}, collection="orders")], rules=HISTORY)
    await written(historian, [after])

    assert historian.rows("pipedrive", "deals_history")["x"]["own"] == 1
    assert historian.rows("pipedrive", "orders_history__objects")["x"]["own"] == 2
    assert [state[0] for state in history(historian, "deals_history__view")] == ["d1"]
    assert [state[0] for state in history(historian, "orders_history")] == ["o1"]


async def test_history_keeps_values_of_every_type(historian: Historian) -> None:
    """Also back and forth: a value of another type is not seen beside the one that follows it."""
    values = [value for value, _ in VALUES.values()]
    for position, value in enumerate([*values, *values[::-1], None]):
        await written(historian, [write("d1", position, {"value": value})], rules=HISTORY)
    await written(historian, [write("d1", 30, {"value_first": "x"})], rules=HISTORY)

    shown = [
        {str(value) for column, value in state.items() if column in ("value", "value__text")}
        for _, _, _, state in history(historian)
    ]
    texts = [texts for _, texts in VALUES.values()]
    assert all(len(seen) == 1 for seen in shown[:-2])
    assert all(seen <= expected for seen, expected in zip(shown, [*texts, *texts[::-1], set(), set()], strict=True))


async def test_history_shows_as_many_columns_as_a_table_may_have(historian: Historian) -> None:
    """With names as long as they may be: no limit of the engine on a query or a row is in the way."""
    names = [f"{'a_long_name_' * 5}{number:03}" for number in range(MAX_COLUMNS - 6)]  # five of ours, and received_at
    await written(
        historian,
        [write("d1", 1, {name: number for number, name in enumerate(names)}), write("d1", 2, {names[0]: None})],
        rules=HISTORY,
    )

    first, last = history(historian)
    assert first[3] == {name: number for number, name in enumerate(names)} | STANDARD
    assert first[3].items() - last[3].items() == {(names[0], 0)}


async def test_several_workers_write_one_history_at_the_same_time(historian: Historian) -> None:
    """Each column is new to all of them."""
    writes = [write(f"d{number % 3}", number, {f"p{number}": number, "q": number}) for number in range(12)]
    batches = [writes[number : number + 4] for number in range(0, 12, 4)]

    await _write_at_once(lambda: historian.sink(HISTORY), batches)

    assert history(historian) == _told(writes, Merge.PROPERTIES)


def _some_write(chance: random.Random, objects: int, position: int) -> SourcedObject:
    object_id = f"d{chance.randrange(objects)}"
    if chance.random() < 0.2:
        return deletion(object_id, position)
    names = chance.sample("abcdefgh", chance.choice((1, 2, 4, 8)))
    properties = {name: chance.choice((None, chance.randrange(1_000), f"text {position}")) for name in names}
    at = f"2026-11-23T10:00:{position % 60:02}.000Z"
    return write(object_id, position, _as_text(properties), received_at=at)


def _as_text(properties: dict[str, Any]) -> dict[str, Any]:
    """One type per column, so that a warehouse that widens columns compares equal."""
    return {name: None if value is None else str(value) for name, value in properties.items()}


def _batches(chance: random.Random, messages: list[SourcedObject]) -> Iterator[list[SourcedObject]]:
    while messages:
        size = chance.choice((1, 7, 500, 5_000))
        yield messages[:size]
        messages = messages[size:]
