"""The queue of one version of one source's function: calls go in, batches come out, outcomes go back to their calls."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final

import msgspec

from hookmill.codec import FunctionError
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.runtimes.limits import MIB

BATCH_INVOCATIONS: Final = 128
"""The knee: 512 gains 15 % (RUNTIMES section 2.2)."""
BATCH_BYTES: Final = MIB
"""Of bodies; a single larger one goes alone."""

_MAY_LOAD_LATER: Final = {"Timeout": Status.TIMEOUT, "RunnerCrashed": Status.CRASH}
"""By class of the error that ended a load. A busy machine kept working code over its second, and short memory ended its
runner: such a webhook is tried again. A function that raises an error under one of these names is tried again too."""


class Call:
    """One call of `run`: done when each of its invocations has an outcome."""

    def __init__(self, invocations: Sequence[Invocation]) -> None:
        self.invocations = invocations
        self.done: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._outcomes: list[Outcome | None] = [None] * len(invocations)
        self._missing = len(invocations)

    def settle(self, position: int, outcome: Outcome) -> None:
        """Once per position. The outcome of a call given up goes nowhere."""
        self._outcomes[position] = outcome
        self._missing -= 1
        if not self._missing and not self.done.done():
            self.done.set_result([outcome for outcome in self._outcomes if outcome is not None])


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """One invocation of a call."""

    call: Call
    position: int

    @property
    def invocation(self) -> Invocation:
        """What to run."""
        return self.call.invocations[self.position]


class Lane:
    """First in, first out. `checks` want to know whether the function loads, no more."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.is_retired = False
        """Another version of the source has calls now: runners without work do not stay."""
        self.lost = 0
        """Runners in a row that were lost without a word of their batch."""
        self.checks: list[asyncio.Future[FunctionError | None]] = []
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def has_work(self) -> bool:
        """Invocations or checks wait."""
        return bool(self._tickets or self.checks)

    def add(self, call: Call) -> None:
        """The call's invocations wait."""
        self._tickets.extend(map(Ticket, repeat(call), range(len(call.invocations))))

    def take(self, most: int = BATCH_INVOCATIONS) -> list[Ticket]:
        """The next batch; empty if nothing waits. Invocations of calls given up are left out."""
        batch: list[Ticket] = []
        size = 0
        while self._tickets and len(batch) < most:
            ticket = self._tickets[0]
            if not ticket.call.done.done():
                size += len(ticket.invocation.body)
                if batch and size > BATCH_BYTES:
                    break
                batch.append(ticket)
            self._tickets.popleft()
        return batch

    def give_back(self, tickets: Sequence[Ticket]) -> None:
        """They wait again, before all others."""
        self._tickets.extendleft(reversed(tickets))

    def loaded(self) -> None:
        """The checks are answered: it loads."""
        self._answer_checks(lambda check: check.set_result(None))

    def reject_all(self, error: FunctionError) -> None:
        """Everything that waits is answered: the code does not load. For good, unless the machine may be the reason."""
        self._answer_checks(lambda check: check.set_result(error))
        self._settle_all(Outcome(_MAY_LOAD_LATER.get(error.kind, Status.REJECTED), 0.0, error=error))

    def refuse_all(self, reason: Exception) -> None:
        """Everything that waits is answered: there is no runner."""
        self._answer_checks(lambda check: check.set_exception(reason))
        self._settle_all(not_run(str(reason)))

    def fail_all(self, bug: BaseException, tickets: Sequence[Ticket]) -> None:
        """Everything that waits, and these, get an error of ours."""
        self._answer_checks(lambda check: check.set_exception(bug))
        for ticket in (*tickets, *self._tickets):
            if not ticket.call.done.done():
                ticket.call.done.set_exception(bug)
        self._tickets.clear()

    def _settle_all(self, outcome: Outcome) -> None:
        while self._tickets:
            ticket = self._tickets.popleft()
            ticket.call.settle(ticket.position, outcome)

    def _answer_checks(self, answer: Callable[[asyncio.Future[FunctionError | None]], None]) -> None:
        checks, self.checks = self.checks, []
        for check in checks:
            if not check.done():
                answer(check)


def not_run(reason: str) -> Outcome:
    """The outcome of an invocation for which no runner was to be had."""
    return Outcome(Status.INFRA, 0.0, error=FunctionError("RunnerUnavailable", reason))
