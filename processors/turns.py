"""Turns: webhooks of one ordering key run one after another in this process, in the order in which they were read."""

import asyncio
from collections.abc import Collection, Mapping
from enum import Enum, auto


class End(Enum):
    """How a turn ended."""

    DONE = auto()
    """Everything in it is settled."""
    LEFT = auto()
    """It never began: its webhooks come again, here or elsewhere."""
    FAILED = auto()
    """It was given up: nothing may follow it."""


class Turn:
    """For some ordering keys, the place behind whoever was reserved one for them before."""

    def __init__(self, queues: Collection[bytes], before: Mapping[bytes, "Turn"]) -> None:
        self.queues = frozenset(queues)
        self.end: End | None = None
        self._before = dict(before)
        self._ended = asyncio.Event()

    def has_come(self, queue: bytes) -> bool:
        """Nobody is before this one."""
        before = self._before.get(queue)
        return before is None or before.end is not None

    async def come(self) -> frozenset[End]:
        """It is this turn for all of its keys. Returns how those before it ended."""
        before = set(self._before.values())
        for turn in before:
            await turn._ended.wait()
        return frozenset(turn.end for turn in before if turn.end is not None)

    def _finish(self, end: End) -> None:
        self.end = end
        self._before.clear()
        self._ended.set()


class Turns:
    """The turns of one stage. Memory is held for turns that have not ended."""

    def __init__(self) -> None:
        self._last: dict[bytes, Turn] = {}

    def reserve(self, queues: Collection[bytes]) -> Turn:
        """A turn behind all that were reserved before; `end` must be called for it."""
        turn = Turn(queues, {queue: self._last[queue] for queue in queues if queue in self._last})
        self._last.update(dict.fromkeys(turn.queues, turn))
        return turn

    def end(self, turn: Turn, how: End) -> None:
        """Whoever waits for the turn goes on."""
        turn._finish(how)
        for queue in turn.queues:
            if self._last.get(queue) is turn:
                del self._last[queue]

    def __len__(self) -> int:
        """Ordering keys of which a turn has not ended."""
        return len(self._last)
