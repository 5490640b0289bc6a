"""Row 20: the offset tracker against its model, for a million random steps and more."""

import random

from hookmill.records import Span
from tests.faults.trials import trials
from tests.processors.test_tracker import A, B, TrackerAgainstModel

STEPS = 1_000_000
STEPS_OF_ONE_LIFE = 200


@trials("seeds", short=2, full=20, deadline_s=3_600)
def test_a_million_random_steps_never_commit_past_an_unfinished_record(seed: int, seeds: int) -> None:
    """Hypothesis, beside the model, looks for the smallest failure, which is slow; this looks far."""
    for number in range(seeds):
        chance = random.Random(f"{seed}/{number}")
        for _ in range(STEPS // STEPS_OF_ONE_LIFE):
            live_at_random(chance, STEPS_OF_ONE_LIFE)
    print(f"row 20: {seeds} seeds of {STEPS:,} steps, 0 violations")


def live_at_random(chance: random.Random, steps: int) -> None:
    """The steps of one tracker, each held against the model. Finishes and deliveries come most often."""
    life = TrackerAgainstModel()
    spans: list[Span] = []
    for _ in range(steps):
        partition = chance.choice((A, B))
        match chance.randrange(20):
            case 0:
                life.assign(partition)
            case 1:
                life.revoke(partition)
            case 2:
                life.seek(partition, chance.randrange(30))
            case 3:
                life.commit_of_another_reader(partition, chance.randrange(30))
            case 4 | 5 | 6:
                life.commit()
            case step if step < 13:
                spans.append(life.deliver(partition, chance.randrange(3), chance.randrange(1, 4)))
            case _ if spans:
                life.finish(chance.choice(spans[-10:]))
        life.commits_the_finished_prefix_and_never_more()
