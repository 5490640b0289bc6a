"""Standard output, and whatever else takes bytes and gives none back, such as a pipe: messages as JSON lines."""

import os
import select
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from hookmill.blocking import BlockingThread
from hookmill.errors import FailureKind, HookmillError
from sinks.contract import Message, Sink, SinkUnavailable
from sinks.options import Surroundings

_STDOUT: Final = 1
_READER_TIMEOUT_S: Final = 10.0
"""How long a pipe may stay full before the batch is given back to the worker."""
_CHUNK_BYTES: Final = 4_096
"""POSIX PIPE_BUF on Linux: a pipe that polls as writable takes so much without blocking."""


class StdoutOptions(msgspec.Struct, frozen=True):
    """None."""

    def check(self) -> None:
        """See `Options`."""

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return StandardOutput()

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return "as JSON lines"


class StreamClosed(HookmillError):
    """Whoever read the standard output is gone: there is nobody left to write for, so the process ends."""

    kind = FailureKind.FINAL


class StandardOutput:
    """A `Sink` that prints each message as a line, exactly as on the log."""

    def __init__(self) -> None:
        self._pipe = Pipe(_STDOUT, "standard output")
        self._thread = BlockingThread("stdout")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.end()

    async def write(self, batch: Sequence[Message]) -> None:
        """The reader of standard output, or the pipe to it, has taken the lines. Errors: as `Sink`; `StreamClosed`."""
        await self._thread.run(self._pipe.write, json_lines(batch))


class Pipe:
    """Lines into a descriptor from which nothing can be taken back."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._unfinished = b""

    def write(self, lines: bytes) -> None:
        """The lines are in. Blocks. A line that an earlier call has begun is ended before anything else.

        Errors: `SinkUnavailable`; `StreamClosed`.
        """
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


def json_lines(batch: Sequence[Message]) -> bytes:
    """Each message as one line."""
    # Newlines in JSON text are white space between tokens: within strings they are escaped.
    return b"".join(message.raw.replace(b"\n", b" ") + b"\n" for message in batch)


def _rest_of_line(text: memoryview, done: int) -> bytes:
    """What is missing of the line in which writing stopped after `done` bytes; empty between lines."""
    if text[done - 1] == ord("\n"):
        return b""
    return bytes(text[done:]).partition(b"\n")[0] + b"\n"
