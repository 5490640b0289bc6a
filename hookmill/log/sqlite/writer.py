"""Writing to one topic: a thread that commits everything queued while the last fsync ran, in one transaction."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookmill.log.sqlite.batch import StoredBatch, encode_batch
from hookmill.log.sqlite.placement import Piece, joined
from hookmill.log.sqlite.topic_file import OFFSET_BITS, OpenTopic, open_topic
from hookmill.topics import TopicSpec

_MAX_COMMIT_BYTES: Final = 8_388_608
"""Bound of one transaction: a larger one would only delay the first answers in it."""

_NEXT_OFFSET: Final = "SELECT next_offset FROM partitions WHERE partition = ?"
_SET_NEXT_OFFSET: Final = "UPDATE partitions SET next_offset = ? WHERE partition = ?"
_INSERT: Final = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(slots=True, eq=False)
class Write:
    """One call of `send` in the queue.

    The future ends with the error as its result, `None` for success: a cancelled caller leaves nobody to raise it to.
    """

    pieces: list[Piece]
    outcome: asyncio.Future[Exception | None]


class TopicWriter:
    """This process's only writer to one topic; SQLite's lock takes turns with other processes."""

    def __init__(self, folder: Path, topic: str, committed: Callable[[], None]) -> None:
        """`committed` is called on the loop after each commit."""
        self._folder = folder
        self._topic = topic
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[TopicSpec] = self._loop.create_future()
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"writer {topic}", daemon=True)

    async def open(self) -> TopicSpec:
        """The thread runs. Errors: `TopicMissing`, `LogUnavailable`, `LogFull`; the thread has ended then."""
        self._thread.start()
        return await self._opened

    def submit(self, pieces: list[Piece]) -> asyncio.Future[Exception | None]:
        """The pieces are queued; the future says when they are durable, or why they are not."""
        outcome: asyncio.Future[Exception | None] = self._loop.create_future()
        self._queue.put(Write(pieces, outcome))
        return outcome

    async def close(self) -> None:
        """Everything submitted before has its outcome, the file is closed."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            topic = open_topic(self._folder, self._topic, synchronous="FULL")
        except Exception as error:
            self._loop.call_soon_threadsafe(self._opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, topic.spec)
        try:
            while writes := self._next_writes():
                self._loop.call_soon_threadsafe(self._answer, writes, _outcome_of(topic, writes))
        finally:
            topic.database.close()

    def _next_writes(self) -> list[Write]:
        """Waits for one, takes what else is queued; empty at the end."""
        writes: list[Write] = []
        size_bytes = 0
        write = self._queue.get()
        while write is not None:
            writes.append(write)
            size_bytes += sum(piece.size_bytes for piece in write.pieces)
            if size_bytes >= _MAX_COMMIT_BYTES:
                return writes
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                return writes
        if writes:
            self._queue.put(None)
        return writes

    def _answer(self, writes: Sequence[Write], error: Exception | None) -> None:
        for write in writes:
            write.outcome.set_result(error)
        if error is None:
            self._committed()


def _outcome_of(topic: OpenTopic, writes: Sequence[Write]) -> Exception | None:
    pieces = joined([piece for write in writes for piece in write.pieces])
    try:
        _commit(topic, pieces)
    except Exception as error:
        # The border of the unit of work: whatever it is, it belongs to the callers, and the thread lives on.
        return error
    return None


def _commit(topic: OpenTopic, pieces: Sequence[Piece]) -> None:
    """All pieces are in the file, durably, or none is."""
    bodies = [encode_batch(StoredBatch(piece.records)) for piece in pieces]
    with topic.database.writing() as execute:
        next_offsets: dict[int, int] = {}
        for piece, body in zip(pieces, bodies, strict=True):
            partition = piece.partition
            base = next_offsets.get(partition)
            if base is None:
                (base,) = execute(_NEXT_OFFSET, (partition,)).fetchone()
            count = len(piece.records)
            place = partition << OFFSET_BITS | base + count - 1
            execute(_INSERT, (place, base, count, piece.size_bytes, piece.max_timestamp_ms, body))
            next_offsets[partition] = base + count
        for partition, next_offset in next_offsets.items():
            execute(_SET_NEXT_OFFSET, (next_offset, partition))
