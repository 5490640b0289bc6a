"""The main figure in short: every stage killed in random turn; nothing lost, nothing doubled, the books balanced."""

from pathlib import Path

from tests.faults.kills import EVERY_S, SHORT_EVERY_S
from tests.faults.marathon import DELAYS_S, SHORT_DELAYS_S, Marathon, run
from tests.faults.trials import trials


@trials("kills", short=2, full=200, deadline_s=14_400)
async def test_kills_of_every_stage_lose_and_double_nothing(
    tmp_path: Path, engine: str | None, seed: int, kills: int, is_short: bool
) -> None:
    marathon = Marathon(
        webhooks=kills * 5_000,
        kills=kills,
        seed=seed,
        rate=1_000,
        every_s=SHORT_EVERY_S if is_short else EVERY_S,
        delays_s=SHORT_DELAYS_S if is_short else DELAYS_S,
    )

    result = await run(marathon, tmp_path, engine)

    print(f"main figure: {result}")
    assert not result.findings.problems
