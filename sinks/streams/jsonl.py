"""JSON lines: each message as one line, exactly as on the log, to a file or to standard output.

At least once: a batch that was interrupted is written again as a whole, so lines can repeat. Every line has its
`messageId`, by which a reader that minds can tell.
"""

import asyncio
import fcntl
import os
import select
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hookmill.errors import ConfigError, FailureKind, HookmillError
from sinks.contract import Message, Sink, SinkUnavailable
from sinks.options import STDOUT, FileOptions, Surroundings

_STDOUT: Final = 1
_READER_TIMEOUT_S: Final = 10.0
"""How long a pipe may stay full before the batch is given back to the worker."""
_CHUNK_BYTES: Final = 4_096
"""POSIX PIPE_BUF on Linux: a pipe that polls as writable takes so much without blocking."""


class JsonLinesOptions(FileOptions, frozen=True):
    """`path`: the file, or `-` for standard output."""

    path: str = STDOUT

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return JsonLines(None if self.path == STDOUT else self.file(around.data_dir))

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return "on standard output" if self.path == STDOUT else super().target(data_dir)


class StreamClosed(HookmillError):
    """Whoever read the standard output is gone: there is nobody left to write for, so the process ends."""

    kind = FailureKind.FINAL


class JsonLines:
    """A `Sink` that appends to `file`, or to standard output for `None`. One process at a time writes a file."""

    def __init__(self, file: Path | None) -> None:
        self._name = "standard output" if file is None else str(file)
        self._file = file
        self._descriptor = _STDOUT
        self._is_regular = False
        self._unfinished = b""
        self._executor: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        if self._file is not None:
            self._open(self._file)
        self._executor = ThreadPoolExecutor(1, "jsonl")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._executor is not None
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        self._executor.shutdown(wait=False)

    async def write(self, batch: Sequence[Message]) -> None:
        """A file has the lines on disk; standard output has taken them."""
        # Newlines in JSON text are white space between tokens: within strings they are escaped.
        lines = b"".join(message.raw.replace(b"\n", b" ") + b"\n" for message in batch)
        work = self._append if self._is_regular else self._pass_on
        await asyncio.get_running_loop().run_in_executor(self._executor, work, lines)

    def _open(self, file: Path) -> None:
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SinkUnavailable(f"JSON lines file {file} cannot be opened for writing: {error.strerror}.") from error
        self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self._is_regular:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                raise ConfigError(f"JSON lines file {file} is being written by another sink or process.") from None
            self._cut_torn_line()
            _make_name_durable(file)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._descriptor)

    def _cut_torn_line(self) -> None:
        """The file ends with a line: what a crash left of another goes, its batch comes again."""
        end = os.fstat(self._descriptor).st_size
        position = end
        while position > 0:
            start = max(0, position - _CHUNK_BYTES)
            newline = os.pread(self._descriptor, position - start, start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            os.ftruncate(self._descriptor, position)

    def _append(self, lines: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        try:
            _write_all(self._descriptor, lines)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise SinkUnavailable(f"JSON lines file {self._name} cannot be written: {error.strerror}.") from error

    def _pass_on(self, lines: bytes) -> None:
        """As `_append` for what cannot be taken back: a line that was begun is ended before anything else."""
        rest = memoryview(self._unfinished + lines)
        done = 0
        try:
            while done < len(rest):
                _, writable, _ = select.select((), (self._descriptor,), (), _READER_TIMEOUT_S)
                if not writable:
                    raise SinkUnavailable(f"Nobody has read from {self._name} for {_READER_TIMEOUT_S:g} s.")
                done += os.write(self._descriptor, rest[done : done + _CHUNK_BYTES])
        except BrokenPipeError as error:
            raise StreamClosed(f"The reader of {self._name} is gone.") from error
        except OSError as error:
            raise SinkUnavailable(f"{self._name} cannot be written: {error.strerror}.") from error
        finally:
            if done:
                self._unfinished = _rest_of_line(rest, done)


def _rest_of_line(text: memoryview, done: int) -> bytes:
    """What is missing of the line in which writing stopped after `done` bytes; empty between lines."""
    if text[done - 1] == ord("\n"):
        return b""
    return bytes(text[done:]).partition(b"\n")[0] + b"\n"


def _make_name_durable(file: Path) -> None:
    """The file survives a power cut, not only its content: its folder is on disk."""
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_all(descriptor: int, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
