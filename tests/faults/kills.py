"""Kills with -9 in random turn while something else runs."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from tests.faults.mill import Mill
from tests.faults.workload import now_ms

EVERY_S, SHORT_EVERY_S = (5.0, 20.0), (5.0, 8.0)
"""Between two kills, in the full and in the short form."""


@dataclass
class Killed:
    """What was done so far: names in order, by kill the instant at which the process was gone, and the seconds until it
    was ready again."""

    names: list[str] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    ready_again_s: list[float] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kills(self) -> int:
        return len(self.names)

    def add(self, name: str, at_ms: int, ready_again_s: float) -> None:
        """One more."""
        self.names.append(name)
        self.at_ms.append(at_ms)
        self.ready_again_s.append(ready_again_s)
        self._changed.set()

    async def reach(self, kills: int) -> None:
        """There were as many."""
        while self.kills < kills:
            self._changed.clear()
            await self._changed.wait()


@contextlib.asynccontextmanager
async def kills(
    mill: Mill, names: Sequence[str], seed: int, *, every_s: tuple[float, float], down_s: float = 0.0
) -> AsyncIterator[Killed]:
    """While the block runs, one of the processes is killed every so often and started again after `down_s`.

    Fails when one does not come back.
    """
    done = Killed()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill(mill, names, random.Random(seed), every_s, down_s, done, stop))
        try:
            yield done
        finally:
            stop.set()  # not cancelled in the middle of a start


async def _kill(
    mill: Mill,
    names: Sequence[str],
    chance: random.Random,
    every_s: tuple[float, float],
    down_s: float,
    done: Killed,
    stop: asyncio.Event,
) -> None:
    due = time.monotonic()
    while True:
        due = max(due, time.monotonic() - every_s[0]) + chance.uniform(*every_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(due - time.monotonic()):
                await stop.wait()
        if stop.is_set():
            return
        name = chance.choice(names)
        began = time.monotonic()
        await asyncio.to_thread(mill.processes[name].kill)
        at_ms = now_ms()  # not before: what it did until it was gone is no work after it
        await asyncio.sleep(down_s)
        await asyncio.to_thread(mill.processes[name].start)
        done.add(name, at_ms, time.monotonic() - began)
