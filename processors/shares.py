"""Shares: how much of the main lane a source may hold, and when it works on the slow lane instead. Pure: no log."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from hookmill.breaker import Breaker, State
from hookmill.registry import Registry
from hookmill.telemetry import get_logger
from processors import metrics
from processors.runtimes.contract import Outcome, Status

log = get_logger(__name__)

HOLD_S: Final = 1.0
"""How long the webhooks of one source may run within one span: 500 of 2 ms, or one that uses the default time limit.
A function that takes longer for one is at home on the slow lane."""
BOUND_S: Final = 2.0
"""The same for all spans in work together: the default of four spans, of 500 webhooks of 1 ms. Also how long webhooks
wait for others of their source until the source counts as slow."""
HEAVY_S: Final = HOLD_S / 4
"""Cost of one webhook from which on no more are begun than fit. The first of a cheap function says little of those that
follow, but costs less than this."""
LEAST_AT_ONCE: Final = 8
"""Webhooks of which nobody knows how long they take, on the slow lane or parked: what a stop waits for. With the
default time limit all of them end within the 15 s that it has."""
BACKLOG_S: Final = 2.0
"""A source whose webhooks have waited so long on the slow lane stays there; less than that is only the way."""
LIGHT: Final = 0.5
"""Of a runner's time. A source that asks for no more does not stay for what waits: a moment in which the machine stood
still may have brought it to the slow lane, and it may wait behind others there."""
FIRST_STAY_S: Final = 5.0
"""On the slow lane, counted from the last sign that the source holds more than its share."""
LONGEST_STAY_S: Final = 80.0
"""Stays double while a source that comes back soon fills its share: a trial holds up spans for `BOUND_S` or so."""

_FAULT_S: Final = 1.0
"""What an invocation that ended or blocked its runner costs at least: another runner, and the pause of a probation."""
_FAULTS: Final = frozenset({Status.TIMEOUT, Status.MEMORY, Status.CRASH})
_LEAST_S: Final = 1e-6


class Share:
    """Of one version of a source's function, so that a new version is judged afresh.

    Counts the function's own time, as its outcomes tell it: waiting for a runner is not the source's fault.
    """

    def __init__(self, source: str, now_s: Callable[[], float]) -> None:
        self.is_slow = False
        self.breaker = Breaker(f"runners of {source}")
        """Whether runners for the function are to be had. While it is not closed, a few webhooks at a time try."""
        self._source = source
        self._now_s = now_s
        self._in_hand = 0
        self._cost_s: float | None = None
        """Of one webhook, a moving average; `None` before the first."""
        self._measured_at_s = float("-inf")
        self._changed = asyncio.Event()
        self._running_slowly = 0
        self._arrived = 0
        """Webhooks that came since the last review."""
        self._load: float | None = None
        """How many runners they would keep at work, a moving average; `None` while nobody knows."""
        self._reviewed_at_s = now_s()
        self._stay_s = FIRST_STAY_S
        self._full_at_s = 0.0
        self._back_at_s = float("-inf")

    @property
    def is_measured(self) -> bool:
        """It is known what webhooks of the source cost."""
        return self._cost_s is not None

    def arrived(self, count: int) -> None:
        """So many webhooks of the source have come, whatever becomes of them."""
        self._arrived += count

    async def take(self, wanted: int, spent_s: float) -> int:
        """So many of the `wanted` webhooks are in hand from now on, until `give_back`; 0: the source has its share.

        `spent_s`: what the source's webhooks of this span have cost. One webhook goes first to tell what they cost.
        That it is known, and that fewer are in hand, is waited for: a burst of cheap webhooks takes turns.
        """
        if not await self._until_free():
            self.fill("its webhooks in hand take long")
        count = min(wanted, self._room(wanted, spent_s))
        if not count and not self.is_slow:
            self.fill("its webhooks hold up a span")
        self._in_hand += count
        return count

    @property
    def expected_s(self) -> float:
        """What one of its webhooks will cost; endless when nobody knows."""
        return math.inf if self._cost_s is None else self._cost_s

    def give_back(self, count: int) -> None:
        """`count` webhooks are no longer in hand."""
        self._in_hand -= count
        self._changed.set()

    def measure(self, outcomes: Sequence[Outcome]) -> float:
        """What these cost, in seconds. Those that did not run cost nothing."""
        costs_s = [_cost_s(outcome) for outcome in outcomes if outcome.status is not Status.INFRA]
        spent_s = sum(costs_s)
        if costs_s:
            self._measured_at_s = self._now_s()
            cost_s = max(spent_s / len(costs_s), _LEAST_S)
            self._cost_s = cost_s if self._cost_s is None else (self._cost_s + cost_s) / 2
        return spent_s

    def fill(self, reason: str) -> None:
        """The source works on the slow lane from now on, for longer if it has just come back from there."""
        now_s = self._now_s()
        self._full_at_s = now_s
        if self.is_slow:
            return
        again = now_s - self._back_at_s < self._stay_s
        self._stay_s = min(2 * self._stay_s, LONGEST_STAY_S) if again else FIRST_STAY_S
        self.is_slow = True
        self._changed.set()
        log.warning("source.slow_lane_entered", source=self._source, reason=reason, stay_s=self._stay_s)

    @contextlib.contextmanager
    def on_slow_lane(self, waited_s: Callable[[], float]) -> Iterator[None]:
        """Webhooks of the source run on the slow lane: meanwhile it does not come back, however long that takes, and
        if they have waited there for `BACKLOG_S`, before or after, it stays. Neither holds for a light one."""
        self._stay_for(waited_s())
        self._running_slowly += 1
        try:
            yield
        finally:
            self._running_slowly -= 1
            self._stay_for(waited_s())

    def _stay_for(self, waited_s: float) -> None:
        if waited_s > BACKLOG_S and not self.is_light:
            self.fill("its webhooks wait on the slow lane")

    def review(self) -> None:
        """The source is back on the main lane if it may. What it costs is to be seen again if only others ran it."""
        now_s = self._now_s()
        self._weigh(now_s)
        may_leave = self.is_light or not self._running_slowly
        if self.is_slow and may_leave and now_s - self._full_at_s >= self._stay_s:
            self.is_slow = False
            self._back_at_s = now_s
            if self._measured_at_s < self._full_at_s:
                self._cost_s = None
            log.info("source.slow_lane_left", source=self._source)

    def _weigh(self, now_s: float) -> None:
        """What the source asks for is known as of now."""
        if self._cost_s is not None:
            load = self._arrived * self._cost_s / max(now_s - self._reviewed_at_s, _LEAST_S)
            self._load = load if self._load is None else (self._load + load) / 2
        self._arrived, self._reviewed_at_s = 0, now_s

    @property
    def is_light(self) -> bool:
        """It asks for little of its runners, and they are there."""
        return self._load is not None and self._load <= LIGHT and self.breaker.state is State.CLOSED

    async def _until_free(self) -> bool:
        """False: it takes too long until more may be in hand. A source that is slow meanwhile need not wait."""
        try:
            async with asyncio.timeout(BOUND_S):
                while self._is_full and not self.is_slow:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    @property
    def _is_full(self) -> bool:
        if self._cost_s is None:
            return self._in_hand > 0
        return self._in_hand * self._cost_s >= BOUND_S

    def _room(self, wanted: int, spent_s: float) -> int:
        if self.is_slow:
            return 0
        if self._cost_s is None:
            return 1
        room = max(0, int((HOLD_S - spent_s) / self._cost_s))
        return 0 if room < wanted and self._cost_s >= HEAVY_S else room


def fitting(costs_s: Iterable[float]) -> int:
    """How many webhooks of these costs, one after the other, are done within `HOLD_S`; `LEAST_AT_ONCE` at least."""
    ends_s = itertools.accumulate(costs_s)
    return max(LEAST_AT_ONCE, sum(1 for _ in itertools.takewhile(lambda end_s: end_s <= HOLD_S, ends_s)))


class Shares:
    """The shares of one stage, by source and version. Each process has its own idea of who is slow."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._shares: dict[tuple[str, str], Share] = {}

    def of(self, source: str, version: str) -> Share:
        """The share of a deployed function."""
        share = self._shares.get((source, version))
        if share is None:
            share = self._shares[source, version] = Share(source, self._now_s)
        return share

    def review(self, registry: Registry) -> None:
        """To be called every second: sources come back from the slow lane, the metric tells who is there, and what
        the registry has dropped is forgotten."""
        for key in self._shares.keys() - registry.functions.keys():
            del self._shares[key]
        slow = set()
        states = dict.fromkeys(registry.sources, State.CLOSED)
        for (source, version), share in self._shares.items():
            share.review()
            if share.is_slow:
                slow.add(source)
            if source in states and registry.sources[source].function_version == version:
                states[source] = share.breaker.state
        metrics.set_slow_lane(registry.sources.keys(), slow)
        metrics.set_breakers(states)


def _cost_s(outcome: Outcome) -> float:
    own_s = outcome.duration_ms / 1_000
    return max(own_s, _FAULT_S) if outcome.status in _FAULTS else own_s
