"""Row 29: webhooks that come twice, out of order, fail and are replayed twice; objects end as the oracle has them."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from hookmill.config import RetryConfig
from hookmill.lifecycle import running
from hookmill.retry import DELAY_TOPICS, MAX_RETRIES
from hookmill.topics import Topic
from processors.runtimes.contract import Outcome, Status
from redelivery.mover import GROUP as MOVER_GROUP
from redelivery.mover import Mover
from redelivery.replay_plan import Mode
from tests.faults.topics import remove_topics
from tests.processors.parts import failed, ok
from tests.redelivery.pipeline import DELAYS_S, FUNCTIONS, SHOP, Pipeline, passed, pipeline, webhook

PROPERTIES = "abcdefgh"
MOST_FAILURES = 3
PATIENT = msgspec.structs.replace(SHOP, retries=MAX_RETRIES)


class Story:
    """All that the provider tells of its objects, from the seed alone, and what must come of it."""

    def __init__(self, seed: int, objects: int) -> None:
        self.webhooks = 3 * objects
        self._seed = seed
        self._objects = objects
        self._ran: Counter[tuple[str, int]] = Counter()

    def arrivals(self) -> list[int]:
        """The webhooks by number, which is the order of their receipt: a third of them twice, all shuffled."""
        chance = random.Random(self._seed)
        numbers = [*range(self.webhooks), *chance.sample(range(self.webhooks), self.webhooks // 3)]
        chance.shuffle(numbers)
        return numbers

    def function(self, version: str) -> Callable[[int], Outcome]:
        """Of ten webhooks one fails once, one twice and one three times before it writes its object."""

        def run(number: int) -> Outcome:
            self._ran[version, number] += 1
            if self._ran[version, number] <= max(0, self._chance(number, "fate").randrange(10) - 6):
                return failed(Status.ERROR)
            thing = {"collection": "things", "id": self._id(number)}
            properties = self.written(version, number)
            return ok([], [thing | ({"deleted": True} if properties is None else {"properties": properties})])

        return run

    def written(self, version: str, number: int) -> dict[str, str | None] | None:
        """What the webhook sets in this version, where `None` clears; `None` when it deletes the object."""
        chance = self._chance(number, version)
        if chance.random() < 0.1:
            return None
        names = chance.sample(PROPERTIES, chance.choice((1, 2, 4, 8)))
        return {name: chance.choice((None, f"{version} {number}", f"{name}")) for name in names}

    def expected(self) -> dict[str, dict[str, str]]:
        """Every webhook in the order of receipt, of each what the old version writes and then what the new one does."""
        found: dict[str, dict[str, str | None]] = {}
        for number in range(self.webhooks):
            thing = str(self._id(number))
            for version in ("old", "new"):
                properties = self.written(version, number)
                if properties is None:
                    found.pop(thing, None)
                else:
                    found.setdefault(thing, {}).update(properties)
        return {name: {key: value for key, value in row.items() if value is not None} for name, row in found.items()}

    def _id(self, number: int) -> int:
        return self._chance(number, "id").randrange(self._objects)

    def _chance(self, number: int, what: str) -> random.Random:
        return random.Random(f"{self._seed} {number} {what}")


@pytest.mark.parametrize(
    ("seeds", "objects"),
    [
        pytest.param(5, 500, marks=[pytest.mark.faults, pytest.mark.timeout(600)]),
        pytest.param(100, 500, marks=[pytest.mark.faults_long, pytest.mark.timeout(7_200)]),
        pytest.param(1, 50_000, marks=[pytest.mark.faults_long, pytest.mark.timeout(7_200)]),
    ],
)
async def test_objects_end_as_the_oracle_has_them(
    tmp_path: Path, engine: str | None, seed: int, seeds: int, objects: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    different = arrived = 0
    for number in range(seeds):
        story = Story(seed + number, objects)
        for version in ("old", "new"):
            monkeypatch.setitem(FUNCTIONS, version, story.function(version))
        async with pipeline(tmp_path / str(number), 0, bootstrap_servers=engine, source=PATIENT) as live:
            found = await told_and_replayed(live, story)
            assert await live.installation.records(Topic.DEAD_LETTERS) == []
        await remove_topics(live.installation)
        expected = story.expected()
        assert found.keys() == expected.keys(), f"seed {seed + number}"
        different += sum(found[name] != row for name, row in expected.items())
        arrived += len(story.arrivals())
    print(f"row 29: {seeds} seeds, {objects:,} objects, {arrived:,} webhooks, two replays, {different} objects differ")
    assert different == 0


async def told_and_replayed(live: Pipeline, story: Story) -> dict[str, dict[str, object]]:
    """The objects after everything was received, repaired in the midst, and computed anew by the new version."""
    arrivals = story.arrivals()
    installation = live.installation
    mover = Mover(RetryConfig(delays_s=DELAYS_S), installation.log, installation.names)
    async with running([mover]):
        await receive(live, arrivals[: len(arrivals) // 2])
        await settle(live)
        await receive(live, arrivals[len(arrivals) // 2 :])
        await live.replay(Mode.REPAIR)
        await settle(live)
        await live.replay(Mode.RECOMPUTE, function_version="new")
        await settle(live)
    rows = [dict(row) for row in live.rows()["shop__things"]]
    return {str(row["id"]): {name: row[name] for name in PROPERTIES if name in row} for row in rows}  # type: ignore[index]


async def receive(live: Pipeline, numbers: Sequence[int]) -> None:
    for start in range(0, len(numbers), 1_000):
        await live.installation.send(Topic.WEBHOOKS, *map(webhook, numbers[start : start + 1_000]))


async def settle(live: Pipeline) -> None:
    """What failed was delivered again until it failed no more."""
    for _ in range(MOST_FAILURES + 1):
        await live.drain()
        await passed(live.installation, MOVER_GROUP, *DELAY_TOPICS)
    await live.drain()
