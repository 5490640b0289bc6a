"""Row 24: movers that are killed and frozen at random while records come in: none is lost, none is early."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hookmill import headers
from hookmill.records import NewRecord, Record
from hookmill.retry import DELAY_TOPICS
from hookmill.topics import Topic
from tests.faults.trials import trials
from tests.processes import Process, started
from tests.redelivery.installation import Installation, install
from tests.redelivery.moving import delayed

DELAYS_S = (0.5, 1.0, 1.5, 2.0, 2.5)
BATCH = 20
BATCH_INTERVAL_S = 0.05
LONGEST_FREEZE_S = 7.0
"""Longer than the lease of the embedded log: what the frozen mover held is moved by the other."""
ARRIVAL_DEADLINE_S = 60.0


class Traffic:
    """Sends records to every delay topic until told to stop; `due_ms` is what it sent, and for when."""

    def __init__(self, installation: Installation) -> None:
        self.due_ms: dict[bytes, int] = {}
        self._installation = installation
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        names = self._installation.names
        async with self._installation.log.sender() as sender:
            while not self._is_over.is_set():
                for topic, delay_s in zip(DELAY_TOPICS, DELAYS_S, strict=True):
                    await sender.send(names.full(topic), self._batch(delay_s))
                await asyncio.sleep(BATCH_INTERVAL_S)

    def end(self) -> None:
        self._is_over.set()

    def _batch(self, delay_s: float) -> list[NewRecord]:
        due_ms = round((time.time() + delay_s) * 1_000)
        batch = [b"%d" % (len(self.due_ms) + index) for index in range(BATCH)]
        self.due_ms.update(dict.fromkeys(batch, due_ms))
        return [delayed(value, due_ms, key=value) for value in batch]


def mover_process(installation: Installation, output: Path) -> Process:
    delays = ",".join(map(str, DELAYS_S))
    return Process(["mover"], output, {**installation.environment, "HOOKMILL_RETRY__DELAYS_S": delays})


async def kill(mover: Process, chance: random.Random) -> None:
    await asyncio.to_thread(mover.kill)
    await asyncio.to_thread(mover.start)


async def freeze(mover: Process, chance: random.Random) -> None:
    os.kill(mover.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(chance.uniform(0.2, LONGEST_FREEZE_S))
    finally:
        os.kill(mover.pid, signal.SIGCONT)


async def run_with_faults(installation: Installation, movers: Sequence[Process], count: int, seed: int) -> Traffic:
    chance = random.Random(seed)
    traffic = Traffic(installation)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.run())
        for _ in range(count):
            await asyncio.sleep(chance.uniform(0.2, 2.0))
            await chance.choice((kill, freeze))(chance.choice(movers), chance)
        traffic.end()
    return traffic


async def arrived(installation: Installation, is_complete: Callable[[set[bytes]], bool]) -> list[Record]:
    """What is on the redelivery topic as soon as it is complete, or what is there at the deadline."""
    found: list[Record] = []
    deadline = time.monotonic() + ARRIVAL_DEADLINE_S
    topic = installation.names.full(Topic.WEBHOOKS_REDELIVERY)
    async with installation.log.reader([topic], group=None) as reader:
        while time.monotonic() < deadline and not is_complete({record.value or b"" for record in found}):
            for span in await reader.poll(0.5):
                found += span.records
    return found


@trials("count", short=3, full=50, deadline_s=1_200)
async def test_movers_that_die_and_freeze_lose_nothing_and_are_never_early(
    tmp_path: Path, engine: str | None, seed: int, count: int
) -> None:
    installation = await install(tmp_path / "data", engine)
    movers = [mover_process(installation, tmp_path / name) for name in ("one", "other")]

    with started(*movers):
        traffic = await run_with_faults(installation, movers, count, seed)
        moved = await arrived(installation, lambda found: traffic.due_ms.keys() <= found)
        codes = [(await asyncio.to_thread(mover.stop))[0] for mover in movers]

    lost = traffic.due_ms.keys() - {record.value for record in moved}
    early_ms = [traffic.due_ms[record.value or b""] - record.timestamp_ms for record in moved]
    print(
        f"row 24: {count} kills and freezes, {len(traffic.due_ms):,} records, {len(lost)} lost, "
        f"{len(moved) - len(traffic.due_ms)} doubled, earliest {-max(early_ms) / 1_000:.1f} s after its time, "
        f"latest {-min(early_ms) / 1_000:.1f} s"
    )
    assert lost == set()
    assert max(early_ms) <= 0
    assert {headers.text_header(record.headers, headers.NOT_BEFORE) for record in moved} == {""}
    assert codes == [0, 0]
