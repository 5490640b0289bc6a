"""The tables of one DuckDB database that are ours: what they are called, which columns they have, how they change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import duckdb

from sinks.flatten import Scalar
from sinks.naming import history_view, identifier, with_hash
from sinks.schema import AddColumns, Change, ColumnType, CreateTable, TableKey, TableKind
from sinks.values import wider_type
from sinks.warehouses.duckdb.statements import (
    CREATE_CATALOG,
    CREATE_HISTORIES,
    CREATE_TOMBSTONES,
    DELETE_CATALOG,
    DELETE_HISTORY,
    FORGET_TOMBSTONES,
    INSERT_CATALOG,
    INSERT_HISTORY,
    SELECT_COLUMNS,
    SELECT_TAKEN,
    SELECT_VIEW,
    SELECT_VIEWS,
    TYPES_BY_NAME,
    Table,
    add_column,
    create_schema,
    create_table,
    create_view,
    select_inexact,
    widen_column,
)


class Tables:
    """Our tables of the database behind `connection`, which nobody else changes meanwhile.

    Without `may_widen` a column keeps the type of its first value for good.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, may_widen: bool = True) -> None:
        self._connection = connection
        self._may_widen = may_widen
        ((self._database,),) = connection.execute("SELECT current_database()").fetchall()
        self._names: dict[TableKey, Table] = {}
        self._types: dict[TableKey, dict[str, ColumnType | None]] = {}
        self._taken: dict[str, set[str]] = {}

    @property
    def columns(self) -> Mapping[TableKey, Set[str]]:
        """Columns by table."""
        return {key: types.keys() for key, types in self._types.items()}

    def columns_of(self, key: TableKey) -> Set[str]:
        """Columns of a table that is there."""
        return self._types[key].keys()

    def name(self, key: TableKey) -> Table:
        """What the table is called in the database."""
        return self._names[key]

    def type_of(self, key: TableKey, column: str) -> ColumnType | None:
        """The type of a column that is there; `None` for one that somebody gave another type than we know."""
        return self._types[key][column]

    def variant_of(self, key: TableKey, column: str) -> str | None:
        """The column beside it that takes what it cannot hold, if there is one."""
        name = variant_name(column)
        return name if name in self._types[key] else None

    def load(self) -> None:
        """Known as they are in the database."""
        self._connection.execute(CREATE_CATALOG)
        self._connection.execute(CREATE_TOMBSTONES)
        self._connection.execute(CREATE_HISTORIES)
        self._names, self._types, self._taken = {}, {}, {}
        for schema, table, *key_parts, column, type_name in self._connection.execute(SELECT_COLUMNS).fetchall():
            key = TableKey(key_parts[0], key_parts[1], TableKind(key_parts[2]))
            self._names[key] = Table(self._database, schema, table)
            self._types.setdefault(key, {})[column] = TYPES_BY_NAME.get(type_name)

    def carry_out(self, changes: Iterable[Change]) -> None:
        """The tables have what `changes` ask for."""
        for change in changes:
            match change:
                case CreateTable():
                    self._create(change)
                case AddColumns():
                    for column, column_type in change.columns.items():
                        self._add(change.key, column, column_type)
            if change.key.kind is TableKind.HISTORY:
                self._show(change.key)

    def make_fit(self, key: TableKey, column: str, values: Sequence[Scalar]) -> None:
        """The column holds these values, or has a variant that does."""
        known = self.type_of(key, column)
        wider = None if known is None else self._wider(key, column, known, values)
        if known is None or wider is None:
            self._add(key, variant_name(column), ColumnType.TEXT)
        else:
            self._connection.execute(widen_column(self._names[key], column, known, wider))
            self._types[key][column] = wider
        if key.kind is TableKind.HISTORY:
            self._show(key)

    def _wider(self, key: TableKey, column: str, known: ColumnType, values: Sequence[Scalar]) -> ColumnType | None:
        if not self._may_widen or self._has_views(key):
            return None
        wider = wider_type(values, known)
        if wider is ColumnType.REAL and self._connection.execute(select_inexact(self._names[key], column)).fetchall():
            return ColumnType.TEXT
        return wider

    def _has_views(self, key: TableKey) -> bool:
        """DuckDB lets a column change under a view, which is then of no use any more."""
        names = [self._names[key].name]
        if key.kind is TableKind.HISTORY and (view := self._view_of(key)) is not None:
            names.append(view)
        return any(self._connection.execute(SELECT_VIEWS, [name]).fetchall() for name in names)

    def _view_of(self, key: TableKey) -> str | None:
        """Of a history."""
        found = self._connection.execute(SELECT_VIEW, self._names[key].place).fetchone()
        return None if found is None else str(found[0])

    def _show(self, key: TableKey) -> None:
        """The view of a history shows all columns of its table; it is made if it is not there."""
        table = self._names[key]
        view = self._view_of(key)
        if view is None:
            taken = self._taken_in(table.schema)
            view = next(candidate for candidate in _view_candidates(key) if candidate not in taken)
            taken.add(view)
            self._connection.execute(DELETE_HISTORY, table.place)
            self._connection.execute(INSERT_HISTORY, [*table.place, view, key.schema, key.name])
        self._connection.execute(create_view(view, table, _places(self._types[key])))

    def _add(self, key: TableKey, name: str, column_type: ColumnType) -> None:
        self._connection.execute(add_column(self._names[key], name, column_type))
        self._types[key][name] = column_type

    def _create(self, change: CreateTable) -> None:
        key = change.key
        schema = _schema_for(key.schema)
        taken = self._taken_in(schema)
        name = next(candidate for candidate in _candidates(key) if candidate not in taken)
        taken.add(name)
        table = Table(self._database, schema, name)
        columns = {"id": ColumnType.TEXT, **change.columns}
        self._connection.execute(create_schema(table))
        self._connection.execute(create_table(table, key.kind, columns))
        for forget in (DELETE_CATALOG, FORGET_TOMBSTONES):  # of a table that somebody dropped
            self._connection.execute(forget, table.place)
        if key.kind is not TableKind.HISTORY:
            self._connection.execute(INSERT_CATALOG, [*table.place, *key])
        self._names[key] = table
        self._types[key] = dict(columns)

    def _taken_in(self, schema: str) -> set[str]:
        if schema not in self._taken:
            self._taken[schema] = {name for (name,) in self._connection.execute(SELECT_TAKEN, [schema]).fetchall()}
        return self._taken[schema]


def variant_name(column: str) -> str:
    """The column for what `column` cannot hold. No column of the rules has a double underscore."""
    return identifier(f"{column}__text")


def _places(columns: Iterable[str]) -> dict[str, str]:
    """Columns of a table, each with the one of the rules whose values it may hold."""
    variants = {variant_name(column): column for column in columns}
    return {column: variants.get(column, column) for column in columns}


def _schema_for(source_schema: str) -> str:
    """DuckDB keeps some names for itself."""
    is_reserved = source_schema in ("information_schema", "pg_catalog")
    return f"_{source_schema}" if is_reserved else source_schema


def _candidates(key: TableKey) -> Iterator[str]:
    """Names for a new table, the plain one first; the others are for an event and a collection of the same name, and
    for a foreign table that is in the way. That of a history is not for people, so it has no plain name."""
    if key.kind is not TableKind.HISTORY:
        yield key.name
    yield identifier(f"{key.name}__{key.kind}")
    yield with_hash(key.name, "/".join(key))


def _view_candidates(key: TableKey) -> Iterator[str]:
    """Names for the view of a history, the plain one first, which a collection may have."""
    name = history_view(key.name)
    yield name
    yield identifier(f"{name}__view")
    yield with_hash(name, "/".join((*key, "view")))
