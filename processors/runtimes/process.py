"""A runner's operating-system process: started with next to nothing, ended for certain."""

import asyncio
import os
import signal
import socket
from typing import Self

from processors.runtimes.commands import Launch
from processors.runtimes.zygote import Fork, Zygote

STDERR_BYTES = 8_192
"""What is kept of a runner's last words, for the report of a crash."""
_READ_BYTES = 65_536
_READ_PAUSE_S = 0.05
"""Between two reads of standard error, so that a flood of it cannot keep the pool busy: the runner waits instead."""


class RunnerProcess:
    """The process and its standard error; in a process group of its own, so that what it starts ends with it."""

    def __init__(self, fork: Fork, zygote: Zygote, stderr: int) -> None:
        self._fork = fork
        self._zygote = zygote
        self._code: int | None = None
        self._stderr = stderr
        self._last_words = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(stderr, False)
        self._watch_stderr()

    @classmethod
    async def start(cls, zygote: Zygote, launch: Launch, channel: socket.socket, ledger: int) -> Self:
        """Started. Errors: `RunnerUnavailable`."""
        reading, writing = os.pipe()
        try:
            fork = await zygote.fork(launch, (channel.fileno(), ledger, writing))
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(fork, zygote, reading)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._fork.pid

    @property
    def has_ended(self) -> bool:
        """It is gone."""
        return self._fork.ended.done()

    @property
    def was_lost(self) -> bool:
        """It went with its zygote, through no fault of its own; after `end`."""
        return self.has_ended and self._fork.ended.result() is None

    def kill(self) -> None:
        """It and all it started is about to be gone. May be called again."""
        self._zygote.kill(self.pid)

    async def end(self) -> None:
        """Killed, if it has not ended, and its resources are free."""
        self.kill()
        self._code = await self._zygote.wait_for_end(self._fork)
        if self._stderr >= 0:
            self._read_stderr()
        self._close_stderr()

    def describe_end(self) -> str:
        """How it ended, for people; after `end`."""
        if self._code is None or self._code >= 0:
            return f"exit code {self._code}"
        try:
            return f"signal {signal.Signals(-self._code).name}"
        except ValueError:
            return f"signal {-self._code}"

    def last_words(self) -> str:
        """The tail of its standard error."""
        return self._last_words.decode(errors="replace")

    def _watch_stderr(self) -> None:
        if self._stderr >= 0:
            self._loop.add_reader(self._stderr, self._on_stderr)

    def _on_stderr(self) -> None:
        self._loop.remove_reader(self._stderr)
        self._read_stderr()
        self._loop.call_later(_READ_PAUSE_S, self._watch_stderr)

    def _read_stderr(self) -> None:
        try:
            content = os.read(self._stderr, _READ_BYTES)
        except BlockingIOError:
            return
        self._last_words = (self._last_words + content)[-STDERR_BYTES:]
        if not content:
            self._close_stderr()

    def _close_stderr(self) -> None:
        if self._stderr < 0:
            return
        self._loop.remove_reader(self._stderr)
        os.close(self._stderr)
        self._stderr = -1
