"""The retry rule as a value: what comes after a failed delivery. Carrying it out is the stages' work."""

from dataclasses import dataclass
from typing import Final, Literal

from hookmill.errors import FailureKind
from hookmill.topics import Topic

DELAY_TOPICS: Final = (
    Topic.DELAY_5S,
    Topic.DELAY_25S,
    Topic.DELAY_125S,
    Topic.DELAY_625S,
    Topic.DELAY_3125S,
)
"""The rungs of the ladder, shortest first."""

DELAYS_S: Final = (5.0, 25.0, 125.0, 625.0, 3_125.0)
"""What the rungs wait, x5 from one to the next: 3,905 s in all, about 65 minutes (DESIGN section 5)."""

MAX_RETRIES: Final = len(DELAY_TOPICS)

MAX_RUNNER_KILLS: Final = 2
"""Deliveries that may kill a runner: a third would be a third lost runner for nothing."""


@dataclass(frozen=True)
class Delay:
    """The record waits on `topic` until `not_before_ms`, then is delivery number `delivery_count`."""

    topic: Topic
    not_before_ms: int
    delivery_count: int


@dataclass(frozen=True)
class DeadLetter:
    """The record goes to the dead letters: no rung is left (`exhausted`) or none can help (`final`)."""

    reason: Literal["exhausted", "final"]


@dataclass(frozen=True)
class Hold:
    """Nothing is counted: keep the record, back off, try again when the dependency is back."""


@dataclass(frozen=True)
class Stop:
    """The process stops with the record unacknowledged."""


Hop = Delay | DeadLetter | Hold | Stop


@dataclass(frozen=True)
class RetryPolicy:
    """The schedule of one stage or source: the first delivery plus up to `retries` more, on the first rungs.

    `delays_s` are the waits of the rungs, which never fall. Segment's page says both "5 retries" and "5 attempts"
    (SEGMENT-SPEC Q1); five retries is never fewer than either.
    """

    retries: int = MAX_RETRIES
    delays_s: tuple[float, ...] = DELAYS_S

    def __post_init__(self) -> None:
        if not 0 <= self.retries <= MAX_RETRIES:
            raise ValueError(f"retries is {self.retries}; the ladder has 0 to {MAX_RETRIES} rungs")

    def next_hop(self, kind: FailureKind, delivery_count: int, now_ms: int, retry_after_s: float = 0.0) -> Hop:
        """Where the record of delivery `delivery_count` (1 for the first), failed at `now_ms`, goes next.

        `retry_after_s` is what the other side asked for; it moves the record up to the first rung that waits as long,
        or to the longest. A record waits what its rung waits and never longer, so that one which was asked to wait a
        day neither holds up those behind it nor outlives the retention of its topic.
        """
        match kind:
            case FailureKind.DEPENDENCY:
                return Hold()
            case FailureKind.BUG:
                return Stop()
            case FailureKind.FINAL:
                return DeadLetter("final")
            case FailureKind.RUNNER_KILLED:
                allowed = min(self.retries, MAX_RUNNER_KILLS - 1)
            case FailureKind.RETRIABLE:
                allowed = self.retries
        if delivery_count > allowed:
            return DeadLetter("exhausted")
        rung = delivery_count - 1
        while rung + 1 < MAX_RETRIES and self.delays_s[rung] < retry_after_s:
            rung += 1
        return Delay(DELAY_TOPICS[rung], now_ms + round(self.delays_s[rung] * 1_000), delivery_count + 1)
