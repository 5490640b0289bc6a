"""The two clocks by which waiting is measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Now(NamedTuple):
    """One look at both clocks."""

    wall_ms: int
    """Epoch milliseconds: what `not-before` is compared with. Jumps when the machine's clock is set."""
    steady_s: float
    """Seconds since some moment: never jumps, means nothing to other processes."""


@dataclass(frozen=True)
class Clock:
    """Tells the time; tests give it clocks of their own."""

    wall_s: Callable[[], float] = time.time
    steady_s: Callable[[], float] = time.monotonic

    def now(self) -> Now:
        """The time, milliseconds cut off: rounded up, a record would be due before its instant."""
        return Now(int(self.wall_s() * 1_000), self.steady_s())
