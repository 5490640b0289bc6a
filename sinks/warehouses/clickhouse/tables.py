"""The tables of one database that are ours: what they are called, which columns they have, and how they grow.

Nothing here locks: tables and columns are only ever added, under names that follow from the rules, so it does not
matter how many workers do it. A view is made again until it shows every column that is there.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from clickhouse_connect.driver.client import Client

from sinks.contract import SinkUnavailable
from sinks.naming import history_view, with_hash
from sinks.schema import (
    GENERATION_COLUMN,
    MAX_COLUMNS,
    AddColumns,
    Change,
    ColumnType,
    CreateTable,
    TableKey,
    TableKind,
)
from sinks.warehouses.clickhouse.statements import (
    SELECT_COLUMNS,
    SELECT_TABLES,
    TYPE_NAMES,
    Column,
    add_columns,
    column_type,
    create_table,
    create_view,
    key_of,
    place_name,
    rows_comment,
    select_inexact,
    select_rows,
    view_comment,
)

_ATTEMPTS: Final = 5
_MAX_PLACES: Final = 2 * MAX_COLUMNS
"""Of one table. Properties that are only ever cleared get no column beyond this: they cannot be told from others."""

Needs = Mapping[tuple[TableKey, str], ColumnType | None]
"""By table and column: the place that it lacks; `None` for the one that says when it was cleared."""


@dataclass
class _Table:
    name: str
    columns: dict[str, Column] = field(default_factory=dict)


class Tables:
    """Our tables as they were when they were last looked at."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tables: dict[TableKey, _Table] = {}
        self._columns: dict[TableKey, set[str]] = {}
        self._names: dict[str, str] = {}
        """Comments of every table and view in the database."""

    @property
    def columns(self) -> Mapping[TableKey, Set[str]]:
        """Columns by table, as the rules name them. A column that was only ever cleared is none."""
        return self._columns

    def name(self, key: TableKey) -> str:
        """What the table is called in the database, the one below its view."""
        return self._tables[key].name

    def column(self, key: TableKey, name: str) -> Column:
        """The places of a column; none for one that is not there."""
        return self._tables[key].columns.get(name, Column({}))

    def load(self) -> None:
        """Known as they are now, and each has a view that shows all of it."""
        for _ in range(_ATTEMPTS):
            self._look()
            if not self._mend_views():
                return
        raise SinkUnavailable("ClickHouse warehouse: others change the same views all the time.")

    def carry_out(self, changes: Iterable[Change]) -> None:
        """The tables have what `changes` ask for, or what others made of it."""
        for change in changes:
            key = change.key
            match change:
                case CreateTable():
                    self._client.command(create_table(self._name_for(key), key, change.columns.items()))
                case AddColumns():
                    columns = [(name, place, name) for name, place in change.columns.items()]
                    self._client.command(add_columns(self._tables[key].name, key.kind, columns))
        self.load()

    def extend(self, needs: Needs) -> None:
        """The columns have the places that they lack."""
        for (key, name), place in needs.items():
            if place is ColumnType.REAL and self._is_inexact(key, name):
                place = ColumnType.TEXT
            self._client.command(
                add_columns(self._tables[key].name, key.kind, [(place_name(name, place), place, name)])
            )
        self.load()

    def has_room(self, key: TableKey) -> bool:
        """The table may get columns for properties that are only ever cleared."""
        return len(self._tables[key].columns) < _MAX_PLACES

    def _is_inexact(self, key: TableKey, name: str) -> bool:
        place = self.column(key, name).places[ColumnType.INTEGER]
        return bool(self._client.query(select_inexact(self._tables[key].name, key.kind, place)).result_rows)

    def _look(self) -> None:
        named: Iterable[tuple[str, str]] = self._client.query(SELECT_TABLES).result_rows  # type: ignore[assignment]
        self._names = dict(named)
        self._tables = {}
        for name, comment in self._names.items():
            key = key_of(comment, "rows")
            if key is not None:
                self._tables[key] = _Table(name)
        found: dict[str, list[tuple[str, str, str]]] = {}
        for name, *column in self._client.query(SELECT_COLUMNS).result_rows:
            found.setdefault(name, []).append(tuple(column))
        for key, table in self._tables.items():
            table.columns = _columns(key.kind, found.get(table.name, ()))
        self._columns = {
            key: {"id", GENERATION_COLUMN, *(name for name, column in table.columns.items() if column.places)}
            for key, table in self._tables.items()
        }

    def _mend_views(self) -> bool:
        """Whether a view had to be made. Then another worker may have made the same one differently."""
        views = {key: name for name, comment in self._names.items() if (key := key_of(comment, "view"))}
        has_mended = False
        for key, table in self._tables.items():
            shown = {name: column for name, column in table.columns.items() if column.places}
            query = select_rows(table.name, key.kind, shown)
            name = views.get(key)
            if name is not None and self._names[name] == view_comment(key, query):
                continue
            free = name or next(each for each in _view_names(key) if each not in self._names)
            self._client.command(create_view(free, key, query, replaces=name is not None))
            self._names.setdefault(free, view_comment(key, query))
            has_mended = True
        return has_mended

    def _name_for(self, key: TableKey) -> str:
        """For a new table. Only something of the user's can be in the way."""
        plain = f"_{key.schema}__{key.name}__{key.kind}"
        candidates = (plain, with_hash(plain, "/".join(key)))
        return next(name for name in candidates if self._names.get(name) in (None, rows_comment(key)))


def _columns(kind: TableKind, found: Iterable[tuple[str, str, str]]) -> dict[str, Column]:
    """The columns of the rules, from name, type and comment of each column that is there."""
    known = {column_type(kind, place): place for place in (*TYPE_NAMES, None)}
    columns: dict[str, Column] = {}
    for name, type_name, owner in found:
        if not owner or type_name not in known:
            continue  # our own, or not of our making any more
        column = columns.get(owner, Column({}))
        place = known[type_name]
        if place is None:
            columns[owner] = column._replace(cleared=name)
        else:
            columns[owner] = column._replace(places={**column.places, place: name})
    return columns


def _view_names(key: TableKey) -> Iterator[str]:
    """Names for a new view, the plain one first; the others are for an event and a collection of the same name, and for
    something foreign that is in the way."""
    is_history = key.kind is TableKind.HISTORY
    plain = f"{key.schema}__{history_view(key.name) if is_history else key.name}"
    yield plain
    yield f"{plain}__{'view' if is_history else key.kind}"
    yield with_hash(plain, "/".join(key))
