"""The life of a process: services started in order, readiness, a drain on SIGTERM, exit codes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from typing import Protocol

from hookmill.errors import ConfigError, HookmillError
from hookmill.telemetry import get_logger

log = get_logger(__name__)


class ExitCode(IntEnum):
    """What the process tells who started it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 78
    """EX_CONFIG of sysexits.h: restarting without a change is of no use."""


class Service(Protocol):
    """A part of a process with a life of its own."""

    @property
    def name(self) -> str:
        """For log lines."""
        ...

    async def start(self) -> None:
        """The service is ready. Whatever it raises stops the process; `stop` is not called then."""
        ...

    async def wait(self) -> None:
        """Returns or raises only when the service ended by itself; either stops the process. Cancelled otherwise."""
        ...

    async def stop(self) -> None:
        """New work is refused, work in hand is finished within the service's own deadline, resources are free."""
        ...


OnceReady = Callable[[], Coroutine[object, object, None]]


class Readiness:
    """Whether the process may get work: true between the end of the start and the begin of the stop."""

    def __init__(self) -> None:
        self.is_ready = False


@contextlib.asynccontextmanager
async def running(services: Sequence[Service], readiness: Readiness | None = None) -> AsyncIterator[None]:
    """All services are ready, started in order; at the end they are stopped in reverse order, each even if others fail.

    Errors: of `start`; of `stop`, the first, after all have stopped.
    """
    started: list[Service] = []
    failure: BaseException | None = None
    try:
        for service in services:
            await service.start()
            started.append(service)
            log.debug("service.started", service=service.name)
        if readiness is not None:
            readiness.is_ready = True
        yield
    finally:
        if readiness is not None:
            readiness.is_ready = False
        for service in reversed(started):
            try:
                await service.stop()
                log.debug("service.stopped", service=service.name)
            except Exception as error:
                log.error("service.stop_failed", service=service.name, error=str(error))
                failure = failure or error
        if failure is not None:
            raise failure


async def serve(
    services: Sequence[Service],
    readiness: Readiness,
    once_ready: OnceReady | None = None,
) -> ExitCode:
    """Runs the services until SIGTERM or SIGINT, then drains; a second signal ends the process at once.

    `once_ready` runs beside the services as soon as all are ready; it is cancelled at the end, and its error is ours.

    Returns `OK` after a drain, `FAILED` when a service ended by itself.

    Errors: whatever a service raised; `exit_code` says how the process ends then.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, asked, number)
    async with running(services, readiness):
        return await _until_asked_or_ended(services, asked, once_ready)


def exit_code(error: HookmillError) -> ExitCode:
    """How a process ends that this error stopped."""
    return ExitCode.CONFIG if isinstance(error, ConfigError) else ExitCode.FAILED


class Resource:
    """An async context manager as a service: open while the services after it run."""

    def __init__(self, name: str, manager: AbstractAsyncContextManager[object]) -> None:
        self.name = name
        self._manager = manager

    async def start(self) -> None:
        """Entered."""
        await self._manager.__aenter__()

    async def wait(self) -> None:
        """Never ends by itself."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Left."""
        await self._manager.__aexit__(None, None, None)


def _on_signal(asked: asyncio.Event, number: signal.Signals) -> None:
    if asked.is_set():
        os._exit(128 + number)
    asked.set()  # before the line, which fails when nobody reads the log any more
    log.info("process.stopping", signal=number.name)


async def _until_asked_or_ended(
    services: Sequence[Service], asked: asyncio.Event, once_ready: OnceReady | None
) -> ExitCode:
    watchers = {asyncio.create_task(service.wait(), name=service.name) for service in services}
    signal_watcher = asyncio.create_task(asked.wait(), name="signal")
    companion = asyncio.create_task(once_ready(), name="once ready") if once_ready is not None else None
    waiting = {signal_watcher, *watchers} | ({companion} if companion is not None else set())
    try:
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if signal_watcher in done:
                return ExitCode.OK
            for task in done:
                task.result()
            if done != {companion}:
                log.error("service.ended", service=", ".join(task.get_name() for task in done))
                return ExitCode.FAILED
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
