"""What is the Parquet warehouse's own: its files and inbox, interrupted and simultaneous merges, failures of stores."""

import asyncio
import http.server
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from hookmill.errors import ConfigError
from sinks.contract import Message, SinkUnavailable
from sinks.rules import DEFAULT
from sinks.warehouses.parquet.bucket import Address, Bucket
from sinks.warehouses.parquet.folder import Folder
from sinks.warehouses.parquet.inbox import pack
from sinks.warehouses.parquet.merging import merge_inbox
from sinks.warehouses.parquet.options import ParquetOptions
from sinks.warehouses.parquet.parts import key_of, table_of
from sinks.warehouses.parquet.sink import ParquetWarehouse
from sinks.warehouses.parquet.store import Store
from tests.disks import fill, written_after_full_disk
from tests.processes import free_port
from tests.s3_server import KEY_ID_ENV, SECRET_ENV, S3Server
from tests.sinks.messages import deletion, event, write
from tests.sinks.parquet_files import rows
from tests.sinks.test_sqlite_warehouse import HOSTILE, file_size_limit, without_root

SEED = 20_261_126
DEADLINE_S = 60.0


async def written(store: Store, *batches: list[Message], merge_every_s: float = 60) -> None:
    """They are merged when the sink is closed."""
    async with ParquetWarehouse(store, merge_every_s) as sink:
        for batch in batches:
            await sink.write(batch)


def keys(store: Store) -> set[str]:
    """Files of tables and of the inbox; names of the latter are left out."""
    found = {listed.key for listed in store.list("")}
    return {
        "_inbox" if key.startswith("_inbox/") else key for key in found if not key.startswith(("_lock", "_scratch"))
    }


def schema(folder: Path, pattern: str) -> dict[str, str]:
    with duckdb.connect() as connection:
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(folder / pattern)]).fetchall()
    return {row[0]: row[1] for row in found}


async def test_objects_have_a_file_and_events_one_per_hour(tmp_path: Path) -> None:
    store = Folder(tmp_path)

    await written(
        store,
        [write("1", 1, {}), event("m1", source="my-shop", event="Order Paid")],
        [event("m2", source="my-shop", event="Order Paid", receivedAt="2026-11-23T13:30:00+02:00")],
        [event("m3", source="my-shop", type="page", receivedAt="soon")],
    )

    assert keys(store) == {
        "pipedrive/objects/deals/current.parquet",
        "my_shop/events/tracks/2026-11-23T10.parquet",
        "my_shop/events/tracks/2026-11-23T11.parquet",
        "my_shop/events/order_paid/2026-11-23T10.parquet",
        "my_shop/events/order_paid/2026-11-23T11.parquet",
        "my_shop/events/pages/undated.parquet",
    }
    assert set(rows(store, tmp_path, "my_shop", "tracks")) == {"m1", "m2"}


async def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store = Folder(root)
    names = [name for name in (*HOSTILE, "../../up", "/etc", "..", "a/b") if name]
    objects = [write("1", 1, dict.fromkeys(names, "kept"), collection=name, source=name) for name in names]
    events = [
        event(f"m{number}", source=name, event=name, properties=dict.fromkeys(names, "kept"))
        for number, name in enumerate(names)
    ]

    await written(store, [*objects, *events])

    assert {"a_b", "select", "_id", "versions", "_1st", "up", "etc"} <= rows(store, tmp_path, "order", "order")[
        "1"
    ].keys()
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith("copy-")] == ["root"]
    tables = keys(store)
    assert all(key.replace("/", "_").replace("-", "_").removesuffix(".parquet").isidentifier() for key in tables)
    assert {key_of(table) for key in tables if (table := table_of(key)) is not None} == tables


async def test_a_batch_is_safe_before_it_is_merged(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    sink = ParquetWarehouse(store, 60)
    await sink.__aenter__()

    await sink.write([write("1", 1, {"a": 1})])  # and then the process is killed

    assert keys(store) == {"_inbox"}
    await written(Folder(tmp_path))
    assert keys(store) == {"pipedrive/objects/deals/current.parquet"}
    assert rows(store, tmp_path, "pipedrive", "deals")["1"]["a"] == 1
    await sink.__aexit__(None, None, None)


async def test_the_inbox_is_merged_without_another_batch(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    async with ParquetWarehouse(store, 0.05) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        async with asyncio.timeout(DEADLINE_S):
            while keys(store) != {"pipedrive/objects/deals/current.parquet"}:
                await asyncio.sleep(0.02)


async def test_a_merge_that_was_interrupted_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some files are replaced, and after all are but the inbox is not emptied."""
    store = Folder(tmp_path)
    batch: list[Message] = [write("1", 2, {"a": 2}), event("m1", event="Paid"), deletion("2", 5)]
    await written(store, [write("1", 1, {"a": 1, "b": 1}), write("2", 1, {"a": 1})])
    for broken in ("replace", "delete"):
        with monkeypatch.context() as patch:
            patch.setattr(Folder, broken, _failing_second_time(getattr(Folder, broken), always=broken == "delete"))
            with pytest.raises(SinkUnavailable, match="cut"):
                async with ParquetWarehouse(store, 0) as sink:
                    await sink.write(batch)
        assert "_inbox" in keys(store)

    await written(store)

    deals = rows(store, tmp_path, "pipedrive", "deals")
    assert {name: row.get("a") for name, row in deals.items()} == {"1": 2}
    assert set(rows(store, tmp_path, "pipedrive", "paid")) == {"m1"}
    assert "_inbox" not in keys(store)


def _failing_second_time(method: Any, *, always: bool) -> Any:
    calls = []

    def fails(*arguments: Any) -> Any:
        calls.append(1)
        if always or len(calls) > 1:
            raise SinkUnavailable("cut")
        return method(*arguments)

    return fails


async def test_a_batch_that_comes_again_after_a_failed_merge_is_in_the_inbox_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Folder(tmp_path)
    async with ParquetWarehouse(store, 0) as sink:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "replace", _failing_second_time(None, always=True))
            for _ in range(3):
                with pytest.raises(SinkUnavailable, match="cut"):
                    await sink.write([write("1", 1, {"a": 1})])
        assert len(store.list("_inbox/")) == 1
        await sink.write([write("1", 1, {"a": 1})])

    assert set(rows(store, tmp_path, "pipedrive", "deals")) == {"1"}


async def test_two_sinks_share_a_folder(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    async with ParquetWarehouse(store, 0) as first, ParquetWarehouse(Folder(tmp_path), 0) as second:
        for number in range(5):
            await asyncio.gather(
                first.write([write("1", number, {"a": number}), event(f"a{number}", event="Paid")]),
                second.write([write("1", number, {"b": number}), event(f"b{number}", event="Paid")]),
            )

    assert (
        rows(store, tmp_path, "pipedrive", "deals")["1"] | {"a": 4, "b": 4}
        == rows(store, tmp_path, "pipedrive", "deals")["1"]
    )
    assert len(rows(store, tmp_path, "pipedrive", "paid")) == 10


async def test_a_file_on_s3_that_another_merge_replaced_is_read_again(tmp_path: Path, s3_server: S3Server) -> None:
    store = s3_server.empty_bucket()
    await written(store, [write("1", 1, {"a": 1})])
    async with ParquetWarehouse(store, 60) as sink:
        await sink.write([write("1", 2, {"b": 2})])
        overtaken = _Overtaken(store._address)
        overtaken.open()
        merge_inbox(overtaken, DEFAULT)

    assert overtaken.refused == 1
    row = rows(store, tmp_path, "pipedrive", "deals")["1"]
    assert {name: row[name] for name in "abc"} == {"a": 1, "b": 2, "c": 3}


class _Overtaken(Bucket):
    """Another merge replaces the file after it was read for the first time."""

    refused = 0
    _others_came = False

    def replace(self, key: str, file: Path, version: str | None) -> bool:
        if not self._others_came:
            self._others_came = True
            thread = threading.Thread(
                target=asyncio.run, args=(written(Bucket(self._address), [write("1", 3, {"c": 3})]),)
            )
            thread.start()
            thread.join()
        is_replaced = super().replace(key, file, version)
        self.refused += not is_replaced
        return is_replaced


async def test_a_column_has_one_type_in_all_files_of_a_table(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    hours = [("m1", 10, 5), ("m2", 11, "many"), ("m3", 12, 1.5), ("m4", 13, 7)]

    for name, hour, value in hours:
        at = f"2026-11-23T{hour}:00:00.000Z"
        await written(store, [event(name, event="Paid", properties={"v": value}, receivedAt=at)])

    types = [schema(tmp_path, f"pipedrive/events/paid/2026-11-23T{hour}.parquet") for _, hour, _ in hours]
    assert {each["v"] for each in types} == {"BIGINT"}
    assert {
        name: (row.get("v"), row.get("v__text")) for name, row in rows(store, tmp_path, "pipedrive", "paid").items()
    } == {
        "m1": (5, None),
        "m2": (None, "many"),
        "m3": (None, "1.5"),
        "m4": (7, None),
    }


async def test_events_of_a_recompute_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    old = event("m1", event="Paid", properties={"total": 1})
    new = msgspec.structs.replace(event("m1", event="Refunded", properties={"total": 2}), generation=7)

    await written(store, [old, event("m2", event="Paid")])
    await written(store, [new])

    assert set(rows(store, tmp_path, "pipedrive", "paid")) == {"m2"}
    assert set(rows(store, tmp_path, "pipedrive", "refunded")) == {"m1"}
    assert rows(store, tmp_path, "pipedrive", "tracks")["m1"]["event"] == "refunded"


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match=r"gone: the folder does not exist"):
        await ParquetWarehouse(Folder(tmp_path / "gone"), 60).__aenter__()


async def test_a_folder_that_may_not_be_written_is_named() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        Path(name).chmod(0o555)

        with without_root(), pytest.raises(SinkUnavailable, match=f"{name}: the folder cannot be .* Permission denied"):
            await ParquetWarehouse(Folder(Path(name)), 60).__aenter__()


async def test_a_full_disk_is_unavailable_and_then_written(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    batch: list[Message] = [write(str(number), 1, {"text": f"{number} " * 300}) for number in range(500)]
    async with ParquetWarehouse(store, 60) as sink:
        with file_size_limit(50_000), pytest.raises(SinkUnavailable, match="the folder cannot be read or written"):
            await sink.write(batch)
        assert keys(store) == set()
        await sink.write(batch)

    assert len(rows(store, tmp_path, "pipedrive", "deals")) == 500


async def test_a_file_that_somebody_spoilt_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    await written(store, [write("1", 1, {"a": 1})])
    (tmp_path / "pipedrive" / "objects" / "deals" / "current.parquet").write_text("notes")

    async with ParquetWarehouse(store, 0) as sink:
        with pytest.raises(SinkUnavailable, match=r"cannot be merged: .*deals/current\.parquet"):
            await sink.write([write("2", 1, {"a": 2})])

    assert "_inbox" in keys(store)


async def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    with pytest.raises(SinkUnavailable, match="s3://no-such/x: the bucket does not exist: create it"):
        await ParquetWarehouse(Bucket(s3_server.address("s3://no-such/x")), 60).__aenter__()


async def test_a_server_of_s3_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
    monkeypatch.setattr("sinks.warehouses.parquet.bucket._RETRIES", 0)
    address = Address("s3://b", f"http://127.0.0.1:{free_port()}", "us-east-1", KEY_ID_ENV, SECRET_ENV)

    with pytest.raises(SinkUnavailable, match=r"s3://b: .*HTTP error"):
        await ParquetWarehouse(Bucket(address), 60).__aenter__()


@contextmanager
def server(status: int, answer: bytes) -> Iterator[str]:
    """Answers everything alike; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
        thread.join()


async def test_wrong_credentials_are_told_without_them(s3_server: S3Server) -> None:
    """What S3 answers to a wrong secret has the key in it."""
    refusal = b"<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId></Error>"
    with server(403, refusal) as endpoint:
        sink = ParquetWarehouse(Bucket(Address("s3://b", endpoint, "us-east-1", KEY_ID_ENV, SECRET_ENV)), 60)
        with pytest.raises(SinkUnavailable) as caught:
            await sink.__aenter__()

    assert "s3://b: S3 refuses the credentials, or a right is missing" in str(caught.value)
    assert "AKIA" not in str(caught.value)


async def test_a_server_that_takes_no_notice_of_conditions_is_not_used(s3_server: S3Server) -> None:
    with server(200, b"<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>") as endpoint:
        sink = ParquetWarehouse(Bucket(Address("s3://b", endpoint, "us-east-1", KEY_ID_ENV, SECRET_ENV)), 60)
        with pytest.raises(SinkUnavailable, match=r"s3://b: the server writes no object on a condition"):
            await sink.__aenter__()


async def test_credentials_that_are_not_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ID_ENV, raising=False)

    with pytest.raises(SinkUnavailable, match=KEY_ID_ENV):
        await ParquetWarehouse(Bucket(Address("s3://b", None, None, KEY_ID_ENV, SECRET_ENV)), 60).__aenter__()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": "https://b.example.com"}, "url must be like s3://bucket/prefix"),
        ({"url": "s3://key:secret@b"}, "url must be like s3://bucket/prefix"),
        ({"url": "s3://"}, "url must be like s3://bucket/prefix"),
        ({"url": "s3://b", "path": "x"}, "path and url name two places"),
        ({"url": "s3://b", "endpoint": "minio:9000"}, "endpoint must be like https://s3.example.com"),
        ({"url": "s3://b", "access_key_id_env": "A"}, "access_key_id_env and secret_access_key_env belong together"),
        ({"endpoint": "https://s3.example.com"}, 'endpoint is for a bucket: it needs url = "s3://..."'),
        ({"path": ""}, "path must be a text that is not empty"),
        ({"merge_every_s": -1.0}, "merge_every_s is -1: it must be from 0 to 86,400 seconds"),
    ],
)
def test_wrong_options_are_told_without_secrets(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ParquetOptions(**options).check()

    assert str(caught.value).startswith(text)
    assert "secret@" not in str(caught.value)


async def test_a_foreign_file_of_the_same_name_is_named_and_not_touched(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    file = tmp_path / "pipedrive" / "objects" / "deals" / "current.parquet"
    file.parent.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 'mine' AS id, 5 AS value) TO '{file}'")
    foreign = file.read_bytes()

    async with ParquetWarehouse(store, 0) as sink:
        with pytest.raises(SinkUnavailable) as caught:
            await sink.write([write("1", 1, {"a": 1}), event("m1", event="Paid")])
        assert "deals/current.parquet cannot be read, or is no file of this warehouse: restore it, or move it away" in (
            str(caught.value)
        )
        assert "it has no column _versions of text" in str(caught.value)
        assert file.read_bytes() == foreign
        file.rename(tmp_path / "mine.parquet")
        await sink.write([write("1", 1, {"a": 1}), event("m1", event="Paid")])

    assert set(rows(store, tmp_path, "pipedrive", "deals")) == {"1"}
    assert set(rows(store, tmp_path, "pipedrive", "paid")) == {"m1"}


async def test_a_foreign_file_in_a_bucket_is_named_by_its_key(s3_server: S3Server) -> None:
    store = s3_server.empty_bucket()
    async with ParquetWarehouse(store, 0) as sink:
        store.put("pipedrive/objects/deals/current.parquet", b"notes")
        with pytest.raises(SinkUnavailable, match=r"merged: pipedrive/objects/deals/current\.parquet cannot be read"):
            await sink.write([write("1", 1, {"a": 1})])


async def test_a_foreign_file_in_the_inbox_is_named_and_what_comes_is_kept(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    async with ParquetWarehouse(store, 0) as sink:
        for content in (b"notes", b"[]", b'{"a": 1}'):
            store.put("_inbox/notes.json", content)
            if content == b"[]":  # a batch of nothing
                continue
            with pytest.raises(SinkUnavailable, match=r"_inbox/notes\.json is damaged, or no batch of this warehouse"):
                await sink.write([write("1", 1, {"a": 1})])
        (tmp_path / "_inbox" / "notes.json").unlink()
        await sink.write([write("1", 1, {"a": 1})])

    assert set(rows(store, tmp_path, "pipedrive", "deals")) == {"1"}


async def test_a_folder_that_goes_away_is_not_made_and_used_when_it_is_back(tmp_path: Path) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    root.mkdir()
    async with ParquetWarehouse(Folder(root), 60) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        root.rename(away)
        with pytest.raises(SinkUnavailable, match="root: the folder does not exist"):
            await sink.write([write("2", 1, {"a": 2})])
        assert not root.exists()
        away.rename(root)
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(Folder(root), tmp_path, "pipedrive", "deals")) == {"1", "2"}


async def test_a_folder_that_was_emptied_is_used_again(tmp_path: Path) -> None:
    async with ParquetWarehouse(Folder(tmp_path), 0) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        for left in tmp_path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(Folder(tmp_path), tmp_path, "pipedrive", "deals")) == {"2"}


async def test_a_table_whose_folder_may_not_be_read_is_unavailable() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        root = Path(name)
        await written(Folder(root), [write("1", 1, {"a": 1})])
        for each in (root, *root.rglob("*")):
            each.chmod(0o777)
        (root / "pipedrive" / "objects").chmod(0o700)
        sink = ParquetWarehouse(Folder(root), 60)
        with without_root():
            merging = Folder(root)
            merging.open()
            merging.put("_inbox/1.json", pack([write("2", 1, {"a": 2})]))
            with pytest.raises(SinkUnavailable, match=f"{name}: the folder cannot be .* Permission denied"):
                merge_inbox(merging, DEFAULT)
        async with sink:
            pass

        assert set(rows(Folder(root), root, "pipedrive", "deals")) == {"1", "2"}


async def test_what_killed_processes_left_on_its_way_is_cleared_by_the_next_merge(tmp_path: Path) -> None:
    scratch = tmp_path / "_scratch"
    (scratch / "of-a-merge").mkdir(parents=True)
    (scratch / "of-a-merge" / "out-0").write_bytes(b"half a file")
    for name, age_s in (("left", 3_700), ("on-its-way", 10)):
        (scratch / name).write_bytes(b"half a batch")
        os.utime(scratch / name, (time.time() - age_s,) * 2)

    await written(Folder(tmp_path), [write("1", 1, {"a": 1})])

    assert [left.name for left in scratch.iterdir()] == ["on-its-way"]


@pytest.mark.parametrize("merge_every_s", [0, 60])
async def test_a_disk_that_is_really_full_is_waited_for(small_disk: Path, merge_every_s: float) -> None:
    store = Folder(small_disk)
    chance = random.Random(SEED)
    batch: list[Message] = [write(str(n), 1, {"text": chance.randbytes(1_000).hex()}) for n in range(500)]
    async with ParquetWarehouse(store, merge_every_s) as sink:
        await sink.write([write("first", 1, {"text": "x"})])
        await written_after_full_disk(sink, batch, small_disk, f"{small_disk}: .*No space left")

    assert len(rows(store, small_disk, "pipedrive", "deals")) == 501
    assert "_inbox" not in keys(store)


async def test_a_disk_with_room_for_the_inbox_alone_is_waited_for(small_disk: Path) -> None:
    """The batch is safe, its merge is not done."""
    store = Folder(small_disk)
    chance = random.Random(SEED)
    batch: list[Message] = [write(str(n), 1, {"text": chance.randbytes(2_000).hex()}) for n in range(1_000)]
    async with ParquetWarehouse(store, 0) as sink:
        (small_disk / "room").write_bytes(bytes(5_000_000))
        fill(small_disk / "filler")
        (small_disk / "room").unlink()  # the batch has 4 MB, the table 2 MB

        with pytest.raises(SinkUnavailable, match=r"the files cannot be merged: .*No space left"):
            await sink.write(batch)
        assert keys(store) >= {"_inbox"}
        (small_disk / "filler").unlink()
        await sink.write(batch)

    assert len(rows(store, small_disk, "pipedrive", "deals")) == 1_000
    assert "_inbox" not in keys(store)


async def test_a_full_disk_for_merges_of_a_bucket_is_named_and_waited_for(
    tmp_path: Path, small_disk: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    store = s3_server.empty_bucket()
    chance = random.Random(SEED)
    batch: list[Message] = [write(str(n), 1, {"text": chance.randbytes(100).hex()}) for n in range(500)]
    async with ParquetWarehouse(store, 0) as sink:
        fill(small_disk / "filler")
        with pytest.raises(SinkUnavailable, match=f"{small_disk}"):
            await sink.write(batch)
        (small_disk / "filler").unlink()
        await sink.write(batch)
    monkeypatch.undo()
    s3_server.set_credentials(monkeypatch)

    assert len(rows(store, tmp_path, "pipedrive", "deals")) == 500


@pytest.mark.parametrize("action", ["PutObject", "GetObject", "DeleteObject"])
async def test_a_right_that_is_taken_away_in_a_bucket_is_told_and_waited_for(
    tmp_path: Path, s3_server: S3Server, action: str
) -> None:
    store = s3_server.empty_bucket()
    async with ParquetWarehouse(store, 0) as sink:
        await sink.write([write("1", 1, {"a": 1})])
        s3_server.deny(store, f"s3:{action}")
        with pytest.raises(SinkUnavailable, match="S3 refuses the credentials, or a right is missing: s3:ListBucket"):
            await sink.write([write("2", 1, {"a": 2})])
        s3_server.deny(store)
        await sink.write([write("2", 1, {"a": 2})])

    assert set(rows(store, tmp_path, "pipedrive", "deals")) == {"1", "2"}
    assert "_inbox" not in keys(store)
