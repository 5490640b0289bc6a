"""A runner: one process with one version of one source's function loaded, running one batch at a time."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self, TypeVar

import msgspec

from hookmill.codec import FunctionError
from processors.runtimes.commands import Launch
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.runtimes.errors import LoadFailed, RunnerLost, RunnerUnavailable
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
from processors.runtimes.process import RunnerProcess
from processors.runtimes.progress import START_DEADLINE_S, Progress
from processors.runtimes.zygote import Zygote

STOP_DEADLINE_S: Final = 0.5
_LOOK_S = 0.1
Header = TypeVar("Header")
_STACK_CHARACTERS = 4_096


@dataclass(frozen=True)
class BatchEnd:
    """What came of a batch: outcomes by index. What has none did not run, or not to its end, and is to run again."""

    outcomes: dict[int, Outcome]
    is_spent: bool
    """The runner is not to be used any more."""


class Runner:
    """Who starts it ends it: with `stop` when it is idle, with `kill` in any state."""

    def __init__(self, process: RunnerProcess, ledger: Ledger, channel: socket.socket) -> None:
        self._process = process
        self._ledger = ledger
        self._channel = channel
        self._limits: Limits
        self._batches = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

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

    async def load(self, code: Code) -> None:
        """Ready to run. Errors: `LoadFailed`, the function's fault; `RunnerUnavailable`, not its fault."""
        self._limits = limits_of(code)
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
            is_slow = (monotonic() - started) * 1_000 >= self._limits.load_ms
            raise LoadFailed(self._load_error(code, is_slow)) from error

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
        self._batches += 1
        self._ledger.clear()
        watch = Progress(self._ledger, self._limits)
        try:
            answer = await self._ask(run_frame(self._batches, invocations), watch)
            done = _header(answer, FrameType.RES, BatchDone)
        except RunnerLost as lost:
            return await self._account_for_loss(len(invocations), watch, lost)
        entries = self._ledger.read()
        outcomes = {index: outcome for index, outcome in entries.outcomes.items() if 0 <= index < len(invocations)}
        if not outcomes:
            return await self._account_for_loss(len(invocations), watch, RunnerLost("it answered without results"))
        return BatchEnd(outcomes, is_spent=done.recycle is not None)

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

    def _load_error(self, code: Code, is_slow: bool) -> FunctionError:
        place = f"The top level of {code.file_name}"
        stack = self._process.last_words()[-_STACK_CHARACTERS:]
        if is_slow:
            return FunctionError("Timeout", f"{place} did not finish within {self._limits.load_ms} ms.", stack=stack)
        message = f"{place} ended the runner: {self._process.describe_end()}."
        return FunctionError("RunnerCrashed", message, stack=stack)

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
        answer = asyncio.create_task(self._send_and_read(frame))
        try:
            while not (await asyncio.wait((answer,), timeout=_LOOK_S))[0]:
                if watch.is_stuck():
                    self._process.kill()
            return answer.result()
        finally:
            if not answer.done():
                answer.cancel()

    async def _account_for_loss(self, count: int, watch: Progress, lost: RunnerLost) -> BatchEnd:
        await self._process.end()
        entries = self._ledger.read()
        outcomes = {index: outcome for index, outcome in entries.outcomes.items() if 0 <= index < count}
        culprit = next((index for index in range(count) if index not in outcomes), None)
        if entries.is_running and culprit is not None and not self._process.was_lost:
            outcomes[culprit] = self._blame(watch, lost)
        return BatchEnd(outcomes, is_spent=True)

    def _blame(self, watch: Progress, lost: RunnerLost) -> Outcome:
        stack = self._process.last_words()[-_STACK_CHARACTERS:]
        silent_ms = watch.silent_s() * 1_000
        if silent_ms >= self._limits.timeout_ms:
            message = f"The function did not finish within {self._limits.timeout_ms} ms, and its runner was ended."
            return Outcome(Status.TIMEOUT, silent_ms, error=FunctionError("Timeout", message, stack=stack))
        message = f"The function ended its runner: {lost}, {self._process.describe_end()}."
        return Outcome(Status.CRASH, silent_ms, error=FunctionError("RunnerCrashed", message, stack=stack))


def _header(answer: Frame, expected: FrameType, header: type[Header]) -> Header:
    if answer.type is not expected:
        raise RunnerLost(f"it answered {answer.type.name} where {expected.name} was due")
    try:
        return msgspec.json.decode(answer.header, type=header)
    except msgspec.DecodeError as error:
        raise RunnerLost(f"its {expected.name} is malformed") from error
