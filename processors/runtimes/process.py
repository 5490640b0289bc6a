"""A runner's operating-system process: started with next to nothing, ended for certain."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Self

from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.ledger import MAX_BYTES

STDERR_BYTES = 8_192
"""What is kept of a runner's last words, for the report of a crash."""
_READ_BYTES = 65_536
_END_DEADLINE_S = 5.0
_END_POLL_S = 0.005
_ENVIRONMENT = {"LANG": "C.UTF-8", "TZ": "UTC"}


class RunnerProcess:
    """The process and its standard error; in a session of its own, so that what it starts ends with it."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: int) -> None:
        self._process = process
        self._stderr = stderr
        self._last_words = b""
        os.set_blocking(stderr, False)
        asyncio.get_running_loop().add_reader(stderr, self._read_stderr)

    @classmethod
    def start(cls, command: Sequence[str], channel: socket.socket, ledger: int) -> Self:
        """Started; the numbers of its two descriptors follow the command. Errors: `RunnerUnavailable`."""
        descriptors = (channel.fileno(), ledger)
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603  # our own command
                [*command, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writing,
                pass_fds=descriptors,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            raise RunnerUnavailable(f"{command[0]} does not start: {error.strerror}.") from error
        finally:
            os.close(writing)
        _limit(process.pid)
        return cls(process, reading)

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    def kill(self) -> None:
        """It and all it started is about to be gone. May be called again."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Killed, if it has not ended, and its resources are free."""
        self.kill()
        async with asyncio.timeout(_END_DEADLINE_S):
            # The kernel ends a killed process within milliseconds, and there are few ends: not worth a watcher.
            while self._process.poll() is None:  # noqa: ASYNC110  # nothing sets an event when a process ends
                await asyncio.sleep(_END_POLL_S)
        if self._stderr >= 0:
            self._read_stderr()
        self._close_stderr()

    def describe_end(self) -> str:
        """How it ended, for people; after `end`."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def last_words(self) -> str:
        """The tail of its standard error."""
        return self._last_words.decode(errors="replace")

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
        asyncio.get_running_loop().remove_reader(self._stderr)
        os.close(self._stderr)
        self._stderr = -1


def _limit(pid: int) -> None:
    """No core files, and no more written than a batch may be. From outside: user code comes with a later frame."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_BYTES, MAX_BYTES))
