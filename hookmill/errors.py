"""Errors of Hookmill; each class knows what its failure means for the unit of work it hit."""

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar

from hookmill.records import TopicPartition


class FailureKind(StrEnum):
    """What a failure means for what comes next (DESIGN section 5, "Fail"). The class decides, never the text."""

    RETRIABLE = "retriable"
    """Another delivery may succeed: delay topic, `delivery-count` + 1."""
    FINAL = "final"
    """No delivery of the same bytes can succeed: dead letter at once."""
    RUNNER_KILLED = "runner-killed"
    """Memory or crash: as retriable, alone in a fresh runner, at most twice."""
    DEPENDENCY = "dependency"
    """Something every record needs is away: hold, back off, resume; nothing is counted."""
    BUG = "bug"
    """Ours: the process stops with the record unacknowledged."""


class HookmillError(Exception):
    """Base of all errors raised on purpose. The text is for the person who can act; it holds no secret and no body."""

    kind: ClassVar[FailureKind] = FailureKind.BUG


class ConfigError(HookmillError):
    """The configuration or a project folder cannot be used as it is: exit code 78, nothing was started."""

    kind = FailureKind.FINAL


class LogError(HookmillError):
    """The log did not do what was asked."""

    kind = FailureKind.DEPENDENCY


class LogUnavailable(LogError):
    """The log cannot be reached or did not answer in time. For a send the outcome is unknown: send again."""


class LogFull(LogError):
    """The log's storage refuses writes (disk full, read-only). Nothing of the batch is stored."""


class TopicMissing(LogError):
    """The topic does not exist on this log: `hookmill topics ensure` creates it."""


class RecordTooLarge(LogError):
    """One record exceeds its topic's limit. Nothing of the batch is stored; the caller must not send it again."""

    kind = FailureKind.FINAL


class CommitRefused(LogError):
    """Some partitions are no longer this reader's; their records will come to another reader.

    The positions of the other partitions may or may not be committed. The caller forgets what it knows of
    `partitions` and goes on polling.
    """

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        self.partitions = frozenset(partitions)
        names = ", ".join(f"{p.topic}:{p.partition}" for p in sorted(self.partitions))
        super().__init__(f"The group gave {names} to another reader before the commit.")
