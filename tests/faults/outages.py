"""Outages while a load runs: waiting until webhooks are accepted again, and how long none was."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from hookmill.errors import LogUnavailable
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill

ENDLESS = 10_000_000
"""Webhooks of a workload that lasts until the block of `loading` ends."""

_LOOK_S = 0.02
_PROGRESS_S = 90.0
"""Far over every figure that a row asks for: it fails by its figure, not here."""


class Progress:
    """What is accepted of a load under way."""

    def __init__(self, ledger: Ledger, loading: asyncio.Task[None]) -> None:
        self._ledger = ledger
        self._loading = loading
        self.pauses_s: list[float] = []
        """The longest time without an accepted webhook of each `pause_of`."""

    async def accepted(self, more: int) -> float:
        """So many more are accepted; seconds it took. Fails when the load has ended, or nothing happens for long."""
        began = time.monotonic()
        wanted = len(self._ledger.accepted) + more
        while len(self._ledger.accepted) < wanted:
            assert not self._loading.done(), f"the load is over: {self._loading}"
            assert time.monotonic() - began < _PROGRESS_S, f"{wanted - len(self._ledger.accepted)} are not accepted"
            await asyncio.sleep(_LOOK_S)
        return time.monotonic() - began

    @contextlib.asynccontextmanager
    async def pause_of(self) -> AsyncIterator[None]:
        """Whatever the block does, the longest pause from its begin until webhooks are accepted after it is noted."""
        stop = asyncio.Event()
        watching = asyncio.create_task(self._longest_pause(stop))
        try:
            yield
            await self.accepted(1)
        finally:
            stop.set()
            self.pauses_s.append(await watching)

    async def _longest_pause(self, stop: asyncio.Event) -> float:
        longest, count, since = 0.0, len(self._ledger.accepted), time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            longest = max(longest, now - since)
            if len(self._ledger.accepted) != count:
                count, since = len(self._ledger.accepted), now
        return longest


@contextlib.asynccontextmanager
async def loading(mill: Mill, ledger: Ledger, *, rate: float) -> AsyncIterator[Progress]:
    """The load runs beside the block, which should not outlast it, and ends after it: what was sent is accepted."""
    enough = asyncio.Event()
    task = asyncio.create_task(load(mill, ledger, rate=rate, is_over=enough.is_set))
    try:
        yield Progress(ledger, task)
        enough.set()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(mill: Mill, ledger: Ledger) -> None:
    """As `Mill.settled`, on a log that has just come back and may not answer every time yet."""
    while True:
        try:
            await mill.settled(ledger)
            return
        except LogUnavailable:
            await asyncio.sleep(1)
