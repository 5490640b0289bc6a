"""The index of parked webhooks: which keys have some, and which of them may run. A file, whatever their number."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Final, NamedTuple

from hookmill.parked import Entry, Spot, Why

_CACHE_KIB: Final = 4_096
_SCHEMA: Final = """
CREATE TABLE entries (
    place INTEGER NOT NULL,
    key BLOB NOT NULL,
    "offset" INTEGER NOT NULL,
    queue BLOB NOT NULL,
    source TEXT NOT NULL,
    partition INTEGER NOT NULL,
    spot INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    why TEXT NOT NULL,
    ready_at_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (place, key)
) WITHOUT ROWID;
CREATE INDEX entries_in_order ON entries (queue, partition, spot, rank, "offset");
CREATE INDEX entries_by_age ON entries (place, "offset");
CREATE TABLE queues (
    queue BLOB PRIMARY KEY,
    source TEXT NOT NULL,
    place INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL,
    why TEXT NOT NULL,
    ready_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX queues_by_time ON queues (source, ready_at_ms);
"""
_COLUMNS: Final = 'key, "offset", queue, partition, spot, why, ready_at_ms, size_bytes'


class Row(NamedTuple):
    """An entry as it is in the index, with the hash of its ordering key."""

    key: bytes
    offset: int
    queue: bytes
    spot: Spot
    why: Why
    ready_at_ms: int
    size_bytes: int


class ParkedIndex:
    """What the topic says as far as it was read. Pure bookkeeping: told records in their order, asked what to do.

    `place` is a partition of the topic. The first entry of a queue decides when the queue goes on. SQLite keeps the
    file, which has no name and ends with the process, and a few MiB of it in memory.
    """

    def __init__(self) -> None:
        self._records: Counter[str] = Counter()
        self._queues: Counter[tuple[str, Why]] = Counter()

    @cached_property
    def _database(self) -> sqlite3.Connection:
        """Opened by the first need: most installations have no ordered source."""
        database = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=FILE"):
            database.execute(f"PRAGMA {pragma}").fetchall()
        database.executescript(_SCHEMA)
        database.execute("BEGIN")  # for good: nobody else sees the file, and a commit for each statement takes its time
        return database

    def close(self) -> None:
        """The file is gone."""
        if "_database" in vars(self):
            self._database.close()

    @property
    def records(self) -> Mapping[str, int]:
        """Entries by source."""
        return +self._records

    @property
    def queues(self) -> Mapping[tuple[str, Why], int]:
        """Ordering keys by source and by why their first webhook is parked."""
        return +self._queues

    def put(self, place: int, entry: Entry, now_ms: int) -> None:
        """The entry holds, in the place of an older one with its key."""
        queue = queue_hash(entry.queue)
        self._delete(place, entry.key)
        values = (place, entry.key, entry.offset, queue, entry.source, *entry.spot, entry.rank, entry.why.value)
        insert = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._database.execute(insert, (*values, entry.ready_at_ms or now_ms, entry.size_bytes))
        self._records[entry.source] += 1
        self._look_at(queue, now_ms)

    def remove(self, place: int, key: bytes, now_ms: int) -> None:
        """There is no entry of this key."""
        queue = self._delete(place, key)
        if queue is not None:
            self._look_at(queue, now_ms)

    def forget(self, place: int) -> None:
        """Nothing of the place is known."""
        rows = self._database.execute("SELECT source, count(*) FROM entries WHERE place = ? GROUP BY source", (place,))
        self._records.subtract(dict(rows.fetchall()))
        query = "SELECT source, why, count(*) FROM queues WHERE place = ? GROUP BY source, why"
        for source, why, count in self._database.execute(query, (place,)).fetchall():
            self._queues[source, Why(why)] -= count
        for table in ("entries", "queues"):
            self._database.execute(f"DELETE FROM {table} WHERE place = ?", (place,))  # noqa: S608 # our own words

    def has(self, queue: bytes) -> bool:
        """Webhooks of this ordering key are parked."""
        query = "SELECT 1 FROM queues WHERE queue = ?"
        return self._database.execute(query, (queue_hash(queue),)).fetchone() is not None

    def has_entry(self, place: int, key: bytes) -> bool:
        """There is an entry of this key."""
        query = "SELECT 1 FROM entries WHERE place = ? AND key = ?"
        return self._database.execute(query, (place, key)).fetchone() is not None

    def ready(
        self, source: str, now_ms: int, partitions: Collection[int], limit: int, *, even_dead: bool
    ) -> tuple[int, Sequence[bytes]]:
        """A place, and queues of the source there that may go on, of webhooks from these partitions: those that may
        since longest, at most `limit`. `even_dead`: also those whose first webhook is a dead letter."""
        numbers = ", ".join(map(str, partitions))
        query = f"SELECT queue, place FROM queues WHERE source = ? AND partition IN ({numbers})"  # noqa: S608 # numbers
        found = self._database.execute(
            f"{query} AND (ready_at_ms <= ? OR (? AND why = ?)) ORDER BY ready_at_ms LIMIT ?",
            (source, now_ms, even_dead, Why.DEAD.value, limit),
        ).fetchall()
        place = found[0][1] if found else 0
        return place, [queue for queue, at in found if at == place]

    def first(self, queue: bytes, limit: int) -> list[Row]:
        """The first entries of the queue in their order."""
        query = f'SELECT {_COLUMNS} FROM entries WHERE queue = ? ORDER BY partition, spot, rank, "offset" LIMIT ?'  # noqa: S608
        return [_row(found) for found in self._database.execute(query, (queue, limit))]

    def oldest(self, place: int, limit: int) -> list[tuple[str, Row]]:
        """The entries that were written first, each with its source."""
        query = f'SELECT source, {_COLUMNS} FROM entries WHERE place = ? ORDER BY "offset" LIMIT ?'  # noqa: S608
        return [(source, _row(found)) for source, *found in self._database.execute(query, (place, limit))]

    def count(self, place: int) -> int:
        """Entries of the place."""
        (count,) = self._database.execute("SELECT count(*) FROM entries WHERE place = ?", (place,)).fetchone()
        return int(count)

    def _delete(self, place: int, key: bytes) -> bytes | None:
        """Returns the queue that has lost the entry, if there was one."""
        query = "DELETE FROM entries WHERE place = ? AND key = ? RETURNING queue, source"
        found = self._database.execute(query, (place, key)).fetchall()
        if not found:
            return None
        ((queue, source),) = found
        self._records[source] -= 1
        assert isinstance(queue, bytes)
        return queue

    def _look_at(self, queue: bytes, now_ms: int) -> None:
        """The queue is as its first entry says; one whose first entry is still the same keeps its turn."""
        query = 'SELECT "offset", source, place, partition, why, ready_at_ms FROM entries WHERE queue = ?'
        first = self._database.execute(f'{query} ORDER BY partition, spot, rank, "offset" LIMIT 1', (queue,)).fetchone()
        known = self._database.execute("SELECT first, source, why FROM queues WHERE queue = ?", (queue,)).fetchone()
        if known is not None:
            if first is not None and first[0] == known[0]:
                return
            self._database.execute("DELETE FROM queues WHERE queue = ?", (queue,))
            self._queues[known[1], Why(known[2])] -= 1
        if first is not None:
            offset, source, place, partition, why, ready_at_ms = first
            # Whose turn it is since longer goes first.
            values = (queue, source, place, partition, offset, why, max(ready_at_ms, now_ms))
            self._database.execute("INSERT INTO queues VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            self._queues[source, Why(why)] += 1


def queue_hash(queue: bytes) -> bytes:
    """What the index knows an ordering key by."""
    return blake2b(queue, digest_size=16).digest()


def _row(found: Sequence[object]) -> Row:
    key, offset, queue, partition, spot, why, *rest = found
    return Row(key, offset, queue, Spot(partition, spot), Why(why), *rest)  # type: ignore[arg-type] # the schema
