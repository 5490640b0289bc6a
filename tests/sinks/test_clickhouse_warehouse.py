"""The ClickHouse warehouse: what only ClickHouse does, on the real engine."""

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from hookmill.errors import ConfigError
from sinks.contract import Event, SinkUnavailable
from sinks.merge import Version
from sinks.warehouses.clickhouse.cells import NEVER, packed
from sinks.warehouses.clickhouse.failures import failure_of, is_outdated
from sinks.warehouses.clickhouse.options import ClickHouseOptions
from sinks.warehouses.clickhouse.sink import ClickHouseWarehouse
from tests.clickhouse_engine import ClickHouseEngine, Database
from tests.processes import free_port
from tests.sinks.messages import event, write

SEED = 20_261_125
engine_needed = pytest.mark.clickhouse


@pytest.fixture
def database(clickhouse_engine: ClickHouseEngine) -> Database:
    return clickhouse_engine.empty_database()


@engine_needed
async def test_columns_have_the_type_of_their_first_value(database: Database) -> None:
    values = {"i": 1, "r": 1.5, "b": True, "t": "2026-11-23T10:00:00.123456Z", "s": "text", "l": [1, "a"]}
    async with database.sink() as sink:
        await sink.write([write("1", 1, values), event("m1", event="Paid", properties=values)])

    expected = {"i": "Int64", "r": "Float64", "b": "Bool", "s": "String", "l": "String"}
    for view in ("pipedrive__deals", "pipedrive__paid"):
        types = database.types(view)
        assert {name: types[name] for name in expected} == {
            name: f"Nullable({kind})" for name, kind in expected.items()
        }
        assert types["t"].startswith("Nullable(DateTime64(6")
        (row,) = database.rows(view).values()
        assert (row["i"], row["r"], row["b"], row["s"], row["l"]) == (1, 1.5, True, "text", '[1,"a"]')
        assert row["t"].replace(tzinfo=UTC) == datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)


@engine_needed
@pytest.mark.parametrize(
    ("values", "shown", "column"),
    [
        ((7, 1.5), (7.0, 1.5), "Float64"),
        ((7, 1.5, 2**53 + 1), ("7", "1.5", str(2**53 + 1)), "String"),
        ((2**53 + 1, 1.5), (str(2**53 + 1), "1.5"), "String"),
        ((1.5, 2), (1.5, 2.0), "Float64"),
        ((True, "yes"), ("true", "yes"), "String"),
        (("text", 7, 0.1, False), ("text", "7", "0.1", "false"), "String"),
        ((2**63 - 1, "x", None), (str(2**63 - 1), "x", None), "String"),
    ],
)
async def test_a_column_becomes_wide_enough_for_every_value(
    database: Database, values: tuple[object, ...], shown: tuple[object, ...], column: str
) -> None:
    """Each value in a batch of its own, of an object and of an event."""
    async with database.sink() as sink:
        for number, value in enumerate(values):
            batch = [write(str(number), 1, {"v": value}), event(str(number), event="Paid", properties={"v": value})]
            await sink.write(batch)

    for view in ("pipedrive__deals", "pipedrive__paid"):
        rows = database.rows(view)
        assert tuple(rows[str(number)].get("v") for number in range(len(values))) == shown
        assert database.types(view)["v"] == f"Nullable({column})"


@engine_needed
async def test_the_newest_value_counts_whichever_type_it_has(database: Database) -> None:
    values = [1, 2.5, "text", 4, None, "again", 7, 8.5]
    order = list(range(len(values)))
    random.Random(SEED).shuffle(order)

    async with database.sink() as sink:
        for position in order:
            writes = [write(str(last), position, {"v": values[position]}) for last in range(position, len(values))]
            await sink.write(writes)

    rows = database.rows("pipedrive__deals")
    shown = [rows[str(last)].get("v") for last in range(len(values))]
    assert shown == ["1", "2.5", "text", "4", None, "again", "7", "8.5"]


@engine_needed
async def test_a_time_that_is_none_or_too_far_goes_beside_its_column(database: Database) -> None:
    times = ["2026-11-23", "soon", "1815-12-10", "2299-12-31T23:59:59.999999Z", "2300-01-01"]
    async with database.sink() as sink:
        await sink.write([write(str(number), 1, {"at": time}) for number, time in enumerate(times)])
        await sink.write([write("0", 2, {"at": "later"}), write("1", 2, {"at": "2026-11-24"})])

    rows = database.rows("pipedrive__deals")
    assert [row.get("at__text") for _, row in sorted(rows.items())] == ["later", None, "1815-12-10", None, "2300-01-01"]
    assert [str(row.get("at"))[:10] for _, row in sorted(rows.items())] == [
        "None",
        "2026-11-24",
        "None",
        "2299-12-31",
        "None",
    ]


@engine_needed
async def test_hostile_names_are_only_names(database: Database) -> None:
    names = ["a`b", "x'; DROP TABLE deals; --", "a\x00c", "y" * 10_000, "SELECT", "🎉", "Case", "_written", "id", "t"]
    batch = [
        write("1", 1, {name: 1000 + number for number, name in enumerate(names)}, collection="c'`\\"),
        event("m1", event="e'`\\", properties={name: 2000 + number for number, name in enumerate(names)}),
    ]
    async with database.sink() as sink:
        await sink.write(batch)

    (row,) = database.rows("pipedrive__c").values()
    assert {value for value in row.values() if isinstance(value, int)} == set(range(1000, 1000 + len(names)))
    (row,) = database.rows("pipedrive__e").values()
    assert {value for value in row.values() if isinstance(value, int)} == set(range(2000, 2000 + len(names)))


@engine_needed
async def test_workers_write_the_same_objects_and_columns_at_the_same_time(database: Database) -> None:
    """Each of them writes some properties of every object, in columns that it makes itself, with types of its own."""
    workers, objects = 3, 40
    sinks = [database.sink() for _ in range(workers)]

    async def work(number: int) -> None:
        async with sinks[number] as sink:
            for turn in range(3):
                properties = {f"w{number}_{turn}": turn, "shared": [turn, f"text {number}", 0.5][number]}
                await sink.write([write(str(n), 10 * turn + number, properties) for n in range(objects)])

    await asyncio.gather(*(work(number) for number in range(workers)))

    rows = database.rows("pipedrive__deals")
    own = {f"w{number}_{turn}": turn for number in range(workers) for turn in range(3)}
    assert len(rows) == objects
    for row in rows.values():
        assert {name: value for name, value in row.items() if name in own} == own
        assert row["shared"] == "0.5"  # of the last turn's last worker


@engine_needed
async def test_what_somebody_dropped_comes_back_and_foreign_tables_stay(database: Database) -> None:
    database.run("CREATE TABLE pipedrive__deals (x Int32) ENGINE = MergeTree ORDER BY x")
    async with database.sink() as sink:
        await sink.write([write("1", 1, {"a": 1})])
        database.run("DROP VIEW pipedrive__deals__objects")
        database.run("DROP TABLE _pipedrive__deals__objects SYNC")
        await sink.write([write("2", 1, {"a": 2})])

    assert database.rows("pipedrive__deals__objects").keys() == {"2"}
    assert database.types("pipedrive__deals") == {"x": "Int32"}


@engine_needed
async def test_a_recomputed_event_takes_the_place_of_the_old_one_whatever_it_is_called(database: Database) -> None:
    def paid(name: str, generation: int) -> Event:
        made = event("m1", event=name)
        return Event(made.source, made.message_id, made.message, made.raw, generation)

    async with database.sink() as sink:
        await sink.write([paid("Paid", 0), event("m2", event="Paid")])
        await sink.write([paid("Refunded", 1_764_000_000_002)])
        await sink.write([paid("Refunded", 1_764_000_000_001)])

    assert database.rows("pipedrive__paid").keys() == {"m2"}
    assert database.rows("pipedrive__refunded")["m1"]["_generation"] == 1_764_000_000_002
    assert database.rows("pipedrive__tracks")["m1"]["event"] == "refunded"


@engine_needed
async def test_a_check_leaves_nothing(database: Database) -> None:
    sink = database.sink()
    assert isinstance(sink, ClickHouseWarehouse)

    assert await sink.check() == []
    assert database.query("SELECT name FROM system.tables WHERE database = currentDatabase()") == []


def test_packed_versions_compare_as_versions_do_whatever_is_in_them() -> None:
    chance = random.Random(SEED)
    parts = (-1, 0, 1, 7, 2**31, 1_764_000_000_000, 2**62)

    def version() -> Version:
        at, offset = chance.choice(parts[1:]), chance.choice(parts[1:])
        return (at, chance.choice(parts[1:4]), offset, chance.choice(parts[:-1]), chance.choice(parts[:4]))

    for _ in range(5_000):
        one, other = version(), version()
        assert (packed(one, 5) > packed(other, 5)) is (one > other), (one, other)
        assert packed(one, 5) < packed(one, 6) < packed(one)
        assert packed(one, 5) > NEVER
    assert packed((-5, 2**40, 2**70, -9, 2**40), 1) > NEVER


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ClickHouseOptions(url="https://u:secret@host/db"), "url must not hold a password"),
        (ClickHouseOptions(url="postgres://host/db"), "url cannot be read"),
        (ClickHouseOptions(url="https://host:port/db"), "url cannot be read"),
        (ClickHouseOptions(url="https://host/a/b"), "url cannot be read"),
        (ClickHouseOptions(url="http://host", password_env=""), "password_env must name"),
    ],
)
def test_wrong_options_are_refused_without_quoting_them(options: ClickHouseOptions, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options.check()

    assert text in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_address_is_told_without_its_user() -> None:
    assert ClickHouseOptions(url="https://clerk@db.example.com/analytics").target(Path()) == "db.example.com/analytics"


async def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    from sinks.warehouses.clickhouse.address import Address
    from sinks.warehouses.clickhouse.connection import connect

    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hush")
    address = Address("http", "127.0.0.1", free_port(), "analytics", "clerk", "CLICKHOUSE_PASSWORD")

    with pytest.raises(SinkUnavailable) as caught:
        await ClickHouseWarehouse(lambda: connect(address), str(address)).__aenter__()
    assert str(caught.value).startswith("ClickHouse warehouse 127.0.0.1/analytics: ")
    assert "hush" not in str(caught.value)
    monkeypatch.delenv("CLICKHOUSE_PASSWORD")
    with pytest.raises(SinkUnavailable, match="CLICKHOUSE_PASSWORD is empty"):
        await ClickHouseWarehouse(lambda: connect(address), str(address)).__aenter__()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (516, "it refuses the user"),
        (81, "the database does not exist"),
        (497, "a right is missing"),
        (164, "it takes no changes"),
        (243, "it is out of disk"),
        (9_999, "it fails"),
    ],
)
def test_an_error_of_the_server_says_what_to_do(code: int, text: str) -> None:
    failure = failure_of(DatabaseError(f"Code: {code}. DB::Exception", code=code), "host/db")

    assert text in str(failure)
    assert f"Code: {code}" in str(failure)


def test_errors_tell_apart_what_is_outdated_away_and_our_own_mistake() -> None:
    assert is_outdated(DatabaseError("gone", code=60))
    assert not is_outdated(DatabaseError("full", code=243))
    assert failure_of(OperationalError("no connection"), "host/db") is not None
    assert failure_of(DatabaseError("syntax", code=62), "host/db") is None
