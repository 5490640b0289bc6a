"""The file of one topic: its name, its tables, its settings."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from hookmill.errors import LogUnavailable, TopicMissing
from hookmill.log.sqlite.database import Database, connect, create
from hookmill.log.sqlite.groups import forget_positions
from hookmill.topics import TopicSpec

_FORMAT: Final = 1
_SUFFIX: Final = ".topic"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,248}")
"""Kafka's rule for topic names, less those that begin with a dot or dash."""

OFFSET_BITS: Final = 48
"""`id` of a batch is its partition shifted by this, plus the offset of its last record: one B-tree, ordered by
partition and offset, no second index to keep. Room for 2^15 partitions of 2^48 records."""

_SCHEMA: Final = """
CREATE TABLE topic (
    partitions INTEGER NOT NULL,
    retention_ms INTEGER,
    max_record_bytes INTEGER NOT NULL
);
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY,
    first_offset INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER NOT NULL DEFAULT 0,
    compacted_to INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    base_offset INTEGER NOT NULL,
    count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    max_timestamp_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class OpenTopic:
    """A topic's file, and the topic's settings."""

    database: Database
    spec: TopicSpec


def topic_path(folder: Path, topic: str) -> Path:
    """Where the topic's file is, whether it exists or not."""
    if _NAME.fullmatch(topic) is None:
        raise TopicMissing(f'"{topic}" cannot be the name of a topic: letters, digits, dots, dashes, at most 249.')
    return folder / f"{topic}{_SUFFIX}"


def topic_names(folder: Path) -> list[str]:
    """Every topic that the folder holds. Errors: `LogUnavailable`."""
    with _readable(folder):
        found = list(folder.iterdir()) if folder.exists() else []
    return sorted(path.name.removesuffix(_SUFFIX) for path in found if path.name.endswith(_SUFFIX))


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogUnavailable(f"{folder} could not be read: {error.strerror}.") from error


def create_topic(folder: Path, spec: TopicSpec) -> bool:
    """The topic exists; `False` when it did before, as it was then.

    Positions on a former topic of this name end with it, as Kafka does it. They go first: no reader may find both.
    """
    path = topic_path(folder, spec.name)
    if path.exists():
        return False
    forget_positions(folder, spec.name)
    return create(path, partial(_fill, spec))


def open_topic(folder: Path, topic: str, *, synchronous: str) -> OpenTopic:
    """The topic, open for the calling thread. Errors: `TopicMissing`; as `connect`."""
    path = topic_path(folder, topic)
    with _readable(folder):
        is_there = path.exists()
    if not is_there:
        raise TopicMissing(f'Topic "{topic}" does not exist in {folder}. `hookmill topics ensure` creates it.')
    with contextlib.ExitStack() as opened:
        database = connect(path, synchronous=synchronous)
        opened.callback(database.close)
        with database.reading() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            if version != _FORMAT:
                raise LogUnavailable(f"{path} has format {version}, this version reads {_FORMAT}. Upgrade Hookmill.")
            settings = execute("SELECT partitions, retention_ms, max_record_bytes FROM topic").fetchone()
        opened.pop_all()
    return OpenTopic(database, TopicSpec(topic, *settings))


def _fill(spec: TopicSpec, connection: sqlite3.Connection) -> None:
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version={_FORMAT}")
    connection.execute(
        "INSERT INTO topic VALUES (?, ?, ?)", (spec.partitions, spec.retention_ms, spec.max_record_bytes)
    )
    connection.executemany(
        "INSERT INTO partitions (partition) VALUES (?)", [(number,) for number in range(spec.partitions)]
    )
