"""A sink of kind `tsv`: a line per message, with its source, its id and the message as JSON, separated by tabs."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hookmill.errors import ConfigError
from sinks.contract import Event, Message, RecordRejected, SinkUnavailable
from sinks.options import Surroundings


class TsvOptions(msgspec.Struct, frozen=True):
    """`path`: the file; a relative one is in the data folder."""

    path: str

    def check(self) -> None:
        if not self.path or "\x00" in self.path:
            raise ConfigError("path must be the name of a file.")

    def open(self, around: Surroundings) -> "TsvSink":
        return TsvSink(around.data_dir / self.path)

    def target(self, data_dir: Path) -> str:
        return str(data_dir / self.path)


class TsvSink:
    """At least once: a batch that comes again is written again, with the same ids."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = -1

    async def __aenter__(self) -> "TsvSink":
        try:
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SinkUnavailable(f"{self._file} cannot be opened: {error.strerror}.") from error
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def write(self, batch: Sequence[Message]) -> None:
        """Durable when it returns: the lines are on the disk. A blocking call belongs into a thread."""
        refused = {index: "its id has a tab in it" for index, message in enumerate(batch) if "\t" in _id(message)}
        if refused:
            raise RecordRejected(refused)
        lines = b"".join(b"%s\t%s\t%s\n" % (m.source.encode(), _id(m).encode(), _line(m.raw)) for m in batch)
        await asyncio.to_thread(self._append, lines)

    def _append(self, lines: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise SinkUnavailable(f"{self._file} cannot be written: {error.strerror}.") from error


def _id(message: Message) -> str:
    return message.message_id if isinstance(message, Event) else message.write.id


def _line(raw: bytes) -> bytes:
    """Line ends in JSON are white space: within strings they are escaped."""
    return raw.replace(b"\n", b" ").replace(b"\t", b" ")
