"""A slot: the life of the runners, one after the other, that work for one lane at one place of the pool."""

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Final, Protocol

from hookmill.codec import FunctionError
from hookmill.telemetry import get_logger
from processors.runtimes.contract import Outcome, Status
from processors.runtimes.errors import LoadFailed, NodeMissing, RunnerUnavailable
from processors.runtimes.lane import Lane, Ticket
from processors.runtimes.nursery import Nursery
from processors.runtimes.runner import Runner

LOST_IN_A_ROW: Final = 3
"""Runners that took a batch and were lost without a word of it, after which its first invocation is at fault."""

FAULTS: Final = frozenset({Status.TIMEOUT, Status.MEMORY, Status.CRASH})
"""What costs a runner, or a thread of it."""

log = get_logger(__name__)


class Owner(Protocol):
    """What a slot asks and tells its pool."""

    turns: asyncio.Semaphore
    """To be held while a runner starts or works."""

    def idle_limit_s(self, lane: Lane) -> float:
        """How long to wait for work."""
        ...

    def is_needed_elsewhere(self, worked_s: float) -> bool:
        """Whether to make place after so many seconds of work."""
        ...

    def backlog_grew(self, lane: Lane) -> None:
        """More waits than this slot takes at once."""
        ...

    def batch_limit(self, lane: Lane) -> int:
        """How many invocations to take at once."""
        ...

    def pause_after(self, lane: Lane, faults: int) -> bool:
        """So many invocations ended or blocked their runner; whether to leave, so that the source pauses."""
        ...

    def slot_ended(self, slot: "Slot") -> None:
        """The place is free."""
        ...


class Slot:
    """Serves one lane until there is nothing to do or the place is needed."""

    def __init__(self, lane: Lane, owner: Owner, nursery: Nursery) -> None:
        self.lane = lane
        self.runner: Runner | None = None
        self.is_idle = False
        self.idle_since = 0.0
        self.is_leaving = False
        self._owner = owner
        self._nursery = nursery
        self._wake = asyncio.Event()
        self._batch: list[Ticket] = []

    def wake(self) -> None:
        """Look for work, or for a new idle limit."""
        self._wake.set()

    def leave(self) -> None:
        """End as soon as there is no work."""
        self.is_leaving = True
        self._wake.set()

    async def serve(self) -> None:
        """The life of the slot. Whatever it could not do is answered or left in the lane."""
        try:
            is_spent = True
            while is_spent and self.lane.has_work and not self.is_leaving:
                is_spent = await self._serve_with_one_runner()
        except LoadFailed as failure:
            self.lane.reject_all(failure.error)
        except (RunnerUnavailable, NodeMissing) as reason:
            log.warning("runner.unavailable", source=self.lane.code.source, reason=str(reason))
            self.lane.refuse_all(reason)
        except asyncio.CancelledError:
            self.lane.give_back(self._batch)
            self.lane.refuse_all(RunnerUnavailable("The runner pool is closed."))
            raise
        except Exception as bug:
            self.lane.fail_all(bug, self._batch)
        finally:
            self._owner.slot_ended(self)

    async def _serve_with_one_runner(self) -> bool:
        """True if that runner is spent, False if it has nothing more to do here."""
        code = self.lane.code
        async with self._owner.turns:
            runner = await self._nursery.runner_for(code)
        log.debug("runner.started", source=code.source, version=code.version, pid=runner.pid)
        self.runner = runner
        self.lane.loaded()
        started = monotonic()
        is_spent = False
        try:
            while not (is_spent or self.is_leaving) and await self._has_work():
                async with self._owner.turns:
                    is_spent = await self._run_batch(runner)
                self.is_leaving |= self._owner.is_needed_elsewhere(monotonic() - started)
            return is_spent
        finally:
            self.runner = None
            await _to_its_end(runner.kill() if is_spent or self._batch else runner.stop())
            log.debug("runner.ended", source=code.source, version=code.version, pid=runner.pid)

    async def _run_batch(self, runner: Runner) -> bool:
        """True if the runner is spent."""
        self._batch = self.lane.take(self._owner.batch_limit(self.lane))
        if not self._batch:
            return False
        if len(self.lane):
            self._owner.backlog_grew(self.lane)
        end = await runner.run([ticket.invocation for ticket in self._batch])
        rest = []
        for index, ticket in enumerate(self._batch):
            outcome = end.outcomes.get(index)
            if outcome is None:
                rest.append(ticket)
            else:
                ticket.call.settle(ticket.position, outcome)
        self._batch = []
        self.lane.give_back(rest)
        faults = sum(outcome.status in FAULTS for outcome in end.outcomes.values())
        if faults:
            self.is_leaving |= self._owner.pause_after(self.lane, faults)
        self.lane.lost = 0 if end.outcomes else self.lane.lost + 1
        if self.lane.lost >= LOST_IN_A_ROW:
            self._blame_first()
        if end.spent_by is not None:
            log.debug("runner.spent", source=self.lane.code.source, pid=runner.pid, reason=end.spent_by)
        return end.spent_by is not None

    def _blame_first(self) -> None:
        """Its runners say that it never ran. They say what the function wants: it can erase what it did."""
        self.lane.lost = 0
        for ticket in self.lane.take(1):
            message = f"{LOST_IN_A_ROW} runners in a row, with the function loaded, were lost without a result."
            error = FunctionError("RunnerCrashed", message)
            ticket.call.settle(ticket.position, Outcome(Status.CRASH, 0.0, error=error))

    async def _has_work(self) -> bool:
        """Waits for it. False: none came in time, or the place is needed."""
        try:
            while not self.lane.has_work:
                if self.is_leaving:
                    return False
                self.is_idle, self.idle_since = True, monotonic()
                self._wake.clear()
                async with asyncio.timeout(self._owner.idle_limit_s(self.lane)):
                    await self._wake.wait()
        except TimeoutError:
            return self.lane.has_work
        finally:
            self.is_idle = False
        return True


async def _to_its_end(ending: Coroutine[None, None, None]) -> None:
    """A process told to end is gone before its place is free, even if the pool is closing meanwhile."""
    task = asyncio.ensure_future(ending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
