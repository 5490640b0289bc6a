"""The time limit: a repeating tick looks at what runs; a thread of faulthandler ends what no tick can reach."""

import asyncio
import contextlib
import faulthandler
import signal
from time import monotonic
from types import FrameType

TICK_S = 0.05
_STDERR = 2
HARD_STOP_S = 0.1
"""Grace beyond the limit for code that checks no signals, such as one long call into C: two ticks. Where a busy machine
delays a tick for longer, the process ends although a signal would have done; the outcome is the same."""


class TimeLimit(BaseException):
    """Raised in user code whose time is over. No subclass of Exception, so that `except Exception` lets it pass."""


class Watch:
    """Ticks between `open` and `close`; holds a limit against what runs between `begin` and `end`.

    One timer for the whole batch: setting one per invocation costs more than a small invocation does.
    """

    def __init__(self, files: frozenset[str], loop: asyncio.AbstractEventLoop) -> None:
        self._files = files
        self._loop = loop
        self._limit_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._started: float | None = None
        self.has_fired = False
        """The limit was passed; stays, since the process is not to be used any more then."""
        signal.signal(signal.SIGALRM, self._tick)

    def open(self, limit_s: float, task: asyncio.Task[None] | None = None) -> None:
        """Ticks; `task` is cancelled when the time is over while no user code is on the stack."""
        self._limit_s = limit_s
        self._task = task
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        self._arm(limit_s)

    def close(self) -> None:
        """No more ticks."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        self._task = None

    def begin(self) -> None:
        """The time of an invocation runs."""
        self._started = monotonic()

    def end(self) -> float:
        """Its seconds."""
        started, self._started = self._started, None
        return monotonic() - started if started is not None else 0.0

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        if self._started is None:
            return
        left = self._limit_s - (monotonic() - self._started)
        if not self.has_fired:
            self._arm(left)
        if left > 0:
            return
        self.has_fired = True
        if self._is_user_code(frame):
            raise TimeLimit
        if self._task is not None:
            # Thread-safe, since only that wakes a loop that waits: a signal handler alone does not end its select.
            self._loop.call_soon_threadsafe(self._task.cancel)

    def _is_user_code(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code.co_filename in self._files:
                return True
            frame = frame.f_back
        return False

    def _arm(self, left_s: float) -> None:
        # With no memory left for its thread there is no hard stop here; the pool has its own.
        with contextlib.suppress(RuntimeError, MemoryError):
            faulthandler.dump_traceback_later(max(left_s, 0) + HARD_STOP_S, exit=True, file=_STDERR)
