"""What is the SQLite warehouse's own: names in the file, hostile names, failures of the file."""

import os
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hookmill.errors import ConfigError
from sinks.contract import SinkUnavailable
from sinks.rules import Rules
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.warehouses.sqlite.statements import quoted
from tests.disks import fill, written_after_full_disk
from tests.sinks.database import listed, query, rows, tables
from tests.sinks.messages import deletion, event, write

HOSTILE = (
    'a"b',
    "a'); DROP TABLE x; --",
    "a\x00b",
    "x" * 10_000,
    "select",
    "🎉",
    "id",
    "_versions",
    "rowid",
    "ORDER",
    "order",
    " ",
    "",
    "1st",
    "sqlite_master",
)


async def test_tables_are_called_source_and_table(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {}), event("m1", source="my-shop", event="Order Paid")])

    assert tables(file) == {"pipedrive__deals", "my_shop__tracks", "my_shop__order_paid"}


async def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    objects = [write("1", 1, dict.fromkeys(HOSTILE, "kept"), collection=name) for name in HOSTILE if name]
    events = [
        event(f"m{index}", source=name or "x", event=name, properties=dict.fromkeys(HOSTILE, "kept"))
        for index, name in enumerate(HOSTILE)
        if name
    ]

    async with SqliteWarehouse(file) as sink:
        await sink.write([*objects, *events])
        await sink.write([*objects, *events])

    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    order = rows(file, "pipedrive__order")["1"]
    assert {"a_b", "select", "_id", "versions", "rowid", "_1st"} <= order.keys()
    # Two pairs of names come to one column (a"b and a NUL b; ORDER and order): 15 names, 13 columns.
    assert list(order.values()).count("kept") == 13
    assert all(name.isidentifier() and name.isascii() for table in tables(file) for name in rows_columns(file, table))


def rows_columns(file: Path, table: str) -> list[str]:
    return [table, *(name for (name,) in query(file, "SELECT name FROM pragma_table_info(?)", table))]


def test_quoting_leaves_no_way_out() -> None:
    assert quoted('a"; DROP TABLE x; --\x00') == '"a""; DROP TABLE x; --"'


async def test_a_source_called_sqlite_gets_tables(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1}, source="sqlite")])

    assert tables(file) == {"_sqlite__deals"}


async def test_a_foreign_table_of_the_same_name_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE pipedrive__deals (mine TEXT)")
        connection.commit()

    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1})])

    assert query(file, "SELECT count(*) FROM pipedrive__deals") == [(0,)]
    assert rows(file, "pipedrive__deals__objects")["1"]["a"] == 1


async def test_two_warehouses_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as first, SqliteWarehouse(file) as second:
        await first.write([write("1", 1, {"a": 1})])
        await second.write([write("1", 2, {"b": 2})])
        await first.write([write("1", 3, {"b": 3, "c": 3})])
        await second.write([write("1", 1, {"c": 0, "d": 1})])

    row = rows(file, "pipedrive__deals")["1"]
    assert {name: row[name] for name in "abcd"} == {"a": 1, "b": 3, "c": 3, "d": 1}


async def test_a_dropped_table_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("DROP TABLE pipedrive__deals")
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(file, "pipedrive__deals")) == {"2"}


async def test_a_dropped_table_comes_back_without_its_tombstones(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1}), deletion("1", 2)])
        assert query(file, "SELECT table_name, id, deleted_at FROM _hookmill_tombstones") == [
            ("pipedrive__deals", "1", "2025-11-24T16:00:00.000002+00:00")
        ]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DROP TABLE pipedrive__deals")
        await sink.write([write("1", 1, {"a": 1})])

    assert rows(file, "pipedrive__deals")["1"]["a"] == 1


async def test_a_dropped_history_comes_back_under_its_name(tmp_path: Path) -> None:
    """SQLite leaves the view behind that shows it."""
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file, Rules(history=True)) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("DROP TABLE pipedrive__deals__history")
        await sink.write([write("2", 1, {"b": 2})])

    (row,) = listed(file, "pipedrive__deals_history")
    assert (row["id"], row["b"]) == ("2", 2)


async def test_a_removed_file_is_made_again_instead_of_written_into_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        for left in tmp_path.iterdir():
            left.unlink()
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(file, "pipedrive__deals")) == {"2"}


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match=r"missing/w\.db: it cannot be opened.*folder"):
        await SqliteWarehouse(tmp_path / "missing" / "w.db").__aenter__()


async def test_a_file_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    file.write_text("These are notes, not a database, and long enough to be looked at. " * 20)

    with pytest.raises(ConfigError, match="not a SQLite database"):
        await SqliteWarehouse(file).__aenter__()


async def test_a_locked_file_is_unavailable_and_then_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.warehouses.sqlite.sink.BUSY_TIMEOUT_S", 0.05)
    file = tmp_path / "w.db"
    async with SqliteWarehouse(file) as sink:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(SinkUnavailable, match="locked"):
                await sink.write([write("1", 1, {"a": 1})])
        await sink.write([write("1", 1, {"a": 1})])

    assert set(rows(file, "pipedrive__deals")) == {"1"}


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond the limit; what a full disk looks like without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_nothing_more_is_unavailable_and_nothing_is_half_written(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    batch = [write(str(number), 1, {"text": "x" * 1_000}) for number in range(500)]
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        with file_size_limit(200_000), pytest.raises(SinkUnavailable, match="disk"):
            await sink.write(batch)
        assert set(rows(file, "pipedrive__deals")) == {"first"}
        await sink.write(batch)

    assert len(rows(file, "pipedrive__deals")) == 501


@contextmanager
def without_root() -> Iterator[None]:
    """Permissions hold: root may write everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_file_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        file = folder / "w.db"
        async with SqliteWarehouse(file):
            pass
        file.chmod(0o444)
        folder.chmod(0o555)

        with without_root(), pytest.raises(SinkUnavailable, match=r"w\.db: it may not be written.*permissions"):
            await SqliteWarehouse(file).__aenter__()

        folder.chmod(0o755)


async def test_a_disk_that_is_really_full_is_waited_for(small_disk: Path) -> None:
    file = small_disk / "w.db"
    batch = [write(str(number), 1, {"text": "x" * 1_000}) for number in range(500)]
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        await written_after_full_disk(sink, batch, small_disk, rf"{file}: its disk is full: free some space")

    assert len(rows(file, "pipedrive__deals")) == 501


async def test_a_disk_that_is_full_from_the_start_is_waited_for(small_disk: Path) -> None:
    file = small_disk / "w.db"
    fill(small_disk / "filler")

    with pytest.raises(SinkUnavailable, match=rf"{file}: its disk is full: free some space"):
        await SqliteWarehouse(file).__aenter__()
    (small_disk / "filler").unlink()
    async with SqliteWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1})])

    assert set(rows(file, "pipedrive__deals")) == {"1"}
