"""A stage that ends at a named point: `python -m tests.faults.points <point> <seconds> <command> ...` runs `hookmill`.

The process is gone (`os._exit`) when it comes to the point so long after it first did, as if killed exactly there. The
points are put around methods from outside; what is shipped knows nothing of them. The point `poison` is none: there,
each webhook of that fate makes the function stage fail with an error that nobody expects.
"""

import asyncio
import functools
import gc
import os
import pkgutil
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from console.main import main

EXIT_CODE: Final = 70
POISON: Final = "poison"

_SENDERS: Final = ("hookmill.log.sqlite.sender:SqliteSender", "hookmill.log.kafka.sender:KafkaSender")
_READERS: Final = ("hookmill.log.sqlite.reader:SqliteReader", "hookmill.log.kafka.reader:KafkaReader")
_PROCESSOR: Final = ("processors.processor:RecordProcessor",)
_FEEDER: Final = ("processors.feeder:Feeder",)
_WAREHOUSE: Final = ("sinks.warehouses.sqlite.sink:SqliteWarehouse",)
"""By name: a stage loads no other stage's."""

_WITHIN_S: Final = 0.004
"""How far into a method its middle may be: from before the first write to after the last, on an idle machine."""

Method = Callable[..., Awaitable[Any]]


class Countdown:
    """Ends the process so long after the first tick."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._ends_at: float | None = None

    def tick(self) -> bool:
        """Whether this is the time."""
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._after_s
        return now >= self._ends_at

    def end(self) -> None:
        os._exit(EXIT_CODE)


def before(method: Method, countdown: Countdown) -> Method:
    """The process ends instead of calling."""

    @functools.wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        if countdown.tick():
            countdown.end()
        return await method(*arguments, **options)

    return call


def during(method: Method, countdown: Countdown) -> Method:
    """The process ends somewhere within the call."""

    @functools.wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        work = asyncio.ensure_future(method(*arguments, **options))
        if countdown.tick():
            await asyncio.sleep(random.uniform(0, _WITHIN_S))
            countdown.end()
        return await work

    return call


def after(method: Method, countdown: Countdown) -> Method:
    """The process ends when the call has returned, before the caller knows."""

    @functools.wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        result = await method(*arguments, **options)
        if countdown.tick():
            countdown.end()
        return result

    return call


POINTS: Final = {
    "before-send": (before, _SENDERS, "send"),
    "during-send": (during, _SENDERS, "send"),
    "after-send": (after, _SENDERS, "send"),
    "outputs-stored": (after, _PROCESSOR, "process"),
    "before-commit": (before, _READERS, "commit"),
    "during-commit": (during, _READERS, "commit"),
    "after-commit": (after, _READERS, "commit"),
    "assigned": (after, _FEEDER, "assigned"),
    "revoke-begins": (before, _FEEDER, "revoked"),
    "during-revoke": (during, _FEEDER, "revoked"),
    "revoke-ends": (after, _FEEDER, "revoked"),
    "during-write": (during, _WAREHOUSE, "write"),
    "rows-written": (after, _WAREHOUSE, "write"),
}
"""Where, by name. Only the function stage has `outputs-stored`, `assigned` and the revokes, the sink the last two."""


def arm(point: str, after_s: float) -> None:
    """The process will end at the point."""
    if point == POISON:
        _poison()
        return
    wrap, classes, method = POINTS[point]
    countdown = Countdown(after_s)
    for name in classes:
        each = pkgutil.resolve_name(name)
        setattr(each, method, wrap(getattr(each, method), countdown))


def _poison() -> None:
    from processors import execution
    from processors.webhook import Webhook, read_invocation

    def fail_on_poison(webhook: Webhook) -> Any:
        if b'"fate":"poison"' in (webhook.record.value or b""):
            raise RuntimeError("a bug that the test put here")
        return read_invocation(webhook)

    assert execution.read_invocation is read_invocation, "the bug has to go where webhooks are read now"
    execution.read_invocation = fail_on_poison


if __name__ == "__main__":
    gc.disable()  # as `main`, and before the stage is loaded
    _, point, after_s, *arguments = sys.argv
    arm(point, float(after_s))
    sys.argv = ["hookmill", *arguments]
    main()
