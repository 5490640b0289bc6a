"""The pool: decides which function gets how many runners, and when they go."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, Self

from hookmill.codec import FunctionError
from hookmill.egress.guard import Egress
from hookmill.telemetry import get_logger
from processors.runtimes import metrics
from processors.runtimes.confinement import Level
from processors.runtimes.contract import Code, Invocation, Outcome
from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.lane import BATCH_INVOCATIONS, Call, Lane
from processors.runtimes.nursery import Nursery
from processors.runtimes.probation import Probation
from processors.runtimes.slot import Slot

log = get_logger(__name__)

SLOTS_PER_SOURCE: Final = 2
QUANTUM_S: Final = 1.0
"""How long a runner works for a source while another waits for its place; ten times what the change costs."""

_LEAST_WORKING: Final = 16
_WORKING_SHARE: Final = 4


def working_at_once(max_runners: int) -> int:
    """How many of so many runners may work at the same time: 16, or a quarter of them.

    That a runner stays costs memory. That many work costs time, of which each has its limit by the clock.
    """
    return min(max_runners, max(_LEAST_WORKING, max_runners // _WORKING_SHARE))


class ProcessPool:
    """`RunnerPool` over processes. A lane per (source, version), up to two slots per lane, a process per slot.

    Never more than `max_runners` processes: beyond that the runner longest without work makes place, or the work waits
    its turn. Of them `working_at_once` work or start; the others have no work, or it waits its turn. A runner without
    work ends after `idle_s`, one of a version no longer called within a second.
    """

    def __init__(
        self,
        node: Path | None,
        max_runners: int,
        idle_s: float,
        isolation: Level = Level.BEST_EFFORT,
        egress: Egress | None = None,
        packages: Mapping[str, Path] | None = None,
    ) -> None:
        """`packages`: absolute folders of installed packages by language, for functions that bring none."""
        self._nursery = Nursery(node, isolation, egress or Egress(), packages or {})
        self._max_runners = max_runners
        self.turns = asyncio.Semaphore(working_at_once(max_runners))
        self._idle_s = idle_s
        self._slots_per_lane = min(SLOTS_PER_SOURCE, max_runners, os.cpu_count() or 1)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._called: dict[str, Lane] = {}
        self._slots: dict[Slot, asyncio.Task[None]] = {}
        self._waiting: dict[Lane, None] = {}
        self._pausing: dict[Lane, asyncio.TimerHandle] = {}
        self._probations: dict[str, Probation] = {}
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self._nursery.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        tasks = list(self._slots.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pause in self._pausing.values():
            pause.cancel()
        for lane in (*self._lanes.values(), *self._pausing):
            lane.refuse_all(RunnerUnavailable("The runner pool is closed."))
        self._lanes.clear()
        await self._nursery.__aexit__()

    @property
    def pids(self) -> list[int]:
        """Of the runners that are ready."""
        return [slot.runner.pid for slot in self._slots if slot.runner is not None]

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        """As `RunnerPool.run`."""
        if not invocations:
            return []
        lane = self._lane_of(code)
        self._retire_others(lane)
        call = Call(invocations)
        lane.add(call)
        self._staff(lane)
        return await call.done

    async def check(self, code: Code) -> FunctionError | None:
        """As `RunnerPool.check`; the runner stays for the first webhook.

        Errors: `NodeMissing`; `RunnerUnavailable`.
        """
        lane = self._lane_of(code)
        if any(slot.runner is not None for slot in self._slots_of(lane)):
            return None
        check = asyncio.get_running_loop().create_future()
        lane.checks.append(check)
        self._staff(lane)
        error: FunctionError | None = await check
        return error

    def idle_limit_s(self, lane: Lane) -> float:
        """How long a runner of the lane stays without work."""
        if self._waiting:
            return 0.0
        return min(self._idle_s, QUANTUM_S) if lane.is_retired else self._idle_s

    def is_needed_elsewhere(self, worked_s: float) -> bool:
        """Another source waits for a place, and this one has had its turn."""
        return bool(self._waiting) and worked_s >= QUANTUM_S

    def slot_ended(self, slot: Slot) -> None:
        """Its place is free."""
        del self._slots[slot]
        lane = slot.lane
        if lane in self._pausing:
            pass  # `_resume` sees to its work
        elif lane.has_work:
            self._waiting[lane] = None
        elif not self._slots_of(lane):
            self._forget(lane)
        while self._waiting and len(self._slots) < self._max_runners and self._is_open:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            if longest.has_work:
                self._start_slot(longest)

    def backlog_grew(self, lane: Lane) -> None:
        """A batch was taken and more is left: perhaps a second slot."""
        self._staff(lane)

    def batch_limit(self, lane: Lane) -> int:
        """One while the source is on probation."""
        source = lane.code.source
        probation = self._probations.get(source)
        if probation is not None and probation.is_forgotten(monotonic()):
            del self._probations[source]
            if probation.is_on:
                log.info("source.probation_ended", source=source)
            probation = None
        return 1 if probation is not None and probation.is_on else BATCH_INVOCATIONS

    def pause_after(self, lane: Lane, faults: int) -> bool:
        """True on probation: the lane's work waits, and its place is free meanwhile."""
        source = lane.code.source
        probation = self._probations.setdefault(source, Probation())
        for _ in range(faults):
            if probation.note_fault(monotonic()):
                log.warning("source.probation_began", source=source, version=lane.code.version)
                metrics.count_probation(source)
        if probation.is_on and lane not in self._pausing:
            self._pausing[lane] = asyncio.get_running_loop().call_later(probation.pause_s, self._resume, lane)
        return probation.is_on

    def _resume(self, lane: Lane) -> None:
        del self._pausing[lane]
        if lane.has_work:
            self._staff(lane)
        elif not self._slots_of(lane):
            self._forget(lane)

    def _slots_of(self, lane: Lane) -> list[Slot]:
        return [slot for slot in self._slots if slot.lane is lane]

    def _lane_of(self, code: Code) -> Lane:
        if not self._is_open:
            raise RuntimeError("the pool is not open")
        key = (code.source, code.version)
        lane = self._lanes.get(key)
        if lane is None or (lane.code is not code and lane.code != code):
            if lane is not None:
                lane.is_retired = True  # the same version with other settings: runs dry like an old version
                self._wake_idle(lane)
            lane = self._lanes[key] = Lane(code)
        return lane

    def _retire_others(self, lane: Lane) -> None:
        before = self._called.get(lane.code.source)
        if before is lane:
            return
        self._called[lane.code.source] = lane
        lane.is_retired = False
        if before is not None:
            before.is_retired = True
            self._wake_idle(before)

    def _staff(self, lane: Lane) -> None:
        """The lane has the slots its backlog is worth, as far as there is place."""
        if lane in self._pausing:
            return
        slots = self._slots_of(lane)
        idle = [slot for slot in slots if slot.is_idle]
        if idle:
            idle[0].wake()
        is_one_enough = len(lane) <= BATCH_INVOCATIONS or self.batch_limit(lane) == 1
        wanted = 1 if is_one_enough else self._slots_per_lane
        if len(slots) >= wanted or (slots and idle):
            return
        if len(self._slots) < self._max_runners and not self._waiting:
            self._start_slot(lane)
        elif not slots:
            self._waiting[lane] = None
            self._evict_longest_idle()

    def _start_slot(self, lane: Lane) -> None:
        slot = Slot(lane, self, self._nursery)
        self._slots[slot] = asyncio.create_task(slot.serve(), name=f"runner {lane.code.source}")

    def _evict_longest_idle(self) -> None:
        idle = [slot for slot in self._slots if slot.is_idle and not slot.is_leaving]
        if idle:
            min(idle, key=lambda slot: slot.idle_since).leave()

    def _wake_idle(self, lane: Lane) -> None:
        for slot in self._slots:
            if slot.lane is lane and slot.is_idle:
                slot.wake()

    def _forget(self, lane: Lane) -> None:
        key = (lane.code.source, lane.code.version)
        if self._lanes.get(key) is lane:
            del self._lanes[key]
        if self._called.get(lane.code.source) is lane:
            del self._called[lane.code.source]
