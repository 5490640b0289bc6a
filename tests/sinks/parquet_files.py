"""A look into a Parquet warehouse from outside, as docs/parquet.md tells it."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb

from sinks.warehouses.parquet.store import Store


def tables(store: Store, source: str) -> dict[str, tuple[str, str]]:
    """Name and kind (`events`, `objects`) of all tables of a source, by a name that tells them apart."""
    found = {tuple(listed.key.split("/")[1:3]) for listed in store.list(f"{source}/")}
    events = {name for kind, name in found if kind == "events"}
    return {f"{name}__{kind}" if kind == "objects" and name in events else name: (name, kind) for kind, name in found}


def files(store: Store, folder: Path, source: str, table: str, kind: str | None = None) -> list[str]:
    """The files of a collection, or else of an event table; those of a bucket as copies in `folder`."""
    store.open()
    for each in (kind,) if kind else ("objects", "events"):
        found = []
        for listed in store.list(f"{source}/{each}/{table}/"):
            copy = Path(tempfile.mkdtemp(dir=folder, prefix="copy-"))
            fetched = store.fetch(listed.key, copy)
            assert fetched is not None
            found.append(str(fetched.file))
        if found:
            return found
    return []


def rows(store: Store, folder: Path, source: str, table: str, kind: str | None = None) -> dict[str, dict[str, Any]]:
    """Rows by id, without our own columns and without nulls."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            "SELECT * FROM read_parquet(?, union_by_name = true)", [files(store, folder, source, table, kind)]
        )
        names = [column[0] for column in found.description or ()]
        all_rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    assert len({row["id"] for row in all_rows}) == len(all_rows)
    return {
        row["id"]: {name: value for name, value in row.items() if name != "_versions" and value is not None}
        for row in all_rows
    }
