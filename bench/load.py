"""A load generator that costs little: raw HTTP/1.1 over keep-alive connections, one request at a time on each.

Run as a process of its own: `python -m bench.load URL CONNECTIONS REQUESTS BODY_BYTES`; prints seconds and refusals.
"""

import asyncio
import json
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is complete."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports only behave like one
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self._load.refused += 1
        self._received = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.connection_ended()

    def _next(self) -> None:
        assert self._transport is not None
        if self._load.left == 0:
            self._transport.close()
            return
        self._load.left -= 1
        self._transport.write(self._load.request)


class Load:
    """The state that all connections share."""

    def __init__(self, url: str, connections: int, requests: int, body_bytes: int) -> None:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = body_of(body_bytes)
        self.request = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.left = requests
        self.refused = 0
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._connections = connections
        self._open = connections
        self._done = asyncio.Event()

    async def run(self) -> float:
        """Seconds until every request was answered."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for _ in range(self._connections):
            await loop.create_connection(lambda: Connection(self), *self._address)
        async with asyncio.timeout(300):
            await self._done.wait()
        return time.perf_counter() - began

    def connection_ended(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._done.set()


def body_of(size: int, number: int = 4211) -> bytes:
    """A webhook of about `size` bytes, about deal `number`."""
    document: dict[str, object] = {
        "event": "updated.deal",
        "current": {"id": number, "status": "won", "value": 18400, "currency": "EUR"},
    }
    document["pad"] = ["x" * 40 for _ in range(max(0, (size - 110) // 44))]
    return json.dumps(document).encode()


def main() -> None:
    url, connections, requests, body_bytes = sys.argv[1:]
    load = Load(url, int(connections), int(requests), int(body_bytes))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(load.run())
    print(json.dumps({"seconds": seconds, "refused": load.refused}))


if __name__ == "__main__":
    main()
