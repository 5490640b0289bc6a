"""A receiver for tests, senders that hold or fail, and a client that writes the bytes it is told to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from hookmill.config import IngestConfig
from hookmill.log import RecordSender
from hookmill.records import NewRecord, Record
from hookmill.registry import Registry, Source, entity_record, removal_record, token_hash
from ingest.receiver import Receiver

TOPIC = "hookmill.webhooks"
SOURCE = "drift"
TOKEN = "b3BlbiBzZXNhbWU_0123456789"
ADDRESS = f"/?b={TOKEN}"
ANSWER_DEADLINE_S = 40.0


class MemorySender:
    """Takes every record at once, and keeps it; what the tests need of a log when they are about HTTP."""

    def __init__(self) -> None:
        self.batches: list[list[NewRecord]] = []

    @property
    def records(self) -> list[NewRecord]:
        return [record for batch in self.batches for record in batch]

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        self.batches.append(list(records))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class HoldingSender(MemorySender):
    """Makes nothing durable before `release` is set; `asked` is set while a batch waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        self.asked.set()
        await self.release.wait()
        await super().send(topic, records)


class FailingSender(MemorySender):
    """Raises `error` until it is set to `None`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        if self.error is not None:
            raise self.error
        await super().send(topic, records)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json")
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, to_head: bool = False) -> Answer:
        """The next answer."""
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status_line, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = 0 if to_head else int(headers.get("content-length", "0"))
            body = await self._reader.readexactly(size)
            return Answer(int(status_line.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        """The answer to these bytes."""
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """Everything until the receiver closes the connection, which it must do."""
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            with contextlib.suppress(ConnectionResetError):
                return await self._reader.read()
            return b""

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def registry_of(*sources: Source) -> Registry:
    registry = Registry()
    for source in sources:
        publish(registry, source)
    return registry


def publish(registry: Registry, source: Source) -> None:
    record = entity_record(source)
    registry.apply(Record("registry", 0, 0, 0, record.key, record.value, record.headers))


def withdraw(registry: Registry, source_id: str) -> None:
    record = removal_record(f"source/{source_id}".encode())
    registry.apply(Record("registry", 0, 0, 0, record.key, record.value, record.headers))


def source(source_id: str = SOURCE, token: str = TOKEN, max_body_bytes: int | None = None) -> Source:
    return Source(source_id, source_id, (token_hash(token),), "0123456789abcdef", max_body_bytes=max_body_bytes)


@contextlib.asynccontextmanager
async def receiving(sender: RecordSender, registry: Registry | None = None, **config: Any) -> AsyncIterator[Receiver]:
    """A receiver on a free port of loopback, with one source unless `registry` says otherwise."""
    receiver = Receiver(IngestConfig(port=0, **config), registry or registry_of(source()), sender, TOPIC)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


@contextlib.asynccontextmanager
async def connected(receiver: Receiver) -> AsyncIterator[Client]:
    """A connection to the receiver."""
    address = urlsplit(receiver.url)
    client = Client(*await asyncio.open_connection(address.hostname, address.port))
    try:
        yield client
    finally:
        await client.close()


def post(target: str = ADDRESS, body: bytes = b"{}", *lines: str) -> bytes:
    """A request with Content-Length and the given further header lines."""
    return request("POST", target, f"Content-Length: {len(body)}", *lines) + body


def chunked_post(target: str, *chunks: bytes) -> bytes:
    """A complete request in chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request("POST", target, "Transfer-Encoding: chunked") + framed + b"0\r\n\r\n"


def request(method: str, target: str, *lines: str) -> bytes:
    """The head of a request."""
    head = [f"{method} {target} HTTP/1.1", "Host: hooks.example", *lines]
    return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape")
