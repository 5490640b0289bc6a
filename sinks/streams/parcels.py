"""What requests carry: pieces that belong to messages of the batch, packed into parcels and delivered each once."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sinks.contract import RecordRejected, SinkUnavailable
from sinks.streams.endpoint import Refused, Stumbled


@dataclass(frozen=True)
class Piece:
    """The smallest thing that a destination takes or refuses."""

    indexes: tuple[int, ...]
    """Of the messages in the batch that it stands for."""
    json: bytes
    key: str
    """What tells it from every other piece, in this batch and when the batch comes again."""
    group: str = ""
    """Only pieces of one group go into one parcel."""


_MAX_STUMBLES: Final = 5
"""As often a destination may fail of one piece before the piece makes way for others, some 2 s after the first time.
It comes again over the next hour, so that a destination that fails of everything for a while loses nothing."""

Parcel = tuple[Piece, ...]
Post = Callable[[Parcel], Awaitable[None]]
"""The parcel is taken. Errors: `Refused`, `SinkUnavailable`."""


def pack(pieces: Iterable[Piece], max_pieces: int, max_bytes: int) -> list[Parcel]:
    """All pieces, in parcels of neighbours of one group; `max_bytes` counts a comma after each piece.

    A piece that is larger than that is a parcel by itself.
    """
    parcels: list[Parcel] = []
    current: list[Piece] = []
    size = 0
    for piece in pieces:
        is_other = bool(current) and current[0].group != piece.group
        if current and (is_other or len(current) == max_pieces or size + len(piece.json) + 1 > max_bytes):
            parcels.append(tuple(current))
            current, size = [], 0
        current.append(piece)
        size += len(piece.json) + 1
    if current:
        parcels.append(tuple(current))
    return parcels


class Courier:
    """Delivers the parcels of one batch after the other.

    What was taken of a batch that failed half way is remembered until `forget`, when the batch is through, so that its
    repetition posts only what is missing. After a crash that is forgotten: then the ids tell the destination.
    """

    def __init__(self, post: Post, lanes: int) -> None:
        self._post = post
        self._lanes = lanes
        """Requests at once; with 1 the parcels keep their order."""
        self._taken: set[str] = set()
        self._stumbles: Counter[str] = Counter()

    async def deliver(self, pieces: Sequence[Piece], max_pieces: int, max_bytes: int) -> None:
        """Every piece is taken. A parcel that is refused is halved until the pieces at fault are alone.

        A piece that is alone in its parcel and that the destination fails of again and again is rejected too, for now.

        Errors: `RecordRejected` for all of them; `SinkUnavailable`.
        """
        missing = [piece for piece in pieces if piece.key not in self._taken]
        waiting = deque(pack(missing, max_pieces, max_bytes))
        rejected: dict[int, str] = {}
        delayed: set[int] = set()
        failures: list[SinkUnavailable] = []

        async def lane() -> None:
            while waiting and not failures:
                parcel = waiting.popleft()
                try:
                    await self._post(parcel)
                except Refused as error:
                    if len(parcel) == 1:
                        rejected.update(dict.fromkeys(parcel[0].indexes, str(error)))
                    else:
                        half = len(parcel) // 2
                        waiting.extendleft((parcel[half:], parcel[:half]))
                except SinkUnavailable as error:
                    if isinstance(error, Stumbled) and self._is_too_often(parcel):
                        rejected.update(dict.fromkeys(parcel[0].indexes, str(error)))
                        delayed.update(parcel[0].indexes)
                    else:
                        failures.append(error)
                else:
                    self._taken.update(piece.key for piece in parcel)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(min(self._lanes, len(waiting))):
                lanes.create_task(lane())
        if rejected:
            raise RecordRejected(rejected, delayed)
        if failures:
            raise max(failures, key=lambda failure: failure.retry_after_s)

    def forget(self) -> None:
        """The batch is through: what comes now is another one."""
        self._taken.clear()
        self._stumbles.clear()

    def _is_too_often(self, parcel: Parcel) -> bool:
        if len(parcel) > 1:
            return False
        self._stumbles[parcel[0].key] += 1
        return self._stumbles[parcel[0].key] >= _MAX_STUMBLES
