"""The breaker: what is known of something that everything needs, and how much may be tried with it."""

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from hookmill.telemetry import get_logger

log = get_logger(__name__)

TRIAL: Final = 8
"""How many at most try whether it is back: few enough to do no harm to what has just come up."""


class State(IntEnum):
    """The numbers are what metrics show."""

    CLOSED = 0
    """All is well: everything goes through."""
    HALF_OPEN = 1
    """A few try whether it is back, everything else waits."""
    OPEN = 2
    """It is away."""


class Breaker:
    """Of one dependency. Pure: whoever uses it decides when to try again, and asks `admit` before each use."""

    def __init__(self, of: str, shown: Callable[[State], None] = lambda state: None) -> None:
        """`of` names the dependency in log lines; `shown` hears of each new state."""
        self.state = State.CLOSED
        self._of = of
        self._shown = shown
        self._opened_at_s = 0.0
        shown(self.state)

    def admit(self, wanted: int) -> int:
        """How many of `wanted` may go through now; `succeeded` or `failed` must follow if it is not 0."""
        match self.state:
            case State.CLOSED:
                return wanted
            case State.OPEN:
                self._become(State.HALF_OPEN)
                return min(wanted, TRIAL)
            case State.HALF_OPEN:
                return 0

    def succeeded(self) -> None:
        """It is there."""
        if self.state is not State.CLOSED:
            self._become(State.CLOSED)
            log.info("breaker.closed", of=self._of, after_s=round(time.monotonic() - self._opened_at_s, 1))

    def failed(self, reason: str) -> None:
        """It is away. Of a trial that told nothing, the same is to be said."""
        if self.state is State.CLOSED:
            self._opened_at_s = time.monotonic()
            log.warning("breaker.opened", of=self._of, reason=reason)
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        if state is not self.state:
            log.debug("breaker.state", of=self._of, state=state.name.lower())
            self.state = state
            self._shown(state)
