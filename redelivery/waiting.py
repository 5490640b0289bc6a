"""Who waits on one delay partition, and until when."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hookmill import headers
from hookmill.records import Record
from redelivery.clock import Now

CLOCK_TOLERANCE_MS: Final = 1_000
"""How far the clocks of two machines are apart without anybody having set one. Ours: NTP keeps them closer."""


class _Mark(NamedTuple):
    """Every record before offset `end` was on the partition at `at_s` of the steady clock."""

    at_s: float
    end: int


@dataclass
class Waiting:
    """The records of one delay partition that were read and not moved yet, oldest first. Pure.

    The head is moved when its `not-before` has come by the wall clock, or, whatever the clock says, when it has surely
    been there for as long as its topic waits. Only the head is looked at: a topic has one wait, so records come in the
    order in which they are due, give or take the clocks of their writers. A record that asks for more, because it was
    forged or because the clock has been set back since, delays those behind it by the topic's wait at most.
    """

    delay_s: float
    """What the topic waits."""
    _records: deque[Record] = field(default_factory=deque)
    _mark: _Mark | None = None

    def __bool__(self) -> bool:
        return bool(self._records)

    def add(self, records: Iterable[Record]) -> None:
        """Records read next."""
        self._records.extend(records)

    def due(self, now: Now) -> list[Record]:
        """The records to be moved now: from the head to the first that has to wait. They stay here until `moved`."""
        found = []
        for record in self._records:
            if self._remaining_s(record, now) > 0:
                break
            found.append(record)
        return found

    def moved(self, count: int) -> None:
        """The first `count` records are durable elsewhere."""
        for _ in range(count):
            self._records.popleft()

    def remaining_s(self, now: Now) -> float:
        """Seconds until the head is due, negative when it has been; only when there is one."""
        return self._remaining_s(self._records[0], now)

    def needs_mark(self, now: Now) -> bool:
        """Whether the head is to wait for longer than the topic does, from an instant on that `mark` must tell."""
        if not self._records:
            return False
        head = self._records[0]
        excess_ms = not_before_ms(head) - now.wall_ms - self.delay_s * 1_000
        return excess_ms > CLOCK_TOLERANCE_MS and not self._is_marked(head)

    def mark(self, now: Now, end: int) -> None:
        """At `now` the partition ended with `end`: what is before it waits for `delay_s` more at most."""
        self._mark = _Mark(now.steady_s, end)

    def _remaining_s(self, record: Record, now: Now) -> float:
        by_wall_s = (not_before_ms(record) - now.wall_ms) / 1_000
        if self._mark is None or not self._is_marked(record):
            return by_wall_s
        return min(by_wall_s, self._mark.at_s + self.delay_s - now.steady_s)

    def _is_marked(self, record: Record) -> bool:
        return self._mark is not None and record.offset < self._mark.end


def not_before_ms(record: Record) -> int:
    """When the record is due, epoch milliseconds; 0, long ago, when it does not say so in a way that can be read."""
    return headers.int_header(record.headers, headers.NOT_BEFORE, 0)
