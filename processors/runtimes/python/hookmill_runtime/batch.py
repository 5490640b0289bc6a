"""Batches: one invocation after the other, each finished one appended to the ledger before the next begins."""

import asyncio
import os
from collections.abc import Coroutine, Generator
from inspect import isawaitable
from time import monotonic, thread_time
from typing import Any

from . import codec
from .collector import Collector, current
from .frames import Frame
from .function import Handler
from .load import Load
from .logs import LogBook
from .redact import redactor
from .report import describe_error, status_of, the_one_inside
from .request import Request
from .watch import TimeLimit, Watch

_SPENT = frozenset({"timeout", "memory"})
"""After these the process may hold half-changed state or all the memory there is: the pool takes a fresh one."""

_RETURNED = "What on_request returns is not sent: call segment.track and the other helpers for each message."


class BatchRunner:
    """Runs batches of one function."""

    def __init__(
        self, handler: Handler, load: Load, watch: Watch, ledger: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._handler = handler
        self._load = load
        self._settings = codec.dumps(load.settings)
        self._redact = redactor(load.secrets)
        self._watch = watch
        self._ledger = ledger
        self._loop = loop
        self._left_over: list[asyncio.Task[Any]] = []
        self._cpu_s = 0.0
        loop.set_task_factory(self._start_task)

    def run(self, frame: Frame) -> str | None:
        """All results of the batch are in the ledger, or those up to the one whose status is returned."""
        return self._loop.run_until_complete(self._run(frame))

    async def _run(self, frame: Frame) -> str | None:
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._left_over.clear()
        os.write(self._ledger, b'{"m":"+"}\n')
        self._watch.open(self._load.limits.timeout_ms / 1_000, task)
        try:
            return await self._run_each(frame, task)
        finally:
            self._watch.close()

    async def _run_each(self, frame: Frame, task: asyncio.Task[Any]) -> str | None:
        lengths = frame.header["lens"]
        room = self._load.limits.batch_output_bytes
        deadline = monotonic() + self._load.limits.batch_ms / 1_000
        content = memoryview(frame.content)
        at = frame.sections_at
        self._cpu_s = thread_time()
        for index in range(len(lengths) // 2):
            body_at = at + lengths[2 * index]
            end = body_at + lengths[2 * index + 1]
            request = Request(bytes(content[at:body_at]), bytes(content[body_at:end]))
            at = end
            status, line = await self._run_one(index, request)
            os.write(self._ledger, line)
            if status in _SPENT:
                return status
            if task.cancelling():
                await _forget_cancellation(task)
            room -= len(line)
            if room < 0 or monotonic() > deadline:
                return None
        return None

    async def _run_one(self, index: int, request: Request) -> tuple[str, bytes]:
        limits = self._load.limits
        logs = LogBook(limits, self._redact)
        collector = Collector(index, limits, logs)
        current.set(collector)
        self._watch.begin()
        try:
            await self._call(request, logs)
            status, outcome = "ok", b'"ev":[%b],"ob":[%b]' % collector.encode()
            error = None
        except BaseException as caught:
            error = caught
        elapsed_ms = self._watch.end() * 1_000
        # Of what went before it is only our own work since the last invocation: reading the clock twice costs more.
        cpu_s, self._cpu_s = self._cpu_s, thread_time()
        cpu_ms = (self._cpu_s - cpu_s) * 1_000
        collector.close()
        # The flag counts, not what was caught: user code can catch the limit and return.
        if error is not None or self._watch.has_fired:
            error = self._verdict(error, collector)
            status = status_of(error)
            outcome = b'"e":%b' % codec.dumps(describe_error(error, self._load))
            self._cpu_s = thread_time()  # describing takes long enough to count for the next one
        said = b',"l":%b' % codec.dumps(logs.lines) if logs.lines else b""
        line = b'{"i":%d,"ms":%.3f,"cpu":%.3f,"s":"%b",%b%b}\n'
        return status, line % (index, elapsed_ms, cpu_ms, status.encode(), outcome, said)

    async def _call(self, request: Request, logs: LogBook) -> None:
        try:
            answer = self._handler(request, codec.loads(self._settings))
            if isawaitable(answer):
                answer = await answer
            if isinstance(answer, dict) and ("events" in answer or "objects" in answer):
                logs.add("warn", _RETURNED)
        finally:
            if self._left_over:
                await self._stop_left_over()

    def _verdict(self, caught: BaseException | None, collector: Collector) -> BaseException:
        """The error that counts, with its place: time, then size, then whatever came up."""
        if self._watch.has_fired or caught is None:
            error = TimeLimit(f"on_request did not finish within {self._load.limits.timeout_ms} ms.")
            return error.with_traceback(caught.__traceback__ if caught is not None else None)
        return collector.excess or the_one_inside(caught)

    def _start_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        self._left_over.append(task)
        return task

    async def _stop_left_over(self) -> None:
        """Tasks the invocation started end with it, within its time."""
        tasks, self._left_over = self._left_over, []
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)


async def _forget_cancellation(task: asyncio.Task[Any]) -> None:
    """User code cancelled the task of the batch: that was its own affair, the next invocation is not to feel it."""
    while task.cancelling():
        task.uncancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return
