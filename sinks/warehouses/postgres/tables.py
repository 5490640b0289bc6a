"""The tables of one database that are ours: what they are called, which columns they have, and how they change."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Final, LiteralString

import psycopg
from psycopg.sql import Composed

from sinks.flatten import Scalar
from sinks.naming import history_view, identifier, with_hash
from sinks.schema import AddColumns, Change, ColumnType, CreateTable, TableKey, TableKind
from sinks.values import fitted, wider_type
from sinks.warehouses.postgres.statements import (
    CREATE_CATALOG,
    CREATE_GENERATION,
    CREATE_HISTORIES,
    CREATE_TOMBSTONES,
    FIRST_GENERATION,
    FORGET_TOMBSTONES,
    INSERT_CATALOG,
    INSERT_HISTORY,
    NEXT_GENERATION,
    SELECT_COLUMNS,
    SELECT_GENERATION,
    SELECT_SCHEMA,
    SELECT_TAKEN,
    SELECT_VIEW,
    TYPES_BY_NAME,
    Table,
    add_column,
    column_name,
    create_schema,
    create_table,
    create_view,
    in_schema,
    select_inexact,
    widen_column,
)

OWN_SCHEMA: Final = "hookmill"
"""Where our bookkeeping is when each source has its own schema."""

_THOUGHT_OF_LATER: Final = {"_hookmill_tombstones", "_hookmill_histories"}
"""Of our own tables, those that a warehouse from before may lack."""

Misfits = Mapping[tuple[TableKey, str], Sequence[Scalar]]
"""By table and column: values that the column cannot hold."""


class Tables:
    """Our tables as the current transaction sees them. Only used within a transaction of `connection`."""

    def __init__(self, connection: psycopg.Connection, schema: str | None) -> None:
        self._connection = connection
        self._schema = schema
        self._home = schema or OWN_SCHEMA
        self._names: dict[TableKey, Table] = {}
        self._types: dict[TableKey, dict[str, ColumnType | None]] = {}
        self._columns: dict[TableKey, set[str]] = {}
        self._generation: int | None = None

    @property
    def columns(self) -> Mapping[TableKey, Set[str]]:
        """Columns by table, as the rules name them."""
        return self._columns

    def name(self, key: TableKey) -> Table:
        """What the table is called in the database."""
        return self._names[key]

    def tombstones(self, statement: LiteralString) -> Composed:
        """The statement about the tombstones of this database."""
        return in_schema(statement, self._home)

    def type_of(self, key: TableKey, column: str) -> ColumnType | None:
        """The type of a column that is there; `None` for one that somebody gave another type than we know."""
        return self._types[key][column_name(column)]

    def variant_of(self, key: TableKey, column: str) -> str | None:
        """The column beside it that takes what it cannot hold, if there is one."""
        name = _variant(column)
        return name if name in self._types[key] else None

    def ensure_catalog(self) -> None:
        """The tables of our own bookkeeping are there. Errors: rights that are missing."""
        if self._connection.execute(SELECT_SCHEMA, [self._home]).fetchone() is None:
            self._connection.execute(create_schema(self._home))
        if not self._taken(self._home) >= _THOUGHT_OF_LATER:
            for statement in (CREATE_CATALOG, CREATE_GENERATION, FIRST_GENERATION, CREATE_TOMBSTONES, CREATE_HISTORIES):
                self._connection.execute(in_schema(statement, self._home))
        self._connection.execute("CREATE TEMPORARY TABLE hookmill_check () ON COMMIT DROP")  # a right of its own

    def refresh(self) -> None:
        """Known as they are now: another worker may have changed them."""
        (generation,) = self._one(in_schema(SELECT_GENERATION, self._home))
        if generation != self._generation:
            self._load()
            self._generation = generation

    def forget(self) -> None:
        """The transaction was rolled back: what is known may not be so."""
        self._generation = None

    def carry_out(self, changes: Iterable[Change]) -> None:
        """The tables have what `changes` ask for. Only with the schema locked, as `widen`."""
        taken: dict[str, set[str]] = {}
        for change in changes:
            match change:
                case CreateTable():
                    self._create(change, taken)
                case AddColumns():
                    for column, column_type in change.columns.items():
                        self._add(change.key, column_name(column), column_type)
            if change.key.kind is TableKind.HISTORY:
                self._show(change.key, taken)
        self._announce()

    def widen(self, misfits: Misfits) -> None:
        """The columns hold these values too, or have a variant that does."""
        for (key, column), values in misfits.items():
            name, known = column_name(column), self.type_of(key, column)
            if self.variant_of(key, column) or (known is not None and fitted(values, known) is not None):
                continue  # another worker was faster
            wider = None if known is None else self._wider(key, name, known, values)
            if wider is None or not self._alter(key, name, wider):
                self._add(key, _variant(column), ColumnType.TEXT)
                if key.kind is TableKind.HISTORY:
                    self._show(key, {})
        self._announce()

    def _wider(self, key: TableKey, name: str, known: ColumnType, values: Sequence[Scalar]) -> ColumnType | None:
        wider = wider_type(values, known)
        if wider is ColumnType.REAL and self._connection.execute(select_inexact(self._names[key], name)).fetchone():
            return ColumnType.TEXT
        return wider

    def _alter(self, key: TableKey, name: str, wider: ColumnType) -> bool:
        """Whether PostgreSQL could: views, generated columns and the time that it takes may forbid it."""
        try:
            with self._connection.transaction():
                self._connection.execute(widen_column(self._names[key], name, wider))
        except (psycopg.NotSupportedError, psycopg.ProgrammingError, psycopg.errors.QueryCanceled):
            return False
        self._types[key][name] = wider
        return True

    def _add(self, key: TableKey, name: str, column_type: ColumnType) -> None:
        self._connection.execute(add_column(self._names[key], name, column_type))
        self._types[key][name] = column_type

    def _announce(self) -> None:
        self._connection.execute(in_schema(NEXT_GENERATION, self._home))

    def _load(self) -> None:
        self._connection.execute("DISCARD TEMPORARY")  # stages have the columns that tables had
        self._names, self._types = {}, {}
        for schema, table, *key_parts, column, type_name in self._connection.execute(
            in_schema(SELECT_COLUMNS, self._home)
        ).fetchall():
            key = TableKey(key_parts[0], key_parts[1], TableKind(key_parts[2]))
            self._names[key] = (schema, table)
            self._types.setdefault(key, {})[column] = TYPES_BY_NAME.get(type_name)
        self._columns = {key: {_as_ruled(name) for name in types} for key, types in self._types.items()}

    def _create(self, change: CreateTable, taken: dict[str, set[str]]) -> None:
        """`taken` has the names of each schema that was looked at, and gets the new one."""
        key = change.key
        schema = self._schema or _schema_for(key.schema)
        if schema not in taken:
            if self._connection.execute(SELECT_SCHEMA, [schema]).fetchone() is None:
                self._connection.execute(create_schema(schema))
            taken[schema] = self._taken(schema)
        plain = self._plain(key, key.name)
        name = next(candidate for candidate in _candidates(plain, key) if candidate not in taken[schema])
        taken[schema].add(name)
        columns = {column_name(column): column_type for column, column_type in change.columns.items()}
        self._connection.execute(create_table((schema, name), key.kind, columns.items()))
        if key.kind is not TableKind.HISTORY:
            self._connection.execute(in_schema(INSERT_CATALOG, self._home), (schema, name, *key))
        # Of a table that somebody dropped, to have it made anew.
        self._connection.execute(in_schema(FORGET_TOMBSTONES, self._home), (schema, name))
        self._names[key] = (schema, name)
        self._types[key] = {"id": ColumnType.TEXT, **columns}

    def _show(self, key: TableKey, taken: dict[str, set[str]]) -> None:
        """The view of a history shows all columns of its table; it is made if it is not there. `taken` as there."""
        schema, table = self._names[key]
        known = self._connection.execute(in_schema(SELECT_VIEW, self._home), [schema, table]).fetchone()
        if known is None:
            names = taken.setdefault(schema, self._taken(schema))
            candidates = _view_candidates(self._plain(key, history_view(key.name)), key)
            view = next(candidate for candidate in candidates if candidate not in names)
            names.add(view)
            entry = (schema, table, view, key.schema, key.name)
            self._connection.execute(in_schema(INSERT_HISTORY, self._home), entry)
        else:
            (view,) = known
        self._connection.execute(create_view((schema, view), (schema, table), _places(self._types[key])))

    def _plain(self, key: TableKey, name: str) -> str:
        return f"{key.schema}__{name}" if self._schema else name

    def _taken(self, schema: str) -> set[str]:
        return {name for (name,) in self._connection.execute(SELECT_TAKEN, {"schema": schema})}

    def _one(self, statement: Composed) -> tuple[int, ...]:
        found = self._connection.execute(statement).fetchone()
        assert found is not None
        return found


def _variant(column: str) -> str:
    """No column of the rules has a double underscore."""
    return identifier(f"{column}__text")


def _places(names: Iterable[str]) -> dict[str, str]:
    """Columns of a table, each with the one of the rules whose values it may hold."""
    ruled = {name: _as_ruled(name) for name in names}
    variants = {_variant(column): column for column in ruled.values()}
    return {name: variants.get(name, column) for name, column in ruled.items()}


def _as_ruled(name: str) -> str:
    return name[1:] if column_name(name[1:]) == name else name


def _schema_for(source_schema: str) -> str:
    """PostgreSQL keeps some names for itself."""
    is_reserved = source_schema.startswith("pg_") or source_schema == "information_schema"
    return identifier(f"_{source_schema}") if is_reserved else source_schema


def _candidates(plain: str, key: TableKey) -> Iterator[str]:
    """Names for a new table, the plain one first; the others are for an event and a collection of the same name, and
    for a foreign table that is in the way. That of a history is not for people, so it has no plain name. All fit into
    PostgreSQL's 63 bytes, which would cut them silently."""
    for name in (plain, f"{plain}__{key.kind}")[key.kind is TableKind.HISTORY :]:
        yield identifier(name)
    yield with_hash(plain, "/".join(key))


def _view_candidates(plain: str, key: TableKey) -> Iterator[str]:
    """Names for the view of a history, the plain one first, which a collection may have."""
    for name in (plain, f"{plain}__view"):
        yield identifier(name)
    yield with_hash(plain, "/".join((*key, "view")))
