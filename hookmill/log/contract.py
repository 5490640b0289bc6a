"""The Protocols of the log, with the whole contract in prose; `tests/contracts` holds every engine to it."""

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from hookmill.records import NewRecord, Span, TopicPartition
from hookmill.topics import TopicSpec

MAX_SPAN_RECORDS = 500
MAX_SPAN_BYTES = 1_048_576
"""Bounds of one span (DESIGN "Faust's place"): a crash repeats at most a span per partition and lane. A record
larger than the byte bound is a span of its own."""


class RecordSender(Protocol):
    """Sends records; one per process is enough, any number of tasks may call `send` at once.

    Use as an async context manager; leaving it waits for sends in progress.
    """

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        """Every record is durable on `topic`: fsynced (embedded) or acknowledged by all in-sync replicas (Kafka).

        Records with the same key, or of one call without key, keep the order of the call within their partition; two
        calls that do not overlap in time keep their order too. An empty sequence returns at once. Topics are named with
        their prefix. On the embedded log the call is all or nothing; on Kafka a failed call may have stored some.

        Errors: `TopicMissing`; `RecordTooLarge` (nothing of the call is stored); `LogFull` (same); `LogUnavailable`
        after the engine's own deadline: the outcome is unknown, sending again may double, ids make that harmless.

        Cancelling the call does not stop the send: the records may be stored all the same.
        """
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RebalanceListener(Protocol):
    """Hears which partitions a reader gains and loses."""

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Finish and commit what is in flight of `partitions`, within 20 s; then they go to another reader.

        Called from within the reader, while it still owns them, also at close. Not called for partitions lost without
        notice (lease ended, session expired): a later commit of those raises `CommitRefused`.
        """
        ...

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """`partitions` are this reader's from now on; their records start at the committed position."""
        ...


class RecordReader(Protocol):
    """Reads the partitions that its group gives it. One task polls; commit and pause may come from others.

    Members of one group share the partitions of their topics, each partition having one owner at a time; other groups
    are not affected. A reader without group (`group=None`) owns every partition, commits nothing and is seen by nobody:
    for replays, the registry and tails.

    Use as an async context manager; leaving it revokes (see `RebalanceListener`), gives the partitions back at once
    and does not commit by itself. The one position that a reader commits by itself is where a group without position
    starts, unless that is the end: what is removed before the first commit is then missed by somebody, and counted.
    """

    async def poll(self, timeout_s: float) -> Sequence[Span]:
        """Next spans, at most one per partition and call; empty after `timeout_s` without any.

        A partition's records come in offset order, each once per ownership, starting at the group's committed
        position, or for a group (or reader) without one at the start chosen at opening. When retention has removed the
        position, reading goes on at the first record that is left; what the group has lost by that is an error in the
        process' log and counted in `hookmill_log_records_missed_total`.

        Errors: `LogUnavailable` when the log stays away for long, `LogFull` when there is no room to keep up the group;
        polling again is allowed.
        """
        ...

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """The group resumes at `positions` (the offset of the next record to read) whoever reads next.

        Positions may move back. Errors: `CommitRefused`; `LogUnavailable` (the commit may or may not have happened,
        doing it again is harmless). A reader without group must not call it.
        """
        ...

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """`poll` returns nothing of `partitions` until `resume`; ownership and position stay. Ends with ownership."""
        ...

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """`poll` returns records of `partitions` again, from where it stopped. Unknown partitions are ignored."""
        ...

    async def positions_at_time(self, timestamp_ms: int) -> Mapping[TopicPartition, int]:
        """Per owned partition its first record with a timestamp >= `timestamp_ms`, or its end; to seek to."""
        ...

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Owned partitions in `positions` continue at the given offsets."""
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions owned now; may be empty while the group settles or others hold everything."""
        ...

    async def end_positions(self) -> Mapping[TopicPartition, int]:
        """Per owned partition the offset that the next record sent will get."""
        ...

    async def lag(self) -> Mapping[TopicPartition, int]:
        """Per owned partition the number of offsets between the committed position and the end; 0 when caught up."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Log(Protocol):
    """A connection to one log. Opening it touches nothing; every method may raise `LogUnavailable`."""

    @property
    def description(self) -> str:
        """For people: which engine, where. No credentials."""
        ...

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Every topic exists. Returns, a sentence each, what was created and where existing topics differ.

        Existing topics are left as they are (their settings are the operator's). Safe to call from several processes.
        """
        ...

    async def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """The committed positions of the group on `topics`, seen from outside: nothing is joined and nobody disturbed.

        Partitions that the group never had are left out; so is everything of a group that does not exist.
        """
        ...

    async def forget(self, positions: Mapping[TopicPartition, int]) -> None:
        """Every record before the positions may go, whatever the retention of its topic; a position is at most the end.

        Readers that stand before one go on at what is left. Positions that are behind what is gone already change
        nothing. Errors: `TopicMissing`, `LogUnavailable`.
        """
        ...

    def sender(self) -> RecordSender:
        """A sender, opened by entering it."""
        ...

    def reader(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
        from_end: bool = False,
    ) -> RecordReader:
        """A reader, opened by entering it; entering raises `TopicMissing` when a topic does not exist.

        `from_end`: where there is no committed position, start with what comes after opening instead of at the first
        record.
        """
        ...
