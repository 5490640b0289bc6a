"""Frames as `processors/runtimes/frames.py` has them: u32le length, u8 type, JSON header line, sections."""

import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

from . import codec

HELLO: Final = 1
LOAD: Final = 2
LOADED: Final = 3
LOADFAIL: Final = 4
RUN: Final = 5
RES: Final = 6
STOP: Final = 7
FETCH: Final = 8
FETCHED: Final = 9

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame received; the sections are `content[sections_at:]`."""

    kind: int
    header: dict[str, Any]
    content: bytearray
    sections_at: int


class Channel:
    """The pool's end is a process that is trusted: nothing is checked here. Blocks while it waits."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)

    @property
    def descriptor(self) -> int:
        """Readable when a frame comes."""
        return self._socket.fileno()

    def send(self, kind: int, header: dict[str, Any], section: bytes = b"") -> None:
        """Sent, or `OSError` when the pool is gone."""
        content = codec.dumps(header) + b"\n" + section
        self._socket.sendall(_LENGTH.pack(len(content) + 1) + bytes([kind]) + content)

    def receive(self) -> Frame | None:
        """The next frame; `None` when the pool is gone."""
        prefix = self._read(_LENGTH.size)
        content = prefix and self._read(_LENGTH.unpack(prefix)[0])
        if not content:
            return None
        line_end = content.index(b"\n")
        return Frame(content[0], codec.loads(bytes(content[1:line_end])), content, line_end + 1)

    def _read(self, size: int) -> bytearray | None:
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                return None
            rest = rest[count:]
        return content
