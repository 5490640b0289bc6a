"""The scratch file of the books: what is known of each webhook, and from that where each of them is.

A file, not memory: a million webhooks with their reports and messages are some hundreds of megabytes.
"""

import sqlite3
from collections.abc import Iterator
from enum import IntFlag, StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from redelivery.letters import LetterId

_BUFFERED: Final = 20_000
_CACHE_KIB: Final = 65_536


class Fact(IntFlag):
    """What a record tells of a webhook."""

    DELIVERED = 1
    DROPPED = 2
    DEAD = 4
    """A dead letter that nobody has settled."""
    WAITING = 8
    IN_FLIGHT = 16
    RETRIED = 32
    """A report says that it is delivered again; where, it does not say."""
    DIED = 64
    """A report says that it is a dead letter."""


class State(StrEnum):
    """Where a webhook is: in one place each, the first that applies; `missing` when none does."""

    DELIVERED = "delivered"
    DEAD = "dead"
    DROPPED = "dropped"
    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    MISSING = "missing"


_FACT_OF: Final = {
    State.DELIVERED: Fact.DELIVERED,
    State.DEAD: Fact.DEAD,
    State.DROPPED: Fact.DROPPED,
    State.WAITING: Fact.WAITING,
    State.IN_FLIGHT: Fact.IN_FLIGHT,
    State.MISSING: Fact(0),
}
_SCHEMA: Final = f"""
CREATE TABLE lives (
    id BLOB PRIMARY KEY,
    facts INTEGER NOT NULL,
    copies INTEGER NOT NULL,
    source TEXT,
    hour_ms INTEGER,
    place TEXT,
    events_told INTEGER NOT NULL,
    objects_told INTEGER NOT NULL,
    events INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    is_whole INTEGER AS (events >= events_told AND objects >= objects_told),
    state TEXT AS (
        CASE
            WHEN facts & {Fact.DELIVERED:d} AND is_whole THEN '{State.DELIVERED}'
            WHEN facts & {Fact.DEAD:d} THEN '{State.DEAD}'
            WHEN facts & {Fact.DROPPED:d} THEN '{State.DROPPED}'
            WHEN facts & {Fact.WAITING:d} THEN '{State.WAITING}'
            WHEN facts & {Fact.IN_FLIGHT:d} THEN '{State.IN_FLIGHT}'
            ELSE '{State.MISSING}'
        END
    )
) WITHOUT ROWID;
CREATE TABLE messages (key BLOB, content BLOB, id BLOB, place TEXT);
CREATE TABLE letters (partition INTEGER, "offset" INTEGER, id BLOB, PRIMARY KEY (partition, "offset")) WITHOUT ROWID;
CREATE TABLE settled (partition INTEGER, "offset" INTEGER, PRIMARY KEY (partition, "offset")) WITHOUT ROWID;
CREATE TABLE parked (key BLOB PRIMARY KEY, id BLOB) WITHOUT ROWID;
CREATE TABLE edits (partition INTEGER, "offset" INTEGER, id BLOB);
"""
_PUT_LIFE: Final = """
INSERT INTO lives (id, facts, copies, source, hour_ms, place, events_told, objects_told, events, objects)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    facts = facts | excluded.facts,
    copies = copies + excluded.copies,
    source = coalesce(source, excluded.source),
    hour_ms = min(coalesce(hour_ms, excluded.hour_ms), coalesce(excluded.hour_ms, hour_ms)),
    place = coalesce(place, excluded.place),
    events_told = max(events_told, excluded.events_told),
    objects_told = max(objects_told, excluded.objects_told),
    events = events + excluded.events,
    objects = objects + excluded.objects
"""
_LINES: Final = f"""
SELECT source, hour_ms, count(*), sum(copies) - count(*), {", ".join(f"sum(state = '{state}')" for state in State)}
FROM lives WHERE copies > 0 GROUP BY source, hour_ms ORDER BY source, hour_ms
"""  # noqa: S608 # our own words
_MISSING: Final = f"""
SELECT id, place, facts, events, events_told, objects, objects_told
FROM lives WHERE copies > 0 AND state = '{State.MISSING}' ORDER BY id
"""  # noqa: S608 # our own words
_PUT_DEAD: Final = f"""
UPDATE lives SET facts = facts | {Fact.DEAD:d} WHERE id IN (
    SELECT id FROM letters LEFT JOIN settled USING (partition, "offset") WHERE settled.partition IS NULL
)
"""  # noqa: S608 # our own words
_PUT_PARKED: Final = f"UPDATE lives SET facts = facts | {Fact.WAITING:d} WHERE id IN (SELECT id FROM parked)"  # noqa: S608
_EDITS: Final = """
SELECT letters.id, edits.id FROM edits JOIN letters USING (partition, "offset") WHERE letters.id <> edits.id
"""
_DOUBLED: Final = """
SELECT min(messages.id), group_concat(messages.place, ', ')
FROM messages JOIN lives ON lives.id = messages.id AND lives.copies > 0
WHERE key IN (SELECT key FROM messages GROUP BY key HAVING min(content) < max(content))
GROUP BY key ORDER BY 1
"""


class Line(NamedTuple):
    """The books of one source and hour, by the time at which the log got the webhook."""

    source: str
    hour_ms: int
    received: int
    """Webhooks, by request id."""
    repeated: int
    """Copies beyond the first that the provider sent of them."""
    delivered: int
    dead: int
    dropped: int
    waiting: int
    in_flight: int
    missing: int


class Missing(NamedTuple):
    """A webhook of which nothing tells where it is."""

    request_id: str
    source: str
    place: str
    """Where its record is: topic, partition and offset."""
    why: str


class Doubled(NamedTuple):
    """A message that is on the log with different contents."""

    request_id: str
    source: str
    places: str


class _Life:
    """What came to be known of a webhook since the last write."""

    __slots__ = ("copies", "events", "events_told", "facts", "hour_ms", "objects", "objects_told", "place", "source")

    def __init__(self) -> None:
        self.facts = self.copies = self.events_told = self.objects_told = self.events = self.objects = 0
        self.source: str | None = None
        self.hour_ms: int | None = None
        self.place: str | None = None


class BooksFile:
    """A context manager. First everything is told, in any order, then `close` is called, then questions are answered.

    Ids of webhooks are request id and source, so that one source cannot speak for another.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._lives: dict[tuple[str, str], _Life] = {}
        self._messages: list[tuple[bytes, bytes, bytes, str]] = []

    def __enter__(self) -> Self:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE"):
            self._database.execute(f"PRAGMA {pragma}").fetchall()
        for statement in _SCHEMA.split(";\n"):
            self._database.execute(statement)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def received(self, request_id: str, source: str, hour_ms: int, place: str) -> None:
        """The log has the webhook, or one more copy of it."""
        life = self._life(request_id, source)
        life.copies += 1
        life.source, life.place = source, place
        life.hour_ms = hour_ms if life.hour_ms is None else min(hour_ms, life.hour_ms)

    def happened(self, request_id: str, source: str, fact: Fact) -> None:
        """So it is told of the webhook."""
        self._life(request_id, source).facts |= fact

    def delivered(self, request_id: str, source: str, events: int, objects: int) -> None:
        """A report says that the function made so many messages, which are on the log."""
        life = self._life(request_id, source)
        life.facts |= Fact.DELIVERED
        life.events_told = max(life.events_told, events)
        life.objects_told = max(life.objects_told, objects)

    def message(self, request_id: str, source: str, *, is_event: bool, key: bytes, content: bytes, place: str) -> None:
        """The log has a message of the webhook; those with the same key should have the same content."""
        life = self._life(request_id, source)
        if is_event:
            life.events += 1
        else:
            life.objects += 1
        self._messages.append((key, content, _id(request_id, source), place))

    def letter(self, letter_id: LetterId, request_id: str, source: str) -> None:
        """The webhook is a dead letter."""
        # A span may reach beyond the end that was asked for, so some letters come twice.
        self._database.execute("INSERT OR IGNORE INTO letters VALUES (?, ?, ?)", (*letter_id, _id(request_id, source)))

    def settled(self, letter_id: LetterId) -> None:
        """The letter is none any more."""
        self._database.execute("INSERT OR IGNORE INTO settled VALUES (?, ?)", letter_id)

    def redriven(self, letter_id: LetterId, request_id: str, source: str) -> None:
        """The letter's webhook goes on under this id: its own, or another one if somebody edited it."""
        self._database.execute("INSERT INTO edits VALUES (?, ?, ?)", (*letter_id, _id(request_id, source)))

    def parked(self, key: bytes, request_id: str, source: str) -> None:
        """The webhook is parked; `key` is that of its entry."""
        self._database.execute("INSERT OR REPLACE INTO parked VALUES (?, ?)", (key, _id(request_id, source)))

    def unparked(self, key: bytes) -> None:
        """Nothing is parked under this key any more."""
        self._database.execute("DELETE FROM parked WHERE key = ?", (key,))

    def close(self) -> None:
        """Everything is told."""
        self._flush()
        self._database.execute(_PUT_DEAD)
        self._database.execute(_PUT_PARKED)
        self._follow_edits()

    def lines(self) -> list[Line]:
        """By source and hour."""
        return [Line(*row) for row in self._database.execute(_LINES)]

    def missing(self) -> Iterator[Missing]:
        """By request id."""
        for id_, place, facts, *counts in self._database.execute(_MISSING):
            yield Missing(*_parts(id_), place, _why(Fact(facts), *counts))

    def doubled(self) -> Iterator[Doubled]:
        """By request id."""
        for id_, places in self._database.execute(_DOUBLED):
            yield Doubled(*_parts(id_), places)

    def _life(self, request_id: str, source: str) -> _Life:
        life = self._lives.get((request_id, source))
        if life is None:
            if len(self._lives) >= _BUFFERED:
                self._flush()
            life = self._lives[request_id, source] = _Life()
        return life

    def _flush(self) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            _PUT_LIFE,
            (
                (
                    _id(*names),
                    int(life.facts),
                    life.copies,
                    life.source,
                    life.hour_ms,
                    life.place,
                    life.events_told,
                    life.objects_told,
                    life.events,
                    life.objects,
                )
                for names, life in self._lives.items()
            ),
        )
        self._database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", self._messages)
        self._database.execute("COMMIT")
        self._lives.clear()
        self._messages.clear()

    def _follow_edits(self) -> None:
        """A webhook that was edited is where its successor is, which may have been edited in its turn."""
        edits = self._database.execute(_EDITS).fetchall()
        has_changed = bool(edits)
        while has_changed:
            has_changed = False
            for old, new in edits:
                (state,) = self._database.execute("SELECT state FROM lives WHERE id = ?", (new,)).fetchone()
                fact = _FACT_OF[State(state)]
                update = "UPDATE lives SET facts = facts | ? WHERE id = ? AND facts & ? <> ?"
                has_changed |= self._database.execute(update, (fact, old, fact, fact)).rowcount > 0


def _id(request_id: str, source: str) -> bytes:
    """The request id first: those of version 7 rise, so neighbours in time are neighbours in the file."""
    return f"{request_id}\x00{source}".encode("utf-8", "replace")


def _parts(id_: bytes) -> tuple[str, str]:
    request_id, _, source = id_.decode().rpartition("\x00")
    return request_id, source


def _why(facts: Fact, events: int, events_told: int, objects: int, objects_told: int) -> str:
    if Fact.DELIVERED in facts:
        return f"of {events_told} events and {objects_told} objects, the log has {events} and {objects}"
    if Fact.DIED in facts:
        return "it was a dead letter, and is neither there nor delivered"
    if Fact.RETRIED in facts:
        return "it was to be delivered again, and neither waits nor came"
    return "the function stage has passed it, and no report tells how it ended"
