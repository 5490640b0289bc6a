"""The tables of one DuckDB database that are ours: what they are called, which columns they have, how they change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import duckdb

from sinks.flatten import Scalar
from sinks.naming import identifier, with_hash
from sinks.schema import AddColumns, Change, ColumnType, CreateTable, TableKey, TableKind
from sinks.values import wider_type
from sinks.warehouses.duckdb.statements import (
    CREATE_CATALOG,
    CREATE_TOMBSTONES,
    DELETE_CATALOG,
    FORGET_TOMBSTONES,
    INSERT_CATALOG,
    SELECT_COLUMNS,
    SELECT_TAKEN,
    SELECT_VIEWS,
    TYPES_BY_NAME,
    Table,
    add_column,
    create_schema,
    create_table,
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

    def make_fit(self, key: TableKey, column: str, values: Sequence[Scalar]) -> None:
        """The column holds these values, or has a variant that does."""
        known = self.type_of(key, column)
        wider = None if known is None else self._wider(key, column, known, values)
        if known is None or wider is None:
            self._add(key, variant_name(column), ColumnType.TEXT)
        else:
            self._connection.execute(widen_column(self._names[key], column, known, wider))
            self._types[key][column] = wider

    def _wider(self, key: TableKey, column: str, known: ColumnType, values: Sequence[Scalar]) -> ColumnType | None:
        if not self._may_widen or self._has_views(key):
            return None
        wider = wider_type(values, known)
        if wider is ColumnType.REAL and self._connection.execute(select_inexact(self._names[key], column)).fetchall():
            return ColumnType.TEXT
        return wider

    def _has_views(self, key: TableKey) -> bool:
        """DuckDB lets a column change under a view, which is then of no use any more."""
        return bool(self._connection.execute(SELECT_VIEWS, [self._names[key].name]).fetchall())

    def _add(self, key: TableKey, name: str, column_type: ColumnType) -> None:
        self._connection.execute(add_column(self._names[key], name, column_type))
        self._types[key][name] = column_type

    def _create(self, change: CreateTable) -> None:
        key = change.key
        schema = _schema_for(key.schema)
        if schema not in self._taken:
            self._taken[schema] = {name for (name,) in self._connection.execute(SELECT_TAKEN, [schema]).fetchall()}
        name = next(candidate for candidate in _candidates(key) if candidate not in self._taken[schema])
        self._taken[schema].add(name)
        table = Table(self._database, schema, name)
        columns = {"id": ColumnType.TEXT, **change.columns}
        self._connection.execute(create_schema(table))
        self._connection.execute(create_table(table, key.kind, columns))
        for forget in (DELETE_CATALOG, FORGET_TOMBSTONES):  # of a table that somebody dropped
            self._connection.execute(forget, table.place)
        self._connection.execute(INSERT_CATALOG, [*table.place, *key])
        self._names[key] = table
        self._types[key] = dict(columns)


def variant_name(column: str) -> str:
    """The column for what `column` cannot hold. No column of the rules has a double underscore."""
    return identifier(f"{column}__text")


def _schema_for(source_schema: str) -> str:
    """DuckDB keeps some names for itself."""
    is_reserved = source_schema in ("information_schema", "pg_catalog")
    return f"_{source_schema}" if is_reserved else source_schema


def _candidates(key: TableKey) -> Iterator[str]:
    """Names for a new table, the plain one first; the others are for an event and a collection of the same name, and
    for a foreign table that is in the way."""
    yield key.name
    yield identifier(f"{key.name}__{key.kind}")
    yield with_hash(key.name, "/".join(key))
