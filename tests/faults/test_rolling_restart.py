"""Row 14: three workers are restarted in turn; each hands over in time, and hardly anything is done again."""

import asyncio
from pathlib import Path

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill, install_mill
from tests.faults.repeats import count_repeats
from tests.faults.trials import trials
from tests.faults.workload import Workload, now_ms

WORKERS = 3
SOURCES = 4
RATE, SHORT_RATE = 100.0, 50.0
MOST_EXIT_S = 25.0
MOST_REPEATED = 0.005


@trials("rounds", short=3, full=50, deadline_s=7_200)
async def test_workers_restarted_in_turn_hand_over_what_they_have(
    tmp_path: Path, engine: str | None, seed: int, rounds: int, is_short: bool
) -> None:
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks=1_000_000, sources=SOURCES), workers=WORKERS)

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        restarting = asyncio.create_task(_restart(mill, rounds))
        await load(mill, ledger, rate=SHORT_RATE if is_short else RATE, is_over=restarting.done)
        exits_s, from_ms, to_ms = await restarting
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    repeats = await count_repeats(mill)
    share = len(repeats.repeated_ms) / repeats.events
    print(
        f"row 14: {len(exits_s)} restarts, exit after at most {max(exits_s):.1f} s, {share:.3%} of the events "
        f"repeated, no work for at most {repeats.longest_pause_s(from_ms, to_ms):.1f} s; {findings.figures}"
    )
    assert not findings.problems
    assert max(exits_s) < MOST_EXIT_S
    assert share < MOST_REPEATED


async def _restart(mill: Mill, rounds: int) -> tuple[list[float], int, int]:
    """Seconds that each worker took to end, and the instants of the first and the last restart."""
    exits_s: list[float] = []
    from_ms = now_ms()
    for _ in range(rounds):
        for number in range(1, WORKERS + 1):
            worker = mill.processes[f"process-{number}"]
            code, seconds = await asyncio.to_thread(worker.stop)
            assert code == 0, worker.stderr[-4_000:]
            exits_s.append(seconds)
            await asyncio.to_thread(worker.start)
    return exits_s, from_ms, now_ms()
