"""What is the DuckDB warehouse's own: names and types in the file, who may have it open, failures of the file."""

import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hookmill.errors import ConfigError
from sinks.contract import Message, SinkUnavailable
from sinks.rules import Rules
from sinks.warehouses.duckdb.sink import DuckdbWarehouse
from sinks.warehouses.duckdb.statements import quoted
from tests.disks import fill, written_after_full_disk
from tests.sinks.duckdb_file import query, rows, tables
from tests.sinks.messages import deletion, event, write
from tests.sinks.test_sqlite_warehouse import HOSTILE, file_size_limit, without_root

SEED = 20_261_126
DEADLINE_S = 60.0

HOLDER = """
import duckdb, select, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reads")
print("open", flush=True)
select.select([sys.stdin], [], [], float(sys.argv[3]))
connection.close()
sys.stdin.read()
"""


async def written(file: Path, *batches: list[Message]) -> None:
    async with DuckdbWarehouse(file) as sink:
        for batch in batches:
            await sink.write(batch)


def types(file: Path, schema: str, table: str) -> dict[str, str]:
    return dict(
        query(
            file,
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?",
            schema,
            table,
        )
    )


@contextmanager
def another_process(file: Path, how: str, for_s: float = DEADLINE_S) -> Iterator[int]:
    """A process that has the file open, for so long at most; its id."""
    command = [sys.executable, "-c", HOLDER, str(file), how, str(for_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process.pid


async def test_each_source_has_a_schema(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"

    await written(file, [write("1", 1, {}), event("m1", source="my-shop", event="Order Paid")])

    assert tables(file) == {"pipedrive.deals", "my_shop.tracks", "my_shop.order_paid"}


async def test_a_source_may_be_called_like_the_file_or_like_a_schema_of_duckdb(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    sources = ("w", "main", "temp", "system", "information-schema", "pg-catalog")

    await written(file, [write("1", 1, {"a": name}, source=name) for name in sources])

    assert tables(file) == {
        "w.deals",
        "main.deals",
        "temp.deals",
        "system.deals",
        "_information_schema.deals",
        "_pg_catalog.deals",
    }


async def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    names = [name for name in HOSTILE if name]
    objects = [write("1", 1, dict.fromkeys(HOSTILE, "kept"), collection=name, source=name) for name in names]
    events = [
        event(f"m{index}", source=name, event=name, properties=dict.fromkeys(HOSTILE, "kept"))
        for index, name in enumerate(names)
    ]

    await written(file, [*objects, *events], [*objects, *events])

    row = rows(file, "order", "order")["1"]
    assert {"a_b", "select", "_id", "versions", "rowid", "_1st"} <= row.keys()
    # Two pairs of names come to one column (a"b and a NUL b; ORDER and order): 15 names, 13 columns.
    assert list(row.values()).count("kept") == 13


def test_quoting_leaves_no_way_out() -> None:
    assert quoted('a"; DROP TABLE x; --', "b") == '"a""; DROP TABLE x; --"."b"'


async def test_a_foreign_table_of_the_same_name_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    query(file, "CREATE SCHEMA pipedrive; CREATE TABLE pipedrive.deals (mine VARCHAR)")

    await written(file, [write("1", 1, {"a": 1})], [write("1", 2, {"a": 2})])

    assert query(file, "SELECT count(*) FROM pipedrive.deals") == [(0,)]
    assert rows(file, "pipedrive", "deals__objects")["1"]["a"] == 2


async def test_columns_have_the_type_of_their_first_value(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    properties = {"n": 1, "x": 1.5, "is": True, "at": "2026-11-23T10:00:00+02:00", "on": "2026-11-23", "s": "x"}

    await written(file, [write("1", 1, properties)])

    assert types(file, "pipedrive", "deals") == {
        "id": "VARCHAR",
        "received_at": "TIMESTAMP WITH TIME ZONE",
        "n": "BIGINT",
        "x": "DOUBLE",
        "is": "BOOLEAN",
        "at": "TIMESTAMP WITH TIME ZONE",
        "on": "TIMESTAMP WITH TIME ZONE",
        "s": "VARCHAR",
        "_versions": "VARCHAR",
    }
    at = query(file, """SELECT "at" = '2026-11-23T08:00:00Z', "on" = '2026-11-23T00:00:00Z' FROM pipedrive.deals""")
    assert at == [(True, True)]


@pytest.mark.parametrize(
    ("values", "column_type", "kept"),
    [
        ([1, 2.5], "DOUBLE", [1.0, 2.5]),
        ([1.5, 2], "DOUBLE", [1.5, 2.0]),
        ([2**53 + 1, 2.5], "VARCHAR", ["9007199254740993", "2.5"]),
        ([1.5, 2**53 + 1], "VARCHAR", ["1.5", "9007199254740993"]),
        ([1, "x"], "VARCHAR", ["1", "x"]),
        ([2.0, "x"], "VARCHAR", ["2", "x"]),
        ([True, 1], "VARCHAR", ["true", "1"]),
        ([1, True], "VARCHAR", ["1", "true"]),
        ([2**70, 1], "VARCHAR", [str(2**70), "1"]),
        ([1, [2, {"a": None}]], "VARCHAR", ["1", '[2,{"a":null}]']),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_column_becomes_wide_enough_for_every_value(
    tmp_path: Path, values: list[Any], column_type: str, kept: list[Any], together: bool
) -> None:
    file = tmp_path / "w.duckdb"
    writes: list[Message] = [write(str(index), 1, {"v": value}) for index, value in enumerate(values)]

    await written(file, *([writes] if together else [[each] for each in writes]))

    assert types(file, "pipedrive", "deals")["v"] == column_type
    assert [rows(file, "pipedrive", "deals")[str(index)]["v"] for index in range(len(values))] == kept


async def test_a_time_that_is_none_goes_beside_its_column(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"

    await written(
        file,
        [write("0", 1, {"at": "2026-02-30"}), write("1", 1, {"at": "2026-11-23"})],
        [write("2", 1, {"at": "soon"}), write("3", 1, {"at": "2026-11-24T10:00:00Z"})],
        [write("1", 2, {"at": 5})],
        [write("2", 2, {"at": "2026-11-25"})],
    )

    assert query(file, 'SELECT id, "at"::VARCHAR, at__text FROM pipedrive.deals ORDER BY id') == [
        ("0", None, "2026-02-30"),
        ("1", None, "5"),
        ("2", "2026-11-25 00:00:00+00", None),
        ("3", "2026-11-24 10:00:00+00", None),
    ]


async def test_a_column_under_a_view_gets_another_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file, [write("1", 1, {"v": 1}), event("m1", event="Paid", properties={"v": 1})])
    query(file, "CREATE VIEW report AS SELECT v FROM pipedrive.deals")

    await written(file, [write("1", 2, {"v": "many"})], [write("2", 1, {"v": 2})])

    assert query(file, "SELECT id, v, v__text FROM pipedrive.deals ORDER BY id") == [
        ("1", None, "many"),
        ("2", 2, None),
    ]
    assert query(file, "SELECT * FROM report ORDER BY v") == [(2,), (None,)]


async def test_a_history_holds_no_column_of_its_objects_and_gets_wider_types_too(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file, Rules(history=True)) as sink:
        await sink.write([write("1", 1, {"v": 1})])
        await sink.write([write("1", 2, {"v": "many"})])

    assert types(file, "pipedrive", "deals")["v"] == "VARCHAR"
    assert query(file, "SELECT v FROM pipedrive.deals_history ORDER BY valid_from") == [("1",), ("many",)]


async def test_a_view_over_a_history_holds_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file, Rules(history=True)) as sink:
        await sink.write([write("1", 1, {"v": 1})])
    query(file, "CREATE VIEW report AS SELECT v FROM pipedrive.deals_history")

    async with DuckdbWarehouse(file, Rules(history=True)) as sink:
        await sink.write([write("1", 2, {"v": "many"})])

    assert query(file, "SELECT v, v__text FROM pipedrive.deals_history ORDER BY valid_from") == [
        (1, None),
        (None, "many"),
    ]
    assert query(file, "SELECT * FROM report ORDER BY v") == [(1,), (None,)]


async def test_a_history_is_there_in_a_copy_of_the_file(tmp_path: Path) -> None:
    """The database is called like the file, and here like the schema too."""
    file, copy = tmp_path / "pipedrive.duckdb", tmp_path / "copy.duckdb"
    async with DuckdbWarehouse(file, Rules(history=True)) as sink:
        await sink.write([write("1", 1, {"v": 1})])
        await sink.write([write("1", 2, {"w": 2})])

    shutil.copy(file, copy)

    assert query(file, "SELECT v, w FROM pipedrive.pipedrive.deals_history ORDER BY valid_from") == [(1, None), (1, 2)]
    assert query(copy, "SELECT v, w FROM pipedrive.deals_history ORDER BY valid_from") == [(1, None), (1, 2)]


async def test_events_of_a_recompute_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    old = event("m1", event="Paid", properties={"total": 1})
    new = msgspec.structs.replace(event("m1", event="Refunded", properties={"total": 2}), generation=7)

    await written(file, [old, event("m2", event="Paid")], [new], [old, new])

    assert set(rows(file, "pipedrive", "refunded")) == {"m1"}
    assert rows(file, "pipedrive", "tracks")["m1"]["event"] == "refunded"


async def test_a_dropped_table_comes_back_without_its_tombstones(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file, [deletion("1", 5), write("2", 1, {"a": 2})])
    query(file, "DROP TABLE pipedrive.deals")

    await written(file, [write("1", 1, {"a": 1})])

    assert set(rows(file, "pipedrive", "deals")) == {"1"}


async def test_a_file_that_another_process_has_open_is_unavailable_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file, [write("1", 1, {})])

    for how in ("reads", "writes"):
        with another_process(file, how) as pid, pytest.raises(SinkUnavailable) as caught:
            await DuckdbWarehouse(file).__aenter__()
        assert f"{file}: another program has it open; end it" in str(caught.value)
        assert f"(PID {pid})" in str(caught.value)


async def test_an_idle_sink_lets_others_have_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.warehouses.duckdb.sink._IDLE_S", 0.05)
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file) as sink:
        await sink.write([write("1", 1, {})])
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread(_can_be_opened, file):
                await asyncio.sleep(0.02)
        with another_process(file, "reads"), pytest.raises(SinkUnavailable, match="another program has it open"):
            await sink.write([write("2", 1, {})])
        await sink.write([write("2", 1, {})])

    assert set(rows(file, "pipedrive", "deals")) == {"1", "2"}


def _can_be_opened(file: Path) -> bool:
    command = [sys.executable, "-c", HOLDER, str(file), "reads", "0"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


async def test_two_sinks_of_a_process_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file) as first, DuckdbWarehouse(file) as second:
        await first.write([write("1", 1, {"a": 1})])
        await second.write([write("1", 2, {"b": 2})])
        await first.write([write("1", 3, {"b": 3, "c": 3})])
        await second.write([write("1", 1, {"c": 0, "d": 1})])

    row = rows(file, "pipedrive", "deals")["1"]
    assert {name: row[name] for name in "abcd"} == {"a": 1, "b": 3, "c": 3, "d": 1}


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match=r"missing/w\.duckdb: it cannot be opened.*folder.*No such file"):
        await DuckdbWarehouse(tmp_path / "missing" / "w.duckdb").__aenter__()


async def test_a_file_that_is_no_database_is_a_wrong_setting(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    file.write_text("These are notes, not a database, and long enough to be looked at. " * 200)

    with pytest.raises(ConfigError, match="it is not a DuckDB database"):
        await DuckdbWarehouse(file).__aenter__()


async def test_a_disk_that_takes_nothing_more_is_unavailable_and_nothing_is_half_written(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    batch: list[Message] = [write(str(number), 1, {"text": f"{number} " * 300}) for number in range(2_000)]
    async with DuckdbWarehouse(file) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        with file_size_limit(100_000), pytest.raises(SinkUnavailable, match="disk"):
            await sink.write(batch)
        assert set(rows(file, "pipedrive", "deals")) == {"first"}
        await sink.write(batch)

    assert len(rows(file, "pipedrive", "deals")) == 2_001


async def test_what_a_user_made_of_a_column_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file, [write("1", 1, {"v": 1})])
    query(file, "ALTER TABLE pipedrive.deals ALTER COLUMN v TYPE DECIMAL(10, 2)")

    await written(file, [write("1", 2, {"v": 2.125})])

    assert query(file, "SELECT v__text FROM pipedrive.deals") == [("2.125",)]


@pytest.mark.parametrize("how", ["moved", "removed"])
async def test_a_file_that_is_gone_is_made_again_instead_of_written_into_nowhere(tmp_path: Path, how: str) -> None:
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        if how == "moved":
            file.rename(tmp_path / "away.duckdb")
        else:
            file.unlink()
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(file, "pipedrive", "deals")) == {"2"}
    if how == "moved":
        assert set(rows(tmp_path / "away.duckdb", "pipedrive", "deals")) == {"1"}


async def test_a_file_that_is_gone_is_made_again_by_one_of_two_sinks(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    async with DuckdbWarehouse(file) as first, DuckdbWarehouse(file) as second:
        file.unlink()
        with pytest.raises(SinkUnavailable, match="it was moved away; a new one is made when no sink has it open"):
            await first.write([write("1", 1, {"a": 1})])
        await second.write([write("2", 1, {"a": 2})])
        await first.write([write("1", 1, {"a": 1})])

    assert set(rows(file, "pipedrive", "deals")) == {"1", "2"}


async def test_a_file_or_folder_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        await written(folder / "w.duckdb")
        (folder / "w.duckdb").chmod(0o444)
        folder.chmod(0o555)

        for file in ("w.duckdb", "new.duckdb"):
            with without_root(), pytest.raises(SinkUnavailable, match=rf"{file}: it cannot be .*Permission denied"):
                await DuckdbWarehouse(folder / file).__aenter__()

        folder.chmod(0o755)


async def test_a_damaged_file_is_a_wrong_setting_and_then_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file, [write("1", 1, {"a": 1})])
    good = file.read_bytes()
    # After the header of the file, 4 KiB, comes the header of the database.
    damaged = good[:4_100] + bytes(byte ^ 0xFF for byte in good[4_100:4_110]) + good[4_110:]
    file.write_bytes(damaged)

    with pytest.raises(ConfigError, match=r"w\.duckdb: it is damaged: restore it, or move it and its \.wal away"):
        await DuckdbWarehouse(file).__aenter__()

    file.write_bytes(good)
    async with DuckdbWarehouse(file) as sink:
        file.unlink()
        file.write_bytes(damaged)
        with pytest.raises(SinkUnavailable, match="it is damaged"):
            await sink.write([write("2", 1, {"a": 2})])
        file.write_bytes(good)
        await sink.write([write("2", 1, {"a": 2})])
    assert set(rows(file, "pipedrive", "deals")) == {"1", "2"}


async def test_a_file_of_another_version_is_a_wrong_setting(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    await written(file)
    content = bytearray(file.read_bytes())
    # The version follows the 8 bytes of a checksum and the text DUCK. The checksum is the exclusive or of all words of
    # 8 bytes, each times a constant.
    before = int.from_bytes(content[8:16], "little")
    content[12:16] = (9_000).to_bytes(4, "little")
    after = int.from_bytes(content[8:16], "little")
    factor, mask = 0xBF58476D1CE4E5B9, 2**64 - 1
    checksum = int.from_bytes(content[:8], "little") ^ (before * factor & mask) ^ (after * factor & mask)
    content[:8] = checksum.to_bytes(8, "little")
    file.write_bytes(content)

    with pytest.raises(ConfigError, match="another version of DuckDB wrote it: name another file, or export it"):
        await DuckdbWarehouse(file).__aenter__()


async def test_a_full_disk_is_waited_for(small_disk: Path) -> None:
    file = small_disk / "w.duckdb"
    chance = random.Random(SEED)
    batch: list[Message] = [write(str(n), 1, {"text": chance.randbytes(1_000).hex()}) for n in range(500)]
    async with DuckdbWarehouse(file) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        await written_after_full_disk(sink, batch, small_disk, r"w\.duckdb: .*(disk|space)")

    assert len(rows(file, "pipedrive", "deals")) == 501


async def test_a_disk_that_is_full_from_the_start_is_waited_for(small_disk: Path) -> None:
    file = small_disk / "w.duckdb"
    fill(small_disk / "filler")

    with pytest.raises(SinkUnavailable, match=r"w\.duckdb: .*(disk|space)"):
        await DuckdbWarehouse(file).__aenter__()
    assert [left.name for left in small_disk.iterdir() if left.name != "lost+found"] == ["filler"]
    (small_disk / "filler").unlink()
    await written(file, [write("1", 1, {"a": 1})])

    assert set(rows(file, "pipedrive", "deals")) == {"1"}
