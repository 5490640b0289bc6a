"""The file of the consumer groups: committed positions, members, and who holds which partition until when.

One file for all topics, apart from theirs, so that commits of readers never wait for the lock of a sender. Written with
`synchronous=NORMAL`: a power cut may undo the last commits, whose records are then delivered again, as after any crash.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookmill.log.lifeline import Lifeline, bury_in, dead_in
from hookmill.log.sqlite.database import connect, create, unwritable
from hookmill.records import TopicPartition

_FILE: Final = "groups"
_MEMBERS: Final = "members"

_SCHEMA: Final = """
PRAGMA user_version = 1;
CREATE TABLE positions (
    "group" TEXT, topic TEXT, partition INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY ("group", topic, partition)
) WITHOUT ROWID;
CREATE TABLE leases (
    "group" TEXT, topic TEXT, partition INTEGER, owner TEXT NOT NULL, expires_ms INTEGER NOT NULL,
    PRIMARY KEY ("group", topic, partition)
) WITHOUT ROWID;
CREATE TABLE members (
    seniority INTEGER PRIMARY KEY AUTOINCREMENT,
    "group" TEXT, topic TEXT, member TEXT, expires_ms INTEGER NOT NULL,
    UNIQUE ("group", topic, member)
);
"""


@dataclass(frozen=True)
class Standing:
    """What a member has after a heartbeat."""

    owned: Mapping[TopicPartition, int | None]
    """Committed position of each partition it holds; `None` where the group never committed."""
    surplus: frozenset[TopicPartition]
    """Those of `owned` that are over its share and must go to another member."""
    is_short: bool
    """Whether it holds less than its share, because others have yet to give something back."""
    ends_ms: int
    """When the leases end unless there is another heartbeat; epoch milliseconds."""


def fair_share(partitions: int, members: int, seniority: int) -> int:
    """How many partitions the member of this rank holds, 0 being the eldest.

    The shares of all members add up to `partitions` and differ by one at most. The eldest get the odd ones, so that a
    newcomer changes as little as possible.
    """
    even, odd = divmod(partitions, members)
    return even + (1 if seniority < odd else 0)


def committed_positions(folder: Path, group: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """What the group has committed on the topics. Blocking."""
    path = folder / _FILE
    if not path.exists():
        return {}
    database = connect(path, synchronous="NORMAL")
    try:
        with database.reading() as execute:
            rows = execute('SELECT topic, partition, position FROM positions WHERE "group" = ?', (group,)).fetchall()
    finally:
        database.close()
    wanted = frozenset(topics)
    return {TopicPartition(topic, partition): position for topic, partition, position in rows if topic in wanted}


def forget_positions(folder: Path, topic: str) -> None:
    """No group has a position on the topic. Blocking."""
    path = folder / _FILE
    if not path.exists():
        return
    database = connect(path, synchronous="NORMAL")
    try:
        with database.writing() as execute:
            execute("DELETE FROM positions WHERE topic = ?", (topic,))
    finally:
        database.close()


class GroupMember:
    """One reader's access to the file. Blocking; for one thread."""

    def __init__(
        self,
        folder: Path,
        group: str,
        member: str,
        partitions: Mapping[str, int],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`partitions` is the number of partitions of each topic the reader reads.

        `now_ms` is the clock that all processes of the machine share.
        """
        self._path = folder / _FILE
        self._members = folder / _MEMBERS
        self._now_ms = now_ms
        self._group = group
        self._member = member
        self._partitions = partitions
        if not self._path.exists():
            create(self._path, lambda connection: connection.executescript(_SCHEMA))
        self._database = connect(self._path, synchronous="NORMAL")
        self._execute = self._database.connection.execute
        with contextlib.ExitStack() as opened:
            opened.callback(self._database.close)
            self._lifeline = self._live()
            opened.pop_all()

    def close(self) -> None:
        """The files are closed. What the member still holds is free as soon as another one beats."""
        self._lifeline.cut()
        self._database.close()

    def beat(self, lease_ms: int, *, takes: bool) -> Standing:
        """The member lives for another `lease_ms`, and so do its leases; with `takes` it takes what it is due.

        Members whose processes have ended are forgotten first.
        """
        owned: dict[TopicPartition, int | None] = {}
        surplus: set[TopicPartition] = set()
        is_short = False
        with self._database.writing() as execute:
            now_ms = self._now_ms()
            ends_ms = now_ms + lease_ms
            dead = dead_in(self._members)
            for member in dead:
                execute("DELETE FROM leases WHERE owner = ?", (member,))
                execute("DELETE FROM members WHERE member = ?", (member,))
            for topic, partitions in self._partitions.items():
                rank, members = self._register(topic, now_ms, ends_ms)
                held, free = self._held_and_free(topic, now_ms)
                share = fair_share(partitions, members, rank)
                taken = free[: max(0, share - len(held))] if takes else []
                held += taken
                surplus.update(TopicPartition(topic, partition) for partition in held[share:])
                is_short = is_short or len(held) < share
                for partition in held:
                    execute(
                        "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
                        (self._group, topic, partition, self._member, ends_ms),
                    )
                    owned[TopicPartition(topic, partition)] = self._position(topic, partition)
        bury_in(self._members, dead)
        return Standing(owned, frozenset(surplus), is_short, ends_ms)

    def commit(self, positions: Mapping[TopicPartition, int]) -> frozenset[TopicPartition]:
        """The positions of the partitions that this member holds are kept; returns those it does not hold."""
        refused = set()
        with self._database.writing() as execute:
            for place, position in positions.items():
                # An ended lease nobody took is still ours: the next owner starts at what is committed here.
                if self._owner(place) == self._member:
                    execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)", (self._group, *place, position))
                else:
                    refused.add(place)
        return frozenset(refused)

    def release(self, places: Iterable[TopicPartition]) -> None:
        """Others may take the partitions at once."""
        with self._database.writing() as execute:
            for place in places:
                execute(
                    'DELETE FROM leases WHERE "group" = ? AND topic = ? AND partition = ? AND owner = ?',
                    (self._group, *place, self._member),
                )

    def leave(self) -> None:
        """All that the member holds is free at once, and it counts no longer when shares are worked out."""
        with self._database.writing() as execute:
            ours = (self._group, self._member)
            execute('DELETE FROM leases WHERE "group" = ? AND owner = ?', ours)
            execute('DELETE FROM members WHERE "group" = ? AND member = ?', ours)

    def _live(self) -> Lifeline:
        try:
            return Lifeline(self._members, self._member)
        except OSError as error:
            raise unwritable(self._path, error) from error

    def _register(self, topic: str, now_ms: int, expires_ms: int) -> tuple[int, int]:
        """The member's rank by age among the living members of the topic, and their number."""
        self._execute(
            'DELETE FROM members WHERE "group" = ? AND topic = ? AND expires_ms < ?', (self._group, topic, now_ms)
        )
        self._execute(
            """INSERT INTO members ("group", topic, member, expires_ms) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET expires_ms = excluded.expires_ms""",
            (self._group, topic, self._member, expires_ms),
        )
        query = 'SELECT member FROM members WHERE "group" = ? AND topic = ? ORDER BY seniority'
        members = [member for (member,) in self._execute(query, (self._group, topic))]
        return members.index(self._member), len(members)

    def _held_and_free(self, topic: str, now_ms: int) -> tuple[list[int], list[int]]:
        """Partitions of this member, and those that nobody holds."""
        query = 'SELECT partition, owner, expires_ms FROM leases WHERE "group" = ? AND topic = ? ORDER BY partition'
        leases = self._execute(query, (self._group, topic)).fetchall()
        held = [partition for partition, owner, _ in leases if owner == self._member]
        taken = {partition for partition, owner, ends_ms in leases if owner == self._member or ends_ms >= now_ms}
        return held, [partition for partition in range(self._partitions[topic]) if partition not in taken]

    def _position(self, topic: str, partition: int) -> int | None:
        query = 'SELECT position FROM positions WHERE "group" = ? AND topic = ? AND partition = ?'
        row = self._execute(query, (self._group, topic, partition)).fetchone()
        return None if row is None else int(row[0])

    def _owner(self, place: TopicPartition) -> str | None:
        query = 'SELECT owner FROM leases WHERE "group" = ? AND topic = ? AND partition = ?'
        row = self._execute(query, (self._group, *place)).fetchone()
        return None if row is None else str(row[0])
