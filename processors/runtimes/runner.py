"""A runner: one process with one version of one source's function loaded, running one batch at a time."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self, TypeVar

import msgspec

from hookmill.egress.guard import Egress
from processors.runtimes.commands import Launch
from processors.runtimes.contract import Code, Invocation, Outcome
from processors.runtimes.errors import LoadFailed, RunnerLost, RunnerUnavailable
from processors.runtimes.footprint import LOOK_S, Footprint
from processors.runtimes.frames import (
    PROTOCOL,
    BatchDone,
    Frame,
    FrameType,
    Hello,
    LoadFailure,
    load_frame,
    read_frame,
    run_frame,
    stop_frame,
)
from processors.runtimes.ledger import Ledger
from processors.runtimes.limits import Limits, limits_of
from processors.runtimes.network import Network
from processors.runtimes.postmortem import Cause, blame, load_error
from processors.runtimes.process import RunnerProcess
from processors.runtimes.progress import START_DEADLINE_S, Progress
from processors.runtimes.zygote import Zygote

STOP_DEADLINE_S: Final = 0.5
MOST_INVOCATIONS: Final = 100_000
"""Then a runner is replaced: what functions leave behind does not pile up for ever (RUNTIMES section 7)."""
Header = TypeVar("Header")


@dataclass(frozen=True)
class BatchEnd:
    """What came of a batch: outcomes by index. What has none did not run, or not to its end, and is to run again."""

    outcomes: dict[int, Outcome]
    spent_by: str | None
    """Why the runner is not to be used any more, for the log; `None` if it is."""


class Runner:
    """Who starts it ends it: with `stop` when it is idle, with `kill` in any state."""

    def __init__(self, process: RunnerProcess, ledger: Ledger, channel: socket.socket) -> None:
        self._process = process
        self._ledger = ledger
        self._channel = channel
        self._limits: Limits
        self._footprint: Footprint
        self._batches = 0
        self._invocations = 0
        self._cause: Cause | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._network: Network | None = None

    @classmethod
    async def boot(cls, zygote: Zygote, launch: Launch) -> Self:
        """Ready to load. Errors: `RunnerUnavailable`."""
        ledger = Ledger()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await RunnerProcess.start(zygote, launch, theirs, ledger.descriptor)
            except BaseException:
                ours.close()
                ledger.close()
                raise
        runner = cls(process, ledger, ours)
        try:
            await runner._greet()
        except BaseException:
            await runner.kill()
            raise
        return runner

    async def load(self, code: Code, egress: Egress) -> None:
        """Ready to run. Errors: `LoadFailed`, the function's fault; `RunnerUnavailable`, not its fault."""
        assert self._writer is not None
        self._limits = limits_of(code)
        self._network = Network.of(code, egress, self._writer)
        started = monotonic()
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                answer = await self._send_and_read(load_frame(code, self._limits))
            if answer.type is FrameType.LOADFAIL:
                raise LoadFailed(_header(answer, FrameType.LOADFAIL, LoadFailure).error)
            _header(answer, FrameType.LOADED, msgspec.Raw)
        except (TimeoutError, RunnerLost) as error:
            await self._process.end()
            if self._process.was_lost:
                raise RunnerUnavailable("A runner was lost with its zygote.") from error
            took_ms = (monotonic() - started) * 1_000
            raise LoadFailed(load_error(self._process, code, self._limits, took_ms)) from error
        self._footprint = Footprint(self.pid, code.language)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Its process is gone."""
        return self._process.has_ended

    async def run(self, invocations: Sequence[Invocation]) -> BatchEnd:
        """The batch has ended, one way or another. Raises nothing for what user code does."""
        end = await self._run(invocations)
        if self._network is None:
            return end
        return BatchEnd(await self._network.settle(end.outcomes), end.spent_by)

    async def _run(self, invocations: Sequence[Invocation]) -> BatchEnd:
        count = len(invocations)
        self._batches += 1
        self._invocations += count
        self._ledger.clear(count)
        watch = Progress(self._ledger, self._limits)
        try:
            answer = await self._ask(run_frame(self._batches, invocations), watch)
            done = _header(answer, FrameType.RES, BatchDone)
            entries = self._ledger.read()
            outcomes = _within(count, entries.outcomes)
            if done.batch != self._batches or not entries.is_whole or not outcomes:
                raise RunnerLost("it answered for another batch, or without results")
        except RunnerLost as lost:
            return await self._account_for_loss(count, watch, lost)
        return BatchEnd(outcomes, done.recycle or self._wear())

    async def stop(self) -> None:
        """Ended, by itself if it can."""
        if self._writer is not None:
            self._writer.write(stop_frame())
            with contextlib.suppress(RunnerLost, TimeoutError):
                async with asyncio.timeout(STOP_DEADLINE_S):
                    await read_frame(self._reader)
        await self.kill()

    async def kill(self) -> None:
        """Ended, with all it started; its resources are free."""
        self._process.kill()
        if self._writer is not None:
            self._writer.close()
        else:
            self._channel.close()
        await self._process.end()
        self._ledger.close()
        if self._network is not None:
            await self._network.cancel()

    async def _greet(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._channel)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                hello = _header(await read_frame(self._reader), FrameType.HELLO, Hello)
        except TimeoutError as error:
            raise RunnerUnavailable(f"A runner did not start within {START_DEADLINE_S:g} s.") from error
        except RunnerLost as lost:
            await self._process.end()
            text = f"A runner did not start: {lost}, {self._process.describe_end()}. {self._process.last_words()}"
            raise RunnerUnavailable(text.strip()) from lost
        if hello.proto != PROTOCOL:
            raise RunnerUnavailable(f"A runner speaks protocol {hello.proto}, the pool {PROTOCOL}.")

    async def _send_and_read(self, frame: bytes) -> Frame:
        assert self._writer is not None
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except ConnectionError as error:
            raise RunnerLost("it ended") from error
        return await read_frame(self._reader)

    async def _ask(self, frame: bytes, watch: Progress) -> Frame:
        """The answer, or `RunnerLost`; a runner that gets nowhere is killed."""
        answer = asyncio.create_task(self._converse(frame, watch))
        # Ended below, the runner's end is an error here too, which asyncio would print as never retrieved.
        answer.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while not (await asyncio.wait((answer,), timeout=LOOK_S))[0]:
                self._cause = self._cause_to_end(watch)
                if self._cause is not None:
                    await self._process.end()
                    raise RunnerLost("it was ended")
            return answer.result()
        finally:
            if not answer.done():
                answer.cancel()

    async def _converse(self, frame: bytes, watch: Progress) -> Frame:
        answer = await self._send_and_read(frame)
        while answer.type is FrameType.FETCH and self._network is not None:
            self._network.take(answer, self._limits.timeout_ms / 1_000 - watch.silent_s())
            answer = await read_frame(self._reader)
        return answer

    def _cause_to_end(self, watch: Progress) -> Cause | None:
        if self._footprint.is_excessive:
            return Cause.MEMORY
        return Cause.STUCK if watch.is_stuck() else None

    def _wear(self) -> str | None:
        if self._invocations >= MOST_INVOCATIONS:
            return "invocations"
        return "memory" if self._footprint.has_doubled else None

    async def _account_for_loss(self, count: int, watch: Progress, lost: RunnerLost) -> BatchEnd:
        silent_ms = watch.silent_s() * 1_000
        await self._process.end()
        entries = self._ledger.read()
        outcomes = _within(count, entries.outcomes)
        culprit = next((index for index in range(count) if index not in outcomes), None)
        if culprit is not None and entries.is_running and not self._process.was_lost:
            allowed_mb = self._footprint.allowed_mb
            outcomes[culprit] = blame(self._process, self._limits, silent_ms, self._cause, allowed_mb, lost)
        return BatchEnd(outcomes, "lost")


def _within(count: int, outcomes: dict[int, Outcome]) -> dict[int, Outcome]:
    return {index: outcome for index, outcome in outcomes.items() if 0 <= index < count}


def _header(answer: Frame, expected: FrameType, header: type[Header]) -> Header:
    if answer.type is not expected:
        raise RunnerLost(f"it answered {answer.type.name} where {expected.name} was due")
    try:
        return msgspec.json.decode(answer.header, type=header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RunnerLost(f"its {expected.name} is malformed") from error
