"""Waiting for a dependency that everything needs: bounded back-off, nothing counted, ended at once by a stop."""

import asyncio
from typing import Final

from hookmill.telemetry import get_logger

log = get_logger(__name__)

DELAYS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Doubling; the last repeats. 30 s is how long work may go on standing still once the dependency is back."""


class Abandoned(Exception):
    """The stage stops while the work was on hold: it is not done, and its records come again."""


class Hold:
    """The holds of one stage."""

    def __init__(self) -> None:
        self._abandoned = asyncio.Event()

    async def wait(self, attempt: int, reason: str) -> None:
        """Some time has passed, more for a higher `attempt` (0 for the first). Errors: `Abandoned`."""
        delay_s = DELAYS_S[min(attempt, len(DELAYS_S) - 1)]
        log.warning("stage.holding", reason=reason, attempt=attempt + 1, delay_s=delay_s)
        if not self._abandoned.is_set():
            try:
                async with asyncio.timeout(delay_s):
                    await self._abandoned.wait()
            except TimeoutError:
                return
        raise Abandoned(reason)

    def abandon(self) -> None:
        """Every hold, now and later, raises `Abandoned`."""
        self._abandoned.set()
