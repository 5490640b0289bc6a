"""The provider: posts each webhook until it is accepted, and keeps the ledger."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tests.faults.ledger import Ledger
from tests.faults.mill import Mill
from tests.faults.workload import CONNECTIONS, Webhook, now_ms

ANSWER_S: Final = 30.0
_PAUSE_S: Final = 0.1
"""Between two posts of one webhook."""


class _Refused(Exception):
    """The receiver will never take this webhook: the row is wrong, not the receiver."""


async def load(
    mill: Mill,
    ledger: Ledger,
    *,
    rate: float,
    patience_s: float = 5.0,
    is_over: Callable[[], bool] = lambda: False,
    go: asyncio.Event | None = None,
) -> None:
    """Every webhook was accepted, at most `rate` new ones a second; none is begun once it `is_over`, nor while `go` is
    not set.

    A webhook that fails once does so for up to `patience_s` after each post, then never: less than the ladder waits.
    """
    sender = _Sender(mill.urls, ledger, rate, patience_s, is_over, go)
    async with asyncio.TaskGroup() as tasks:
        for connection in range(CONNECTIONS):
            numbers = range(connection, mill.workload.webhooks, CONNECTIONS)
            tasks.create_task(sender.post_all(map(mill.workload.webhook, numbers)))


class _Sender:
    def __init__(
        self,
        urls: Mapping[str, str],
        ledger: Ledger,
        rate: float,
        patience_s: float,
        is_over: Callable[[], bool],
        go: asyncio.Event | None,
    ) -> None:
        self._targets = {source: urlsplit(url) for source, url in urls.items()}
        self._ledger = ledger
        self._interval_s = 1 / rate
        self._patience_ms = round(patience_s * 1_000)
        self._next = time.monotonic()
        self._is_over = is_over
        self._go = go

    async def post_all(self, webhooks: Iterable[Webhook]) -> None:
        connection = _Connection()
        try:
            for webhook in webhooks:
                await self._turn()
                if self._is_over():
                    return
                while not await self._post(connection, webhook):
                    await asyncio.sleep(_PAUSE_S)
        finally:
            connection.close()

    async def _turn(self) -> None:
        """Turns that were missed while the receiver was away are not made up for all at once."""
        if self._go is not None:
            await self._go.wait()
        now = time.monotonic()
        self._next = max(self._next, now - 1.0) + self._interval_s
        if self._next > now:
            await asyncio.sleep(self._next - now)

    async def _post(self, connection: "_Connection", webhook: Webhook) -> bool:
        """Whether it was accepted."""
        target = self._targets[webhook.source]
        body = webhook.body(now_ms() + self._patience_ms)
        self._ledger.sending(webhook.number)
        request = request_of(target, webhook, body)
        try:
            async with asyncio.timeout(ANSWER_S):
                status, answer = await connection.exchange(str(target.hostname), int(target.port or 80), request)
        except (OSError, EOFError, TimeoutError) as error:
            connection.close()
            self._ledger.failed(webhook.number, error)
            return False
        request_id = str(json.loads(answer)["request_id"]) if status == 202 else ""
        self._ledger.answered(webhook.number, status, request_id)
        if status not in {202, 429, 503}:
            raise _Refused(f"webhook {webhook.number} of {len(body)} bytes: {status} {answer[:200]!r}")
        return status == 202


def request_of(target: SplitResult, webhook: Webhook, body: bytes) -> bytes:
    """The post of a webhook."""
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
        f"webhook-id: {webhook.delivery_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    return head + body


class _Connection:
    """HTTP/1.1 on a connection that is kept, one exchange at a time; opened again after `close`."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, host: str, port: int, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Errors: `OSError`, `EOFError`; the connection must be closed then."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(host, port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                self._streams[1].close()
        self._streams = None
