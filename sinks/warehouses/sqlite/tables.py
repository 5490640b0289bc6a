"""The tables of one SQLite file that are ours: what they are called, which columns they have, and how they change."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import closing
from typing import Final

from sinks.naming import history_view, with_hash
from sinks.schema import AddColumns, Change, ColumnType, CreateTable, TableKey, TableKind
from sinks.warehouses.sqlite.statements import (
    CREATE_CATALOG,
    CREATE_HISTORIES,
    CREATE_TOMBSTONES,
    DECLARED,
    DELETE_TOMBSTONES,
    INSERT_CATALOG,
    INSERT_HISTORY,
    SELECT_CATALOG,
    SELECT_COLUMNS,
    SELECT_NAMES,
    SELECT_ORDERED,
    SELECT_VIEW,
    VERSIONS_COLUMN,
    add_column,
    create_table,
    create_view,
    drop_view,
)

_TEXT: Final = DECLARED[ColumnType.TEXT]
_OUR_OWN: Final = {"id", VERSIONS_COLUMN}


class Tables:
    """Our tables as the current transaction sees them. Only used within a transaction of `connection`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._columns: dict[TableKey, set[str]] = {}
        self._texts: dict[TableKey, set[str]] = {}
        self._names: dict[TableKey, str] = {}
        self._schema_version: int | None = None

    @property
    def columns(self) -> Mapping[TableKey, Set[str]]:
        """Columns by table."""
        return self._columns

    def name(self, key: TableKey) -> str:
        """What the table is called in the file."""
        return self._names[key]

    def texts(self, key: TableKey) -> Set[str]:
        """Columns that hold text and nothing else, but for those of our own."""
        return self._texts[key]

    def refresh(self) -> None:
        """Known as they are now: another process may have changed them, or removed some."""
        (version,) = self._connection.execute("PRAGMA schema_version").fetchone()
        if version != self._schema_version:
            self._load()
            (self._schema_version,) = self._connection.execute("PRAGMA schema_version").fetchone()

    def forget(self) -> None:
        """The transaction was rolled back: what is known may not be so."""
        self._schema_version = None

    def carry_out(self, changes: Iterable[Change]) -> None:
        """The tables have what `changes` ask for."""
        taken: set[str] | None = None
        for change in changes:
            match change:
                case CreateTable():
                    taken = self._taken() if taken is None else taken
                    taken.add(self._create(change, taken))
                case AddColumns():
                    for column, column_type in change.columns.items():
                        self._connection.execute(add_column(self._names[change.key], column, column_type))
                    self._columns[change.key].update(change.columns)
                    self._texts[change.key].update(_texts(change.columns))
            if change.key.kind is TableKind.HISTORY:
                view = self._show(change.key)
                if taken is not None:
                    taken.add(view)

    def _load(self) -> None:
        self._connection.execute(CREATE_CATALOG)
        self._connection.execute(CREATE_TOMBSTONES)
        self._connection.execute(CREATE_HISTORIES)
        by_name: dict[str, dict[str, str]] = {}
        with closing(self._connection.execute(SELECT_COLUMNS)) as found:
            for table, column, declared in found:
                by_name.setdefault(table, {})[column] = declared
        self._names = {
            TableKey(schema, name, TableKind(kind)): table
            for table, schema, name, kind in self._connection.execute(SELECT_CATALOG).fetchall()
            if table in by_name
        }
        self._columns = {key: set(by_name[table]) for key, table in self._names.items()}
        self._texts = {
            key: {column for column, declared in by_name[table].items() if declared == _TEXT} - _OUR_OWN
            for key, table in self._names.items()
        }

    def _taken(self) -> set[str]:
        return {name for (name,) in self._connection.execute(SELECT_NAMES)}

    def _create(self, change: CreateTable, taken: Set[str]) -> str:
        key = change.key
        name = next(candidate for candidate in _candidates(key) if candidate not in taken)
        self._connection.execute(create_table(name, key.kind, change.columns.items()))
        if key.kind is not TableKind.HISTORY:
            self._connection.execute(INSERT_CATALOG, (name, *key))
        self._connection.execute(DELETE_TOMBSTONES, (name,))  # of a table that somebody dropped, to have it made anew
        self._names[key] = name
        self._columns[key] = {"id", *change.columns}
        self._texts[key] = _texts(change.columns)
        if key.kind is TableKind.OBJECTS:
            self._columns[key].add(VERSIONS_COLUMN)
        return name

    def _show(self, key: TableKey) -> str:
        """The view of a history, by its name, shows all columns of its table; it is made if it is not there."""
        table = self._names[key]
        known = self._connection.execute(SELECT_VIEW, (table,)).fetchone()
        if known is None:
            taken = self._taken()
            view = next(candidate for candidate in _view_candidates(key) if candidate not in taken)
            self._connection.execute(INSERT_HISTORY, (table, view, key.schema, key.name))
        else:
            (view,) = known
            self._connection.execute(drop_view(view))
        columns = [name for (name,) in self._connection.execute(SELECT_ORDERED, (table,))]
        self._connection.execute(create_view(view, table, columns))
        return view


def _texts(columns: Mapping[str, ColumnType]) -> set[str]:
    return {column for column, column_type in columns.items() if DECLARED[column_type] == _TEXT} - _OUR_OWN


def _candidates(key: TableKey) -> Iterator[str]:
    """Names for a new table, the plain one first; the others are for an event and a collection of the same name, and
    for a foreign table that is in the way. That of a history is not for people, so it has no plain name."""
    name = _plain(key, key.name)
    if key.kind is not TableKind.HISTORY:
        yield name
    yield f"{name}__{key.kind}"
    yield with_hash(name, "/".join(key))


def _view_candidates(key: TableKey) -> Iterator[str]:
    """Names for the view of a history, the plain one first, which a collection may have."""
    name = _plain(key, history_view(key.name))
    yield name
    yield f"{name}__view"
    yield with_hash(name, "/".join((*key, "view")))


def _plain(key: TableKey, name: str) -> str:
    plain = f"{key.schema}__{name}"
    return f"_{plain}" if plain.startswith("sqlite_") else plain  # reserved by SQLite
