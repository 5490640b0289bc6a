"""A TCP proxy that does what networks and servers in trouble do."""

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_CHUNK: Final = 65_536


class Trouble(StrEnum):
    """What happens to connections, also to those that are open."""

    NONE = "none"
    HALF_OPEN = "half-open connections"
    """Taken, and nothing is passed on any more."""
    RESET = "resets"
    """Broken off with RST as soon as something comes."""
    SLOW = "slow answers"
    """What comes back is held for `delay_s`."""


class Proxy:
    """A context manager; in front of `127.0.0.1:<port>`, at `port` of its own."""

    def __init__(self, target_port: int, *, delay_s: float = 2.0) -> None:
        self.trouble = Trouble.NONE
        self.port = 0
        self._target_port = target_port
        self._delay_s = delay_s
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """No connection is left."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers |= {writer, there[1]}
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, there[1], is_answer=False))
                    group.create_task(self._pass(there[0], writer, is_answer=True))
            except* OSError:
                pass  # one side is gone; so is the other
            finally:
                self._writers -= {writer, there[1]}
                there[1].transport.abort()
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while content := await reader.read(_CHUNK):
            match self.trouble:
                case Trouble.HALF_OPEN:
                    continue
                case Trouble.RESET:
                    _reset(writer)
                    raise ConnectionResetError
                case Trouble.SLOW if is_answer:
                    await asyncio.sleep(self._delay_s)
            writer.write(content)
            await writer.drain()
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    peer: socket.socket = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
