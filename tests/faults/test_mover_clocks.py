"""Row 24: clocks that are set an hour forward and back while records wait; none is lost, none is early."""

import asyncio
import random
import time
from dataclasses import dataclass
from pathlib import Path

from hookmill.config import RetryConfig
from hookmill.lifecycle import running
from hookmill.records import NewRecord, Record
from hookmill.retry import DELAY_TOPICS
from hookmill.topics import Topic
from redelivery.clock import Clock
from redelivery.mover import Mover
from tests.contracts.reading import eventually
from tests.faults.trials import trials
from tests.redelivery.installation import Installation, install
from tests.redelivery.moving import delayed

SPEED = 200.0
"""Seconds that pass in one: the waits of the ladder end while a test waits."""
DELAYS_S = (5.0, 25.0, 125.0, 625.0, 1_250.0)
JUMPS_S = (-3_600.0, 3_600.0)
EARLY_S = 1.0
MOVE_S = 2.0
BATCH = 4


class FastClock:
    """A clock of `SPEED` that can be set; it tells what it showed at any time of the machine's own."""

    def __init__(self) -> None:
        self._began_s = time.time()
        self._jumps: list[tuple[float, float]] = []

    def set_by(self, seconds: float) -> None:
        self._jumps.append((time.time(), seconds))

    def steady_s(self, at_s: float) -> float:
        return (at_s - self._began_s) * SPEED

    def wall_s(self, at_s: float) -> float:
        return self._began_s + self.steady_s(at_s) + sum(seconds for since_s, seconds in self._jumps if since_s <= at_s)

    def furthest_s(self, at_s: float) -> float:
        """The furthest that the wall clock showed shortly before: from a look at it to the move takes a while."""
        moments = (since_s - 1e-6 for since_s, _ in self._jumps if at_s - MOVE_S < since_s <= at_s)
        return max(map(self.wall_s, (at_s, *moments)))

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_s(time.time()), lambda: self.steady_s(time.time()))


@dataclass(frozen=True)
class Wait:
    """One record: the wall time until which it waits, and the steady time at which its topic has kept it as long."""

    due_s: float
    ends_s: float


class Traffic:
    """Sends records to every delay topic, by the same clock as the mover's; `waits` is what it sent."""

    def __init__(self, installation: Installation, clock: FastClock) -> None:
        self.waits: dict[bytes, Wait] = {}
        self._installation = installation
        self._clock = clock

    async def send_some(self) -> None:
        for topic, delay_s in zip(DELAY_TOPICS, DELAYS_S, strict=True):
            await self._installation.send(topic, *(self._record(delay_s) for _ in range(BATCH)))

    def _record(self, delay_s: float) -> NewRecord:
        now_s = time.time()
        value = b"%d" % len(self.waits)
        due_s = self._clock.wall_s(now_s) + delay_s
        self.waits[value] = Wait(due_s, self._clock.steady_s(now_s) + delay_s)
        return delayed(value, round(due_s * 1_000), key=value)


@trials("jumps", short=5, full=50, deadline_s=900)
async def test_a_clock_that_jumps_by_an_hour_loses_nothing_and_lets_nothing_go_early(
    tmp_path: Path, engine: str | None, seed: int, jumps: int
) -> None:
    installation = await install(tmp_path / "data", engine)
    chance = random.Random(seed)
    clock = FastClock()
    traffic = Traffic(installation, clock)

    done = 0
    while done < jumps:
        mover = Mover(RetryConfig(delays_s=DELAYS_S), installation.log, installation.names, clock.clock())
        async with running([mover]):
            for _ in range(min(jumps - done, chance.randint(1, 5))):  # then the next mover takes over
                await traffic.send_some()
                await asyncio.sleep(chance.uniform(0.1, 1.0))
                clock.set_by(chance.choice(JUMPS_S))
                await traffic.send_some()
                done += 1
            if done == jumps:
                await eventually(lambda: is_complete(installation, traffic), "everything is moved")

    moved = await installation.records(Topic.WEBHOOKS_REDELIVERY)
    early_s = [earliness_s(clock, traffic.waits[record.value or b""], record) for record in moved]
    lost = traffic.waits.keys() - {record.value for record in moved}
    print(
        f"row 24: {jumps} jumps of an hour, {len(traffic.waits)} records, {len(lost)} lost, "
        f"{len(moved) - len(traffic.waits)} doubled, earliest {max(early_s):+.1f} s of the clock"
    )
    assert lost == set()
    assert max(early_s) <= EARLY_S


async def is_complete(installation: Installation, traffic: Traffic) -> bool:
    moved = await installation.records(Topic.WEBHOOKS_REDELIVERY)
    return traffic.waits.keys() <= {record.value for record in moved}


def earliness_s(clock: FastClock, wait: Wait, record: Record) -> float:
    """How much too early the record was moved, by the kinder of the two clocks."""
    moved_s = (record.timestamp_ms + 1) / 1_000
    return min(wait.due_s - clock.furthest_s(moved_s), wait.ends_s - clock.steady_s(moved_s))
