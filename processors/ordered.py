"""Ordered sources: what has to happen that webhooks of one key run one after another, whichever way they take."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from hookmill.parked import Why, entry_key
from hookmill.records import NewRecord
from hookmill.topics import Topic
from processors.crashes import crash_failure, tried_again
from processors.deployed import Deployed
from processors.execution import Execution
from processors.failure import Failure
from processors.hold import Abandoned
from processors.parked_index import queue_hash
from processors.results import Results
from processors.shares import Share
from processors.turns import End, Turn
from processors.webhook import Webhook

IsWanted = Callable[[], bool]
"""Whether finishing the span in hand still counts."""


class Ordered:
    """Settles webhooks that have ordering keys, all of one source and version.

    What a batch makes is sent at its end, in order: a crash before that repeats the batch. A webhook whose turn cannot
    come now is parked, and so are those of its key behind it, until the topic of parked webhooks has none of the key.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._parked = execution.parked

    async def settle(
        self, source: str, deployed: Deployed | Failure, webhooks: Sequence[Webhook], turn: Turn, is_wanted: IsWanted
    ) -> None:
        """Of the topic `webhooks`: everything ran or is parked. Nothing waits here for a key that has parked webhooks.

        Errors: `Abandoned` when those before were given up.
        """
        spots = [spot for webhook in webhooks if (spot := self._parked.spot_of(webhook)) is not None]
        await self._parked.until_known({self._parked.place_of(spot.partition) for spot in spots})
        keys = {webhook.record.key: webhook for webhook in webhooks}
        come = {key for key, each in keys.items() if turn.has_come(turn_key(each)) or self._is_held(each)}
        later = [webhook for webhook in webhooks if webhook.record.key not in come]

        async def settle_later() -> None:
            await until_turn(turn, is_wanted)
            await self._settle(source, deployed, later)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._settle(source, deployed, [each for each in webhooks if each.record.key in come]))
            if later:
                group.create_task(settle_later())

    async def settle_parked(
        self, source: str, deployed: Deployed | Failure, webhooks: Sequence[Webhook], keys: Sequence[bytes]
    ) -> bool:
        """Parked webhooks, with the keys of their entries: those that ran are parked no more, or parked as failed.

        False: there is no runner, which is counted against nobody.
        """
        batch = self._execution.batch(source, deployed)
        ran = await self._execution.run(deployed, webhooks, batch)
        await self._execution.finish(batch)
        left = {webhook.record.offset for webhook in (*ran.waiting, *batch.unsettled)}
        await self._send(
            record
            for webhook, key in zip(webhooks, keys, strict=True)
            if webhook.record.offset not in left
            for record in self._ends(webhook, key, batch.results)
        )
        return not ran.lacks_runner

    async def set_aside(self, source: str, webhooks: Sequence[Webhook], keys: Sequence[bytes], bug: Exception) -> None:
        """After a bug in `settle_parked`: each webhook is parked for another try by itself, or a dead letter."""
        again: list[NewRecord] = []
        for webhook, key in zip(webhooks, keys, strict=True):
            record, spot = tried_again(webhook), self._parked.spot_of(webhook)
            if record is None or spot is None:
                await self.settle_parked(source, crash_failure(bug), [webhook], [key])
                continue
            again.append(self._parked.park(webhook, spot, Why.QUEUED, record.headers))
            if key != entry_key(spot):
                again.append(self._end(webhook, key))
        await self._send(again)

    async def give_back(self, webhooks: Sequence[Webhook]) -> Sequence[Webhook]:
        """Deliveries that come again are with whoever runs the webhooks of their keys. Returns those that have no place
        in an order: replays, and what never was on `webhooks`."""
        spots = [(webhook, self._parked.spot_of(webhook)) for webhook in webhooks]
        await self._send(self._parked.give_back(webhook, spot) for webhook, spot in spots if spot is not None)
        return [webhook for webhook, spot in spots if spot is None]

    async def _settle(self, source: str, deployed: Deployed | Failure, webhooks: Sequence[Webhook]) -> None:
        batch = self._execution.batch(source, deployed)
        left = [webhook for webhook in webhooks if self._is_held(webhook)]
        rest = [webhook for webhook in webhooks if not self._is_held(webhook)]
        spent_s = 0.0
        if isinstance(deployed, Deployed):
            self._share(deployed).arrived(len(webhooks))
        while rest and (count := await self._take(deployed, len(rest), spent_s)):
            try:
                ran = await self._execution.run(deployed, rest[:count], batch)
            finally:
                self._give_back(deployed, count)
            spent_s += ran.spent_s
            left += ran.waiting
            left += [each for each in rest[count:] if each.record.key in ran.stopped]
            rest = [each for each in rest[count:] if each.record.key not in ran.stopped]
        await self._execution.finish(batch)
        await self._park(source, [*left, *rest, *batch.unsettled])

    async def _take(self, deployed: Deployed | Failure, wanted: int, spent_s: float) -> int:
        """How many may run now; all of them where there is nothing to run."""
        if isinstance(deployed, Failure):
            return wanted
        return await self._execution.take(deployed, wanted, spent_s)

    def _give_back(self, deployed: Deployed | Failure, count: int) -> None:
        if isinstance(deployed, Deployed):
            self._share(deployed).give_back(count)

    def _share(self, deployed: Deployed) -> Share:
        return self._execution.shares.of(deployed.source.id, deployed.function.version)

    def _is_held(self, webhook: Webhook) -> bool:
        spot = self._parked.spot_of(webhook)
        return spot is not None and self._parked.holds(spot, webhook.record.key or b"")

    async def _park(self, source: str, webhooks: Sequence[Webhook]) -> None:
        """The webhooks are parked; those that have no place in an order are on the slow lane."""
        spots = [(webhook, self._parked.spot_of(webhook)) for webhook in webhooks]
        await self._send(
            self._parked.park(webhook, spot, Why.QUEUED, webhook.record.headers)
            for webhook, spot in spots
            # One that comes again after a crash may be there, perhaps as failed.
            if spot is not None and not self._parked.has(spot)
        )
        await self._execution.defer(source, [webhook for webhook, spot in spots if spot is None])

    def _ends(self, webhook: Webhook, key: bytes, results: Results) -> list[NewRecord]:
        """What ends the entry, and the one of the webhook itself, unless that is parked anew."""
        spot = self._parked.spot_of(webhook)
        own = set() if spot is None else {entry_key(spot)}
        ended = {key} - own if spot in results.held else {key} | own
        return [self._end(webhook, each) for each in sorted(ended)]

    def _end(self, webhook: Webhook, key: bytes) -> NewRecord:
        """What ends the entry of this key, read from where the parked webhook is."""
        place, queue = webhook.record.partition, queue_hash(webhook.record.key or b"")
        return self._parked.unpark(place, key, queue, webhook.request_id, webhook.source)

    async def _send(self, records: Iterable[NewRecord]) -> None:
        if found := list(records):
            await self._execution.insist({Topic.WEBHOOKS_PARKED: found})


async def until_turn(turn: Turn, is_wanted: IsWanted) -> None:
    """It is the turn's. Errors: `Abandoned` when what was before it comes again and must not be overtaken."""
    ends = await turn.come()
    if End.FAILED in ends or (End.LEFT in ends and not is_wanted()):
        raise Abandoned("those before it come again")


def turn_key(webhook: Webhook) -> bytes:
    """What a webhook has its turn by. A replay is in order by itself, beside what is live."""
    replay = "" if webhook.replay is None else webhook.replay.id
    return (webhook.record.key or b"") + b"\x00" + replay.encode()
