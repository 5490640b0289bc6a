"""Kinds and options of sinks."""

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hookmill.errors import ConfigError
from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Sink
from hookmill.topics import TopicNames
from sinks.open import check_sink, describe_sink, open_sink, warehouse_file
from sinks.options import Surroundings
from tests.sinks.database import tables
from tests.sinks.messages import write


def definition(kind: str, *, events: bool = True, objects: bool = True, **options: Any) -> Sink:
    return Sink(name="warehouse", kind=kind, events=events, objects=objects, options=options)


def around(data_dir: Path) -> Surroundings:
    return Surroundings(data_dir, SqliteLog(data_dir / "log"), TopicNames())


@pytest.mark.parametrize(
    ("sink", "text"),
    [
        (definition("abacus"), 'Sink "warehouse": kind "abacus" does not exist; there are sqlite, postgres'),
        (
            definition("sqlite", file="x"),
            'Sink "warehouse": option "file" does not exist; sqlite has merge, names, history, path.',
        ),
        (
            definition("sqlite", merge={"deals": "overwrite"}),
            "Sink \"warehouse\": Invalid enum value 'overwrite' - at `$.merge[...]`.",
        ),
        (definition("sqlite", names="loose"), "Sink \"warehouse\": Invalid enum value 'loose' - at `$.names`."),
        (
            definition("sqlite", history="deals"),
            'Sink "warehouse": Expected `bool | array`, got `str` - at `$.history`.',
        ),
        (
            definition("postgres", history=["deals", "Users"]),
            'Sink "warehouse": history cannot name "Users": calls of users change its rows too.',
        ),
        (
            definition("parquet", history=True),
            'Sink "warehouse": parquet keeps no history of objects; sqlite, postgres, duckdb and clickhouse can.',
        ),
        (definition("sqlite", path=5), 'Sink "warehouse": Expected `str`, got `int` - at `$.path`.'),
        (definition("sqlite", path=""), 'Sink "warehouse": path must be the name of a file.'),
        (definition("jsonl", path="a\x00"), 'Sink "warehouse": path must be the name of a file.'),
        (
            definition("sqlite", path="-"),
            'Sink "warehouse": sqlite cannot write to standard output; path "-" is only for jsonl.',
        ),
        (
            definition("duckdb", path="-"),
            'Sink "warehouse": duckdb cannot write to standard output; path "-" is only for jsonl.',
        ),
        (
            definition("duckdb", file="x"),
            'Sink "warehouse": option "file" does not exist; duckdb has merge, names, history, path.',
        ),
        (
            definition("parquet", bucket="x"),
            'Sink "warehouse": option "bucket" does not exist; parquet has merge, names, history, path, url',
        ),
        (
            definition("jsonl", rotate_bytes=5),
            'Sink "warehouse": rotate_bytes needs a path: standard output cannot be put aside.',
        ),
        (
            definition("jsonl", path="x", rotate_bytes=-1),
            'Sink "warehouse": rotate_bytes is -1: it must be a number of bytes, or 0 for never.',
        ),
        (definition("stdout", path="x"), 'Sink "warehouse": option "path" does not exist; stdout has none.'),
        (
            definition("jsonl", events=False, objects=False),
            'Sink "warehouse" gets neither events nor objects: set one of them to true.',
        ),
    ],
)
def test_a_wrong_definition_is_refused_by_name(sink: Sink, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_sink(sink)

    assert str(caught.value).startswith(text)


async def test_the_default_warehouse_is_in_the_data_folder(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    sink = definition("sqlite")

    async with open_sink(sink, around(data_dir)) as opened:
        await opened.write([write("1", 1, {})])

    assert warehouse_file(sink, data_dir) == data_dir / "warehouse.db"
    assert tables(data_dir / "warehouse.db") == {"pipedrive__deals"}


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    sink = definition("sqlite", path=str(tmp_path / "mine.db"))

    assert warehouse_file(sink, Path("/elsewhere")) == tmp_path / "mine.db"


def test_only_sqlite_sinks_have_a_warehouse_file() -> None:
    assert warehouse_file(definition("jsonl", path="x.jsonl"), Path()) is None


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'Sink "warehouse": folder .*/gone does not exist'):
        open_sink(definition("sqlite", path="gone/w.db"), around(tmp_path))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        open_sink(definition("jsonl", path="."), around(tmp_path))


def test_sinks_describe_themselves() -> None:
    assert describe_sink(definition("sqlite"), Path("d")) == "events and objects to sqlite d/warehouse.db"
    assert describe_sink(definition("jsonl", objects=False), Path("d")) == "events to jsonl on standard output"


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        ("sinks", {"segment", "webhook", "kafka", "jsonl"}),
        ("postgres", {"postgres"}),
        ("duckdb", {"duckdb"}),
        ("parquet", {"parquet"}),
    ],
)
def test_the_sinks_of_the_documentation_can_be_opened(page: str, kinds: set[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text()
    tables = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])

    for name, table in tables.items():
        options = {option: value for option, value in table.items() if option not in ("kind", "only")}
        check_sink(Sink(name, table["kind"], events=True, objects=True, options=options))

    assert {table["kind"] for table in tables.values()} >= kinds


@pytest.mark.parametrize(
    ("kind", "missing"), [("duckdb", "duckdb"), ("duckdb", "pyarrow"), ("parquet", "pyarrow"), ("parquet", "obstore")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    kind: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))

    with pytest.raises(ConfigError, match=rf"{missing} is not installed: pip install 'hookmill\[{kind}\]'"):
        check_sink(definition(kind))


async def test_the_parquet_folder_is_made_in_the_data_folder_only(tmp_path: Path) -> None:
    async with open_sink(definition("parquet"), around(tmp_path / "data")) as opened:
        await opened.write([write("1", 1, {})])

    assert (tmp_path / "data" / "parquet" / "pipedrive" / "objects" / "deals" / "current.parquet").is_file()
    with pytest.raises(ConfigError, match=r'Sink "warehouse": folder .*/gone does not exist'):
        open_sink(definition("parquet", path=str(tmp_path / "gone")), around(tmp_path / "data"))
