"""Row 1: without any fault, every webhook ends once, and only those that always fail are dead letters."""

from pathlib import Path

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import install_mill
from tests.faults.trials import trials
from tests.faults.workload import Workload


@trials("webhooks", short=5_000, full=1_000_000, deadline_s=7_200)
async def test_every_webhook_ends_once(tmp_path: Path, engine: str | None, seed: int, webhooks: int) -> None:
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks))

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        await load(mill, ledger, rate=1_000)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    print(f"row 1: {findings.figures}")
