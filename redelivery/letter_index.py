"""The index of the dead letters: a file made from the topic, and made anew whenever it is not of that topic."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from hookmill.log.contract import Log
from hookmill.records import TopicPartition
from redelivery.letters import Letter, LetterId, Settlement, read_letter
from redelivery.scan import Scan

_FORMAT: Final = 1
_BUSY_S: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE letters (
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    source TEXT NOT NULL,
    stage TEXT NOT NULL,
    error_class TEXT NOT NULL,
    error TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    function_version TEXT NOT NULL,
    delivery_count INTEGER NOT NULL,
    first_failed_at_ms INTEGER NOT NULL,
    last_failed_at_ms INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    settled TEXT,
    PRIMARY KEY (partition, "offset")
) WITHOUT ROWID;
CREATE INDEX letters_by_time ON letters (last_failed_at_ms);
CREATE TABLE positions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL);
CREATE TABLE origin (description TEXT NOT NULL);
"""
_COLUMNS: Final = (
    'partition, "offset", request_id, source, stage, error_class, error, fingerprint, function_version, '
    "delivery_count, first_failed_at_ms, last_failed_at_ms, body_bytes"
)


@dataclass(frozen=True)
class LetterFilter:
    """Which letters: those that match everything that is given. Times are of the last failure, from inclusive."""

    ids: Sequence[LetterId] = ()
    source: str | None = None
    stage: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    function_version: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    with_settled: bool = False
    """Also those that were redriven or dropped."""


class FoundLetter(NamedTuple):
    """A letter, and what became of it: `None` while nothing did."""

    letter: Letter
    settled: str | None


class LetterGroup(NamedTuple):
    """Letters of one source and stage with one fingerprint; `example` is the newest of their errors."""

    letters: int
    source: str
    stage: str
    fingerprint: str
    error_class: str
    example: str
    first_failed_at_ms: int
    last_failed_at_ms: int


class LetterIndex:
    """A context manager. One process at a time brings it up to date; the others wait."""

    def __init__(self, path: Path, log: Log, topic: str) -> None:
        self._path = path
        self._log = log
        self._topic = topic
        self._database: sqlite3.Connection

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL").fetchone()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    async def catch_up(self) -> None:
        """Everything that is on the topic now is in the index. Errors: of the log."""
        async with Scan(self._log, [self._topic]) as scan:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                starts = self._positions(scan.ends)
                async for span in scan.spans(starts, scan.ends):
                    for record in span.records:
                        self._put(read_letter(record))
                positions = [(place.partition, end) for place, end in scan.ends.items()]
                self._database.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", positions)
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def find(self, wanted: LetterFilter, limit: int | None = None) -> list[FoundLetter]:
        """The letters, the newest failure first; all of them without `limit`."""
        where, values = _where(wanted)
        query = f'SELECT {_COLUMNS}, settled FROM letters {where} ORDER BY last_failed_at_ms DESC, partition, "offset"'  # noqa: S608
        rows = self._database.execute(f"{query} LIMIT ?", [*values, -1 if limit is None else limit])
        return [FoundLetter(_letter(row[:-1]), row[-1]) for row in rows]

    def count(self, wanted: LetterFilter) -> int:
        """How many letters match."""
        where, values = _where(wanted)
        (count,) = self._database.execute(f"SELECT count(*) FROM letters {where}", values).fetchone()  # noqa: S608
        return int(count)

    def groups(self, wanted: LetterFilter) -> list[LetterGroup]:
        """The letters by trouble, the most frequent first."""
        where, values = _where(wanted)
        # Of a group with max() SQLite takes the bare column from the row that has the maximum.
        columns = (
            "count(*), source, stage, fingerprint, error_class, error, min(first_failed_at_ms), max(last_failed_at_ms)"
        )
        grouped = "GROUP BY source, stage, fingerprint, error_class ORDER BY count(*) DESC, max(last_failed_at_ms) DESC"
        query = f"SELECT {columns} FROM letters {where} {grouped}"  # noqa: S608
        with closing(self._database.execute(query, values)) as rows:
            return [LetterGroup(*row) for row in rows]

    def _positions(self, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Where to go on; from the start, with an empty index, when this file is of another topic or format."""
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        known: dict[int, int] = {}
        if version == _FORMAT:
            (origin,) = self._database.execute("SELECT description FROM origin").fetchone()
            known = dict(self._database.execute("SELECT partition, next_offset FROM positions"))
            is_behind = all(known.get(place.partition, 0) <= end for place, end in ends.items())
            if origin == self._origin() and is_behind:
                return {place: known.get(place.partition, 0) for place in ends}
        self._make_anew()
        return dict.fromkeys(ends, 0)

    def _make_anew(self) -> None:
        tables = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            self._database.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";"):
            self._database.execute(statement)
        self._database.execute("INSERT INTO origin VALUES (?)", (self._origin(),))
        self._database.execute(f"PRAGMA user_version={_FORMAT}")

    def _origin(self) -> str:
        return f"{self._log.description} {self._topic}"

    def _put(self, found: Letter | Settlement) -> None:
        if isinstance(found, Settlement):
            self._database.execute(
                'UPDATE letters SET settled = ? WHERE partition = ? AND "offset" = ?', (found.how.value, *found.id)
            )
            return
        values = (
            *found.id,
            found.request_id,
            found.source,
            found.stage,
            found.error_class,
            found.error,
            found.fingerprint,
            found.function_version,
            found.delivery_count,
            found.first_failed_at_ms,
            found.last_failed_at_ms,
            found.body_bytes,
        )
        marks = ", ".join("?" * len(values))
        # A span may reach beyond the end that was asked for, so some letters come twice.
        self._database.execute(f"INSERT OR IGNORE INTO letters ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608


def _letter(row: Sequence[object]) -> Letter:
    partition, offset, *rest = row
    return Letter(LetterId(partition, offset), *rest)  # type: ignore[arg-type] # the schema has their types


def _where(wanted: LetterFilter) -> tuple[str, list[object]]:
    """The clause, made of names of columns alone, and the values for its marks."""
    conditions: list[tuple[str, Iterable[object]]] = []
    if not wanted.with_settled:
        conditions.append(("settled IS NULL", ()))
    if wanted.ids:
        pairs = ", ".join("(?, ?)" for _ in wanted.ids)
        conditions.append((f'(partition, "offset") IN (VALUES {pairs})', [part for id_ in wanted.ids for part in id_]))
    for column in ("source", "stage", "error_class", "fingerprint"):
        value = getattr(wanted, column)
        if value is not None:
            conditions.append((f"{column} = ?", [value]))
    if wanted.function_version is not None:
        conditions.append(
            ("substr(function_version, 1, ?) = ?", [len(wanted.function_version), wanted.function_version])
        )
    if wanted.since_ms is not None:
        conditions.append(("last_failed_at_ms >= ?", [wanted.since_ms]))
    if wanted.until_ms is not None:
        conditions.append(("last_failed_at_ms < ?", [wanted.until_ms]))
    if not conditions:
        return "", []
    text = " AND ".join(condition for condition, _ in conditions)
    return f"WHERE {text}", [value for _, values in conditions for value in values]
