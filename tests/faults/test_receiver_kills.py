"""Row 2: the receiver is killed under load; what it answered 202 is on the log."""

from pathlib import Path

from tests.faults.checker import check
from tests.faults.kills import kills
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import install_mill
from tests.faults.trials import trials
from tests.faults.workload import Workload

EVERY_S = (2.0, 3.0)
DOWN_S = 1.0
SOURCES = 4
RATE = 100.0


@trials("count", short=3, full=50, deadline_s=1_800)
async def test_nothing_accepted_is_lost_by_a_receiver_that_is_killed(
    tmp_path: Path, engine: str | None, seed: int, count: int
) -> None:
    webhooks = round(count * (sum(EVERY_S) / 2 + DOWN_S) * RATE)
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks, sources=SOURCES))

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with kills(mill, ["ingest"], seed, every_s=EVERY_S, down_s=DOWN_S) as done:
            await load(mill, ledger, rate=RATE)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    back_s = max(done.ready_again_s) - DOWN_S
    print(f"row 2: {done.kills} kills of the receiver, back after at most {back_s:.1f} s; {findings.figures}")
