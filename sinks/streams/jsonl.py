"""JSON lines: each message as one line, exactly as on the log, to a file; a file that has grown enough is put aside.

At least once: a batch that was interrupted is written again as a whole, so lines can repeat. Every line has its
`messageId`, by which a reader that minds can tell.

With `rotate_bytes`, `out.jsonl` that has reached them becomes `out.20261124T031500123456Z.jsonl`, by the time of its
last line: whole batches, complete, never touched again. Whoever reads them may move or delete them.
"""

import fcntl
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hookmill.blocking import BlockingThread
from hookmill.errors import ConfigError
from sinks.contract import Message, Sink, SinkUnavailable
from sinks.options import STDOUT, FileOptions, Surroundings
from sinks.streams.stdout import Pipe, StandardOutput, json_lines

_CHUNK_BYTES: Final = 4_096


class JsonLinesOptions(FileOptions, frozen=True):
    """`path`: the file, or `-` for what kind `stdout` does; `rotate_bytes`: the size to put it aside at, or 0."""

    path: str = STDOUT
    rotate_bytes: int = 0

    def check(self) -> None:
        """See `Options`."""
        super().check()
        if self.rotate_bytes < 0:
            raise ConfigError(f"rotate_bytes is {self.rotate_bytes}: it must be a number of bytes, or 0 for never.")
        if self.rotate_bytes and self.path == STDOUT:
            raise ConfigError("rotate_bytes needs a path: standard output cannot be put aside.")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        if self.path == STDOUT:
            return StandardOutput()
        return JsonLines(self.file(around.data_dir), self.rotate_bytes)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return "on standard output" if self.path == STDOUT else super().target(data_dir)


class JsonLines:
    """A `Sink` that appends to `file`. One process at a time writes it. A file that is none, such as a named pipe, is
    written as standard output is."""

    def __init__(self, file: Path, rotate_bytes: int = 0) -> None:
        self._file = file
        self._rotate_bytes = rotate_bytes
        self._descriptor = -1
        self._pipe: Pipe | None = None
        self._thread = BlockingThread("jsonl")

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._thread.run(self._close)
        self._thread.end()

    async def check(self) -> Sequence[str]:
        """See `Checkable`. A file that is not there yet is not made; that its folder can be written is enough."""
        if self._file.exists():
            os.close(self._open_descriptor(0))
        elif not os.access(self._file.parent, os.W_OK | os.X_OK):
            return (f"Folder {self._file.parent} may not be written: check its permissions.",)
        return ()

    async def write(self, batch: Sequence[Message]) -> None:
        """The lines are on disk; of a pipe, the other side has taken them."""
        write = self._append if self._pipe is None else self._pipe.write
        await self._thread.run(write, json_lines(batch))

    def _open(self) -> None:
        """Errors: `SinkUnavailable`; `ConfigError` for a file that another writes."""
        self._descriptor = self._open_descriptor(os.O_CREAT)
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._lock()
            self._cut_torn_line()
            _make_name_durable(self._file)
        else:
            self._pipe = Pipe(self._descriptor, str(self._file))

    def _open_descriptor(self, creation: int) -> int:
        try:
            return os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | creation, 0o644)
        except OSError as error:
            raise SinkUnavailable(
                f"JSON lines file {self._file} cannot be opened for writing: {error.strerror}."
            ) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise ConfigError(f"JSON lines file {self._file} is being written by another sink or process.") from None

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

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
        if self._rotate_bytes and os.fstat(self._descriptor).st_size >= self._rotate_bytes:
            self._put_aside()
        before = os.fstat(self._descriptor).st_size
        try:
            _write_all(self._descriptor, lines)
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise SinkUnavailable(f"JSON lines file {self._file} cannot be written: {error.strerror}.") from error

    def _put_aside(self) -> None:
        """The file has its final name, and a new one is open. After a failure the same can be tried again."""
        old = os.fstat(self._descriptor)
        try:
            if _is_there(self._file, old):
                self._file.rename(_free_name(self._file, datetime.fromtimestamp(old.st_mtime, UTC)))
            descriptor = self._open_descriptor(os.O_CREAT | os.O_EXCL)
            self._close()
            self._descriptor = descriptor
            self._lock()
            _make_name_durable(self._file)
        except OSError as error:
            raise SinkUnavailable(f"JSON lines file {self._file} cannot be put aside: {error.strerror}.") from error


def _is_there(file: Path, status: os.stat_result) -> bool:
    """It may have been moved by the attempt before, or by somebody else."""
    try:
        return os.path.samestat(file.stat(), status)
    except FileNotFoundError:
        return False


def _free_name(file: Path, written_at: datetime) -> Path:
    """Beside the file, and of nothing that is there."""
    number = 0
    while True:
        counted = f"-{number}" if number else ""
        name = file.with_name(f"{file.stem}.{written_at:%Y%m%dT%H%M%S%fZ}{counted}{file.suffix}")
        if not os.path.lexists(name):
            return name
        number += 1


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
