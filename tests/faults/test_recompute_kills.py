"""Row 31: a recompute that is killed at random and resumed gives what a fresh run of the new version gives."""

import random
from pathlib import Path

from redelivery.replay_journal import Journals
from tests.faults.trials import trials
from tests.redelivery.pipeline import pipeline
from tests.redelivery.test_replay_pipeline import killed_at, replaying

WEBHOOKS = 1_000
RECOMPUTE = ("--source", "shop", "--from", "1d", "--to", "now", "--mode", "recompute", "--function-version", "new")
RATE = ("--rate", "300", "--yes")


@trials("count", short=1, full=20, deadline_s=1_800)
async def test_a_recompute_that_is_killed_and_resumed_gives_what_a_fresh_run_gives(
    tmp_path: Path, engine: str | None, seed: int, count: int
) -> None:
    chance, kills = random.Random(seed), 0
    async with pipeline(tmp_path / "fresh", WEBHOOKS, "new", bootstrap_servers=engine) as fresh:
        wanted = fresh.rows()

    for trial in range(count):
        async with pipeline(tmp_path / f"live-{trial}", WEBHOOKS, bootstrap_servers=engine) as live:
            journals = Journals(live.installation.config.data_dir / "replays")
            arguments = [*RECOMPUTE, *RATE]
            sent = 0
            while sent < WEBHOOKS // 2:
                await killed_at(live, journals, chance.randint(sent, sent + 200), *arguments)
                (progress,) = journals.all()
                arguments, sent = ["--resume", progress.plan.id], progress.sent
                kills += 1
            assert await (await replaying(live, *arguments)).wait() == 0
            await live.drain()

            differing = {name: rows for name, rows in wanted.items() if live.rows().get(name) != rows}
            assert differing == {}
            assert live.rows().keys() == wanted.keys()
    print(f"row 31: {count} recomputes of {WEBHOOKS:,} webhooks, killed {kills} times, 0 differences")
