"""Shares of the main lane: what a source may hold, and when it goes to the slow lane and comes back."""

import asyncio
import math
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from processors import shares as shares_module
from processors.runtimes.contract import Outcome, Status
from processors.shares import FIRST_STAY_S, LEAST_AT_ONCE, LONGEST_STAY_S, Share, Shares, fitting
from tests.processors.parts import SHOP, SHOP_CODE, SLOW, SLOW_CODE, registry_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def took(duration_s: float, count: int = 1, status: Status = Status.OK) -> list[Outcome]:
    return [Outcome(status, duration_s * 1_000)] * count


async def proven(cost_s: float, clock: Clock | None = None) -> Share:
    """A share whose first webhook told what one costs."""
    share = Share("shop", clock or Clock())
    assert await share.take(1, 0.0) == 1
    share.measure(took(cost_s))
    share.give_back(1)
    return share


async def test_one_webhook_goes_first_and_the_others_wait_for_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "BOUND_S", 600.0)  # longer than a test may take
    share = Share("shop", Clock())
    first = await share.take(500, 0.0)
    others = asyncio.create_task(share.take(500, 0.0))
    await asyncio.sleep(0.01)
    is_waiting = not others.done()

    share.measure(took(0.001))
    share.give_back(1)

    assert (first, is_waiting) == (1, True)
    assert await others == 500


async def test_a_span_is_held_for_a_second_of_the_functions_time() -> None:
    share = await proven(0.1)

    counts = [await share.take(50, 0.0), await share.take(50, 0.75)]
    is_slow_before = share.is_slow
    too_many = await share.take(50, 0.95)

    assert counts == [10, 2]
    assert (is_slow_before, too_many, share.is_slow) == (False, 0, True)


async def test_a_heavy_function_does_not_begin_what_does_not_fit() -> None:
    share = await proven(0.3)

    counts = [await share.take(3, 0.0), await share.take(4, 0.0)]

    assert counts == [3, 0]
    assert share.is_slow


async def test_a_function_that_takes_longer_than_that_for_one_webhook_does_not_run_on_the_main_lane() -> None:
    share = await proven(1.5)

    assert await share.take(1, 0.0) == 0
    assert share.is_slow


async def test_webhooks_of_all_spans_together_wait_until_fewer_are_in_hand() -> None:
    share = await proven(0.002)
    in_hand = [await share.take(500, 0.0), await share.take(500, 0.0)]
    waiting = asyncio.create_task(share.take(500, 0.0))
    await asyncio.sleep(0.01)
    is_waiting = not waiting.done()

    share.give_back(500)

    assert in_hand == [500, 500]
    assert is_waiting
    assert await waiting == 500
    assert not share.is_slow


async def test_a_source_whose_webhooks_stay_in_hand_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share("shop", Clock())
    await share.take(1, 0.0)
    monkeypatch.setattr(shares_module, "BOUND_S", 0.01)

    assert await share.take(1, 0.0) == 0
    assert share.is_slow


async def test_those_who_wait_go_to_the_slow_lane_with_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "BOUND_S", 600.0)  # longer than a test may take
    share = Share("shop", Clock())
    await share.take(1, 0.0)
    waiting = asyncio.create_task(share.take(5, 0.0))
    await asyncio.sleep(0)

    share.fill("it has no runner")

    assert await waiting == 0


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.MEMORY, Status.CRASH])
async def test_an_invocation_that_ends_its_runner_costs_a_second_however_short(status: Status) -> None:
    share = Share("shop", Clock())

    assert share.measure([*took(0.001, 2, status), *took(0.5)]) == 2.5


async def test_waiting_for_a_runner_costs_nothing() -> None:
    assert Share("shop", Clock()).measure(took(3.0, 2, Status.INFRA)) == 0.0


async def test_a_source_comes_back_when_it_has_held_nothing_up_for_a_while() -> None:
    clock = Clock()
    share = await proven(0.1, clock)
    share.fill("full")

    clock.now_s += FIRST_STAY_S - 1
    share.fill("its backlog is not gone")
    clock.now_s += FIRST_STAY_S - 1
    share.review()
    is_slow_before = share.is_slow
    clock.now_s += 1
    share.review()

    assert (is_slow_before, share.is_slow) == (True, False)
    assert await share.take(1, 0.0) == 1


async def test_a_source_does_not_come_back_while_its_webhooks_run_on_the_slow_lane() -> None:
    clock = Clock()
    share = Share("shop", clock)
    share.fill("full")
    with share.on_slow_lane(lambda: 0.0):
        clock.now_s += 10 * FIRST_STAY_S
        share.review()
        is_slow_meanwhile = share.is_slow

    share.review()

    assert (is_slow_meanwhile, share.is_slow) == (True, False)


async def test_a_source_whose_webhooks_have_waited_when_they_end_stays_for_longer() -> None:
    clock = Clock()
    share = Share("shop", clock)
    share.fill("full")
    sent_s = clock.now_s
    with share.on_slow_lane(lambda: clock.now_s - sent_s):
        clock.now_s += FIRST_STAY_S

    share.review()
    is_slow_after = share.is_slow
    clock.now_s += FIRST_STAY_S
    share.review()

    assert (is_slow_after, share.is_slow) == (True, False)


@pytest.mark.parametrize(
    ("cost_s", "per_s", "is_slow"), [(0.001, 400, False), (0.001, 600, True), (0.9, 1, True)], ids=str
)
async def test_a_source_that_asks_for_little_comes_back_though_its_webhooks_wait(
    cost_s: float, per_s: int, is_slow: bool
) -> None:
    """Half a runner is little. What waits there may wait behind others, or because the machine stood still."""
    clock = Clock()
    share = await proven(cost_s, clock)
    share.fill("the machine stood still")

    work_on_a_backlog(share, clock, per_s)

    assert share.is_slow == is_slow


def work_on_a_backlog(share: Share, clock: Clock, per_s: int) -> None:
    """For two stays, while so many more webhooks come."""
    for _ in range(2 * round(FIRST_STAY_S)):
        share.arrived(per_s)
        clock.now_s += 1
        share.review()
        with share.on_slow_lane(lambda: 100.0):
            pass


async def test_a_source_that_asks_for_little_comes_back_in_the_middle_of_its_webhooks() -> None:
    clock = Clock()
    share = await proven(0.1, clock)
    share.fill("the machine stood still")
    with share.on_slow_lane(lambda: 100.0):
        clock.now_s += FIRST_STAY_S
        share.arrived(1)
        share.review()

        assert not share.is_slow


async def test_a_source_whose_runners_are_gone_does_not_come_back_while_its_webhooks_wait() -> None:
    clock = Clock()
    share = await proven(0.001, clock)
    share.fill("it has no runner")
    share.breaker.failed("no runner")

    work_on_a_backlog(share, clock, 0)

    assert share.is_slow


@pytest.mark.parametrize(
    ("costs_s", "count"),
    [([0.25] * 20, LEAST_AT_ONCE), ([0.0625] * 20, 16), ([0.001] * 20, 20), ([math.inf], LEAST_AT_ONCE)],
    ids=str,
)
def test_so_many_webhooks_are_taken_at_once_as_a_second_has_time_for(costs_s: Sequence[float], count: int) -> None:
    assert fitting(costs_s) == count


async def test_stays_grow_while_the_source_fills_its_share_as_soon_as_it_is_back() -> None:
    clock = Clock()
    share = Share("shop", clock)
    stays_s = []
    for _ in range(7):
        share.fill("full")
        began_s = clock.now_s
        while share.is_slow:
            clock.now_s += 1
            share.review()
        stays_s.append(clock.now_s - began_s)

    clock.now_s += LONGEST_STAY_S
    share.fill("full")
    clock.now_s += FIRST_STAY_S
    share.review()

    assert stays_s == [5, 10, 20, 40, 80, 80, 80]
    assert not share.is_slow


async def test_a_source_that_only_other_processes_ran_is_tried_with_one_webhook() -> None:
    clock = Clock()
    share = await proven(5.0, clock)
    clock.now_s += 1
    assert await share.take(9, 0.0) == 0

    clock.now_s += FIRST_STAY_S
    share.review()

    assert await share.take(9, 0.0) == 1


async def test_a_new_version_of_a_slow_function_is_judged_afresh() -> None:
    shares = Shares(Clock())
    shares.of("shop", "v1").fill("full")

    assert not shares.of("shop", "v2").is_slow
    assert shares.of("shop", "v1").is_slow


async def test_the_gauge_tells_of_every_deployed_source_whether_it_is_slow() -> None:
    clock = Clock()
    shares = Shares(clock)
    registry = registry_of(SHOP_CODE, SHOP, SLOW_CODE, SLOW)

    def gauge(source: str) -> float | None:
        return REGISTRY.get_sample_value("hookmill_processors_slow_lane_active", {"source": source})

    shares.of("slow", "v9").fill("full")
    shares.review(registry)
    during = gauge("shop"), gauge("slow")
    clock.now_s += FIRST_STAY_S
    shares.review(registry)
    after = gauge("shop"), gauge("slow")
    shares.review(registry_of(SHOP_CODE, SHOP))

    assert (during, after) == ((0.0, 1.0), (0.0, 0.0))
    assert gauge("slow") is None
