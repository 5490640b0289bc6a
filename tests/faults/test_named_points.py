"""Row 15: a stage ends exactly between two steps, or within one; nothing is lost."""

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill, install_mill
from tests.faults.points import EXIT_CODE, POINTS
from tests.faults.repeats import count_repeats
from tests.faults.workload import Workload

SOURCES = 4
RATE, SHORT_RATE = 30.0, 15.0
EXIT_S = 60.0
"""For a start, the leases of the one before to end, and a few rounds of work."""
MOST_S = 2.0
"""At the latest so long after it first came to the point a process ends there."""

PARTS = 5
"""Of the full form, which takes hours: parts can run at once, or one now and one later."""
SHORT_TIMES, TIMES_PER_PART = 5, 20
"""So often it ends at each point, and so often each part does: 100 times in all."""

OF_THE_SINK = ("before-commit", "during-commit", "after-commit", "during-write", "rows-written")
OF_THE_MOVER = ("before-send", "during-send", "after-send", "before-commit", "during-commit", "after-commit")
OF_THE_RECEIVER = ("before-send", "during-send", "after-send")
OF_THE_WORKER = tuple(point for point in POINTS if point not in {"during-write", "rows-written"})
REVOKES = ("revoke-begins", "during-revoke", "revoke-ends")
ONCE = ("assigned", *REVOKES)
"""What a process may come to a single time."""

PROCESSES = {"process-1": OF_THE_WORKER, "sink": OF_THE_SINK, "mover": OF_THE_MOVER, "ingest": OF_THE_RECEIVER}


@pytest.mark.parametrize(
    ("times", "part"),
    [
        pytest.param(SHORT_TIMES, 0, id="short", marks=[pytest.mark.faults, pytest.mark.timeout(600)]),
        *(
            pytest.param(
                TIMES_PER_PART, part, id=f"part-{part}", marks=[pytest.mark.faults_long, pytest.mark.timeout(7_200)]
            )
            for part in range(PARTS)
        ),
    ],
)
async def test_nothing_is_lost_by_stages_that_end_at_named_points(
    tmp_path: Path, engine: str | None, seed: int, times: int, part: int, is_short: bool
) -> None:
    """`times` at each point, in a process by chance that has it; the four processes end beside one another."""
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks=1_000_000, sources=SOURCES))
    mill.add("process-2", "process")
    chance = random.Random(f"{seed}.{part}")
    lanes = _lanes(times, chance)

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        await asyncio.to_thread(mill.processes["process-2"].stop)
        ending = asyncio.create_task(_end_all(mill, lanes, chance))
        await load(mill, ledger, rate=SHORT_RATE if is_short else RATE, is_over=ending.done)
        await ending
        await mill.settled(ledger)
        del mill.processes["process-2"]
        await mill.stop()

    findings = await check(mill, ledger)
    repeats = await count_repeats(mill)
    ends = {name: len(points) for name, points in lanes.items()}
    print(f"row 15: {times} ends at each of {len(POINTS)} points, {ends}; {repeats}; {findings.figures}")
    assert not findings.problems


def _lanes(times: int, chance: random.Random) -> dict[str, list[str]]:
    """At which points each process ends, one after the other."""
    lanes: dict[str, list[str]] = {name: [] for name in PROCESSES}
    points = [*POINTS] * times
    chance.shuffle(points)
    for point in points:
        lanes[chance.choice([name for name, has in PROCESSES.items() if point in has])].append(point)
    return lanes


async def _end_all(mill: Mill, lanes: Mapping[str, Sequence[str]], chance: random.Random) -> None:
    async with asyncio.TaskGroup() as tasks:
        for name, points in lanes.items():
            tasks.create_task(_end_in_turn(mill, name, points, chance))


async def _end_in_turn(mill: Mill, name: str, points: Sequence[str], chance: random.Random) -> None:
    """The process ended at each point, where the one after it took over, and an ordinary one is there again."""
    ordinary = mill.processes[name]
    await asyncio.to_thread(ordinary.stop)
    for point in points:
        await _end_at(mill, name, point, 0.0 if point in ONCE else chance.uniform(0.0, MOST_S))
    mill.processes[name] = ordinary
    await asyncio.to_thread(ordinary.start)


async def _end_at(mill: Mill, name: str, point: str, after_s: float) -> None:
    program = (sys.executable, "-m", "tests.faults.points", point, str(after_s))
    doomed = mill.add(name, *mill.processes[name].arguments, program=program)
    await asyncio.to_thread(doomed.launch_stage)
    if point in REVOKES:
        await asyncio.to_thread(doomed.until_ready)
        await asyncio.to_thread(mill.processes["process-2"].launch_stage)  # gets its share, which is revoked here
    code = await asyncio.to_thread(doomed.wait, EXIT_S)
    assert code == EXIT_CODE, f"{name} ended with {code} instead of at {point}:\n{doomed.stderr[-4_000:]}"
    if point in REVOKES:
        await asyncio.to_thread(mill.processes["process-2"].kill)
