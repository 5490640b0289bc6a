"""The main figure: webhooks by the million while one process after the other is killed, and nothing lost or doubled.

    python -m tests.faults.marathon --webhooks 1000000 --kills 200 --log kafka --seed 1

Ends with exit code 0 when everything holds. The folder of a run that fails is kept; it is named at the start.
"""

import argparse
import asyncio
import contextlib
import itertools
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from console.broker import LocalKafka
from tests.faults.checker import Findings, check
from tests.faults.kills import EVERY_S, Killed, kills
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill, install_mill
from tests.faults.repeats import Repeats, count_repeats
from tests.faults.workload import Workload

VICTIMS = ("ingest", "process-1", "process-2", "sink", "mover")
DELAYS_S = (1.0, 2.0, 5.0, 30.0, 100.0)
SHORT_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_PATIENCE = 0.85
"""Of what the ladder waits: a webhook that fails once, and again wherever a runner was killed, gets through."""
_MOST_WAITING = 20_000
"""Accepted and not ended: then the provider pauses. A webhook that waited longer than the patience would not fail."""
_LOOK_S = 2.0
_LOOKS_PER_LINE = 15


@dataclass(frozen=True)
class Marathon:
    """What a run does. `rate` bounds the webhooks posted a second, so that the kills fall among them."""

    webhooks: int
    kills: int
    seed: int
    rate: float
    every_s: tuple[float, float] = EVERY_S
    delays_s: tuple[float, ...] = DELAYS_S
    at_most_s: float = math.inf
    """No webhook is begun later."""


@dataclass(frozen=True)
class Result:
    """What a run found."""

    findings: Findings
    repeats: Repeats
    killed: Killed
    load_s: float
    drain_s: float

    def __str__(self) -> str:
        by_name = ", ".join(f"{name} {self.killed.names.count(name)}" for name in sorted(set(self.killed.names)))
        return (
            f"{self.killed.kills} kills ({by_name}), {self.findings.figures}; {self.repeats}; "
            f"posted in {self.load_s:,.0f} s, drained in {self.drain_s:,.0f} s"
        )


async def run(marathon: Marathon, folder: Path, bootstrap_servers: str | None) -> Result:
    """The webhooks are sent and have ended, the processes were killed often enough, everything is checked."""
    workload = Workload(marathon.seed, marathon.webhooks)
    mill = await install_mill(folder, bootstrap_servers, workload, workers=2, delays_s=marathon.delays_s)
    began = time.monotonic()
    with mill.running(), Ledger(folder / "ledger") as ledger:
        async with (
            kills(mill, VICTIMS, marathon.seed, every_s=marathon.every_s) as killed,
            _watched(mill, ledger, killed) as go,
        ):
            await load(
                mill,
                ledger,
                rate=marathon.rate,
                patience_s=sum(marathon.delays_s) * _PATIENCE,
                is_over=lambda: time.monotonic() - began > marathon.at_most_s,
                go=go,
            )
            load_s = time.monotonic() - began
            await killed.reach(marathon.kills)
        drain_s = await mill.settled(ledger)
        await mill.stop()
    return Result(await check(mill, ledger), await count_repeats(mill), killed, load_s, drain_s)


@contextlib.asynccontextmanager
async def _watched(mill: Mill, ledger: Ledger, killed: Killed) -> AsyncIterator[asyncio.Event]:
    """A line now and then while it lasts; the event is set while not too many webhooks wait."""
    go = asyncio.Event()
    go.set()

    async def watch() -> None:
        began = time.monotonic()
        for look in itertools.count(1):
            await asyncio.sleep(_LOOK_S)
            events, accepted = await asyncio.to_thread(mill.count_events), len(ledger.accepted)
            if accepted - events < _MOST_WAITING + mill.workload.always_fails * accepted:
                go.set()
            else:
                go.clear()
            if look % _LOOKS_PER_LINE == 0:
                seconds = time.monotonic() - began
                print(f"{seconds:6.0f} s  {accepted:,} accepted, {events:,} events, {killed.kills} kills", flush=True)

    watching = asyncio.create_task(watch())
    try:
        yield go
    finally:
        watching.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhooks", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--log", choices=["embedded", "kafka"], default="embedded")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=float, default=1_000.0, help="webhooks a second, at most")
    parser.add_argument("--every", type=float, nargs=2, default=EVERY_S, help="seconds between two kills, from and to")
    parser.add_argument("--minutes", type=float, default=math.inf, help="post for so long, however many that are")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hookmill-marathon-"))
    print(f"seed {chosen.seed}, {chosen.log} log, in {folder}", flush=True)
    marathon = Marathon(
        chosen.webhooks,
        chosen.kills,
        chosen.seed,
        chosen.rate,
        every_s=tuple(chosen.every),
        at_most_s=chosen.minutes * 60,
    )
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(LocalKafka(folder / "kafka")) if chosen.log == "kafka" else None
        result = asyncio.run(run(marathon, folder, broker.bootstrap_servers if broker else None))
    print(f"main figure, {chosen.log} log: {result}")
    for problem in result.findings.problems:
        print(problem, file=sys.stderr)
    if result.findings.problems:
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
