"""Probation: a source whose function keeps ending or blocking its runners works alone, and after pauses."""

from collections import deque
from typing import Final

FAULTS: Final = 3
WINDOW_S: Final = 10.0
"""So many within so long put a source on probation (RUNTIMES section 7, "Crash recovery")."""
QUIET_S: Final = 30.0
"""Without a fault for so long it is over. A guess: three windows."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
"""Pauses double from fault to fault. Guesses: the first is what a process costs; with the last, a function that blocks
for its second every time has at most half of a processor, and the records that wait with it wait twice as long."""


class Probation:
    """Of one source, over all versions of its function: a new version may be as bad as the old one."""

    def __init__(self) -> None:
        self._faults: deque[float] = deque(maxlen=FAULTS)
        self._began_at: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def note_fault(self, now_s: float) -> bool:
        """True if this one puts the source on probation."""
        self._faults.append(now_s)
        if self._began_at is not None:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return False
        if len(self._faults) < FAULTS or now_s - self._faults[0] > WINDOW_S:
            return False
        self._began_at = now_s
        return True

    @property
    def is_on(self) -> bool:
        """The source works with one invocation at a time."""
        return self._began_at is not None

    @property
    def pause_s(self) -> float:
        """To be waited after a fault; 0 when not on probation."""
        return self._pause_s if self.is_on else 0.0

    def is_forgotten(self, now_s: float) -> bool:
        """It has been quiet for long enough to begin anew."""
        return bool(self._faults) and now_s - self._faults[-1] >= QUIET_S
