"""The retry rule is a value: these tables are the rule."""

import pytest

from hookmill.errors import FailureKind
from hookmill.retry import DeadLetter, Delay, Hold, RetryPolicy, Stop
from hookmill.topics import Topic

NOW = 1_000_000


@pytest.mark.parametrize(
    ("count", "hop"),
    [
        (1, Delay(Topic.DELAY_5S, NOW + 5_000, 2)),
        (2, Delay(Topic.DELAY_25S, NOW + 25_000, 3)),
        (3, Delay(Topic.DELAY_125S, NOW + 125_000, 4)),
        (4, Delay(Topic.DELAY_625S, NOW + 625_000, 5)),
        (5, Delay(Topic.DELAY_3125S, NOW + 3_125_000, 6)),
        (6, DeadLetter("exhausted")),
        (999, DeadLetter("exhausted")),
    ],
)
def test_a_retriable_failure_climbs_the_ladder_and_then_is_a_dead_letter(count: int, hop: object) -> None:
    assert RetryPolicy().next_hop(FailureKind.RETRIABLE, count, NOW) == hop


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_final_failure_is_a_dead_letter_whatever_the_count(count: int) -> None:
    assert RetryPolicy().next_hop(FailureKind.FINAL, count, NOW) == DeadLetter("final")


def test_a_killed_runner_gets_one_more_try() -> None:
    policy = RetryPolicy()

    assert policy.next_hop(FailureKind.RUNNER_KILLED, 1, NOW) == Delay(Topic.DELAY_5S, NOW + 5_000, 2)
    assert policy.next_hop(FailureKind.RUNNER_KILLED, 2, NOW) == DeadLetter("exhausted")


def test_a_dependency_failure_holds_and_a_bug_stops() -> None:
    assert RetryPolicy().next_hop(FailureKind.DEPENDENCY, 6, NOW) == Hold()
    assert RetryPolicy().next_hop(FailureKind.BUG, 1, NOW) == Stop()


@pytest.mark.parametrize(
    ("retry_after_s", "topic", "wait_ms"),
    [
        (0.0, Topic.DELAY_5S, 5_000),
        (5.0, Topic.DELAY_5S, 5_000),
        (30.0, Topic.DELAY_125S, 125_000),
        (10_000.0, Topic.DELAY_3125S, 3_125_000),
    ],
)
def test_retry_after_moves_the_record_to_the_first_rung_that_waits_as_long_or_to_the_longest(
    retry_after_s: float, topic: Topic, wait_ms: int
) -> None:
    hop = RetryPolicy().next_hop(FailureKind.RETRIABLE, 1, NOW, retry_after_s)

    assert hop == Delay(topic, NOW + wait_ms, 2)


def test_a_policy_with_fewer_retries_uses_the_first_rungs() -> None:
    policy = RetryPolicy(retries=1)

    assert policy.next_hop(FailureKind.RETRIABLE, 1, NOW) == Delay(Topic.DELAY_5S, NOW + 5_000, 2)
    assert policy.next_hop(FailureKind.RETRIABLE, 2, NOW) == DeadLetter("exhausted")


def test_rungs_wait_as_long_as_they_are_told() -> None:
    policy = RetryPolicy(delays_s=(0.1, 0.2, 0.3, 0.4, 0.5))

    assert policy.next_hop(FailureKind.RETRIABLE, 2, NOW) == Delay(Topic.DELAY_25S, NOW + 200, 3)


@pytest.mark.parametrize("retries", [-1, 6])
def test_a_policy_outside_the_ladder_is_refused(retries: int) -> None:
    with pytest.raises(ValueError, match="0 to 5 rungs"):
        RetryPolicy(retries=retries)
