"""Whether a runner gets on with its batch."""

from time import monotonic, time
from typing import Final

from processors.runtimes.ledger import Ledger
from processors.runtimes.limits import Limits

START_DEADLINE_S: Final = 10.0
"""For what takes 0.1 s on a quiet machine and has nothing to do with user code: a process or thread starting."""
HARD_STOP_S: Final = 0.5
"""Beyond the time limit, without any progress, the runner's own means have failed."""


class Progress:
    """Whether a runner gets on with a batch: the ledger grows with every invocation and with the start of each rest."""

    def __init__(self, ledger: Ledger, limits: Limits) -> None:
        self._ledger = ledger
        self._allowed_s = limits.timeout_ms / 1_000 + HARD_STOP_S
        # A batch ends with the invocation that passes its time. User code that keeps writing must not keep its runner.
        self._batch_s = limits.batch_ms / 1_000 + self._allowed_s + START_DEADLINE_S
        self._size = 0
        self._started = self._since = self._looked = monotonic()

    def silent_s(self) -> float:
        """Seconds without growth, as far as looked."""
        now = monotonic()
        size = self._ledger.size()
        if size != self._size:
            # On a busy machine we look late: what the file says of the moment, as far as that lies between two looks.
            seen_late_s = min(max(time() - self._ledger.written_at_s(), 0.0), now - self._looked)
            self._size, self._since = size, now - seen_late_s
        self._looked = now
        return now - self._since

    def is_stuck(self) -> bool:
        """While no user code is running, more time is allowed: a thread or process may be starting."""
        silent = self.silent_s()
        if monotonic() - self._started > self._batch_s:
            return True
        return silent > self._allowed_s and (silent > START_DEADLINE_S or self._ledger.read().is_running)
