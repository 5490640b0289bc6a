"""Movers and delayed records for tests, and clocks that tests turn by hand."""

import time
from collections.abc import Sequence

from hookmill import headers
from hookmill.config import RetryConfig
from hookmill.log import Log
from hookmill.records import NewRecord
from redelivery.clock import Clock
from redelivery.mover import Mover
from tests.contracts.reading import read_all
from tests.redelivery.installation import Installation


class HandClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self._wall_s = float(round(time.time()))
        self._steady_s = 1_000.0

    @property
    def now_ms(self) -> int:
        """The wall clock."""
        return round(self._wall_s * 1_000)

    def pass_by(self, seconds: float) -> None:
        """Time goes on."""
        self._wall_s += seconds
        self._steady_s += seconds

    def set_by(self, seconds: float) -> None:
        """Somebody sets the clock of the machine."""
        self._wall_s += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self._wall_s, lambda: self._steady_s)


def mover_on(installation: Installation, clock: HandClock | None = None, log: Log | None = None) -> Mover:
    """A mover with the ladder of production."""
    return Mover(
        RetryConfig(),
        log or installation.log,
        installation.names,
        None if clock is None else clock.clock(),
    )


def delayed(
    value: bytes,
    not_before_ms: int | None = None,
    *,
    stage: bytes | None = b"function",
    key: bytes | None = None,
    partition: int | None = None,
) -> NewRecord:
    """A record as a stage sends it to a delay topic; without `not_before_ms` it does not say until when."""
    fields = {
        headers.SOURCE: b"shop",
        headers.DELIVERY_COUNT: b"2",
        headers.STAGE: stage,
        headers.NOT_BEFORE: None if not_before_ms is None else b"%d" % not_before_ms,
    }
    kept = tuple((name, content) for name, content in fields.items() if content is not None)
    return NewRecord(value=value, key=key, headers=kept, partition=partition)


async def values_on(installation: Installation, topic: str, count: int) -> Sequence[bytes | None]:
    """The values on the topic, as soon as there are so many, in order within a partition."""
    return [record.value for record in await read_all(installation.log, topic, count)]
