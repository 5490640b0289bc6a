"""Row 13: a worker is killed at random points; nothing is lost, and little is done again."""

from pathlib import Path

from tests.faults.checker import check
from tests.faults.kills import EVERY_S, SHORT_EVERY_S, kills
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import install_mill
from tests.faults.repeats import count_repeats
from tests.faults.trials import trials
from tests.faults.workload import Workload

SOURCES = 4
RATE, SHORT_RATE = 100.0, 50.0
MOST_REPEATS = 5_000
MOST_RECOVERY_S = 20.0


@trials("count", short=10, full=200, deadline_s=7_200)
async def test_nothing_is_lost_by_a_worker_that_is_killed_and_little_is_done_again(
    tmp_path: Path, engine: str | None, seed: int, count: int, is_short: bool
) -> None:
    every_s, rate = (SHORT_EVERY_S, SHORT_RATE) if is_short else (EVERY_S, RATE)
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks=1_000_000, sources=SOURCES))

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with kills(mill, ["process-1"], seed, every_s=every_s) as done:
            await load(mill, ledger, rate=rate, is_over=lambda: done.kills >= count)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    repeats = await count_repeats(mill)
    recovery_s = max(map(repeats.worked_again_s, done.at_ms))
    most = repeats.most_after_one_of(done.at_ms)
    print(
        f"row 13: {done.kills} kills of the worker, at most {most:,} events repeated after one, "
        f"works again after at most {recovery_s:.1f} s; {findings.figures}"
    )
    assert not findings.problems
    assert most <= MOST_REPEATS
    assert recovery_s < MOST_RECOVERY_S
