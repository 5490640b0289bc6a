"""Parts of a function stage for tests: a pool that answers by script, a sender that keeps, records as the receiver
makes them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import msgspec

from hookmill import codec, headers
from hookmill.codec import FunctionError, HttpRequest, InvocationReport
from hookmill.records import NewRecord, Record, Span, TopicPartition
from hookmill.registry import Function, Registry, Source, entity_record
from hookmill.topics import Topic, TopicNames
from processors.deferral import deferred
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.webhook import read_webhook

NAMES = TopicNames()
RECEIVED_AT_US = 1_700_000_000_123_456
RECEIVED_AT = "2023-11-14T22:13:20.123Z"

SHOP = Source(id="shop", name="Shop", token_hashes=(), function_version="v1", settings={"currency": "EUR"})
SHOP_CODE = Function(source="shop", version="v1", language="python", file_name="function.py", code="...")
SLOW = Source(id="slow", name="Slow", token_hashes=(), function_version="v9")
SLOW_CODE = Function(source="slow", version="v9", language="javascript", file_name="function.js", code="...")

Script = Callable[[Code, Invocation], Outcome]


def registry_of(*entities: Source | Function) -> Registry:
    """A registry that knows the entities."""
    registry = Registry()
    for entity in entities:
        record = entity_record(entity)
        registry.apply(Record("registry", 0, 0, 0, record.key, record.value, record.headers))
    return registry


def webhook_headers(source: str = "shop", request_id: str = "r-1", **changes: bytes | None) -> headers.Headers:
    """Headers as the receiver writes them; a change of `None` leaves one out, `_` stands for `-`."""
    http = HttpRequest("POST", "https://in.example/v1/webhooks", [("content-type", "application/json")])
    values: dict[str, bytes | None] = {
        headers.FORMAT: b"1",
        headers.REQUEST_ID: request_id.encode(),
        headers.SOURCE: source.encode(),
        headers.RECEIVED_AT: b"%d" % RECEIVED_AT_US,
        headers.HTTP: codec.encode(http),
        headers.DELIVERY_COUNT: b"1",
    }
    values.update({name.replace("_", "-"): value for name, value in changes.items()})
    return tuple((name, value) for name, value in values.items() if value is not None)


def webhook_record(
    offset: int = 0,
    *,
    source: str = "shop",
    request_id: str | None = None,
    value: bytes | None = b'{"n":1}',
    key: bytes | None = None,
    **changes: bytes | None,
) -> Record:
    """A record of `webhooks`, partition 2."""
    identity = request_id if request_id is not None else f"{source}-{offset}"
    return Record(
        NAMES.full(Topic.WEBHOOKS),
        2,
        offset,
        1_700_000_000_500,
        key,
        value,
        webhook_headers(source, identity, **changes),
    )


def slow_record(offset: int = 0, source: str = "shop") -> Record:
    """The same on the slow lane."""
    return on_slow_lane(webhook_record(offset, source=source))


def on_slow_lane(record: Record) -> Record:
    """The record as it comes from the slow lane."""
    sent = deferred(read_webhook(record))
    topic = NAMES.full(Topic.WEBHOOKS_SLOW)
    return Record(topic, 1, record.offset, 1_700_000_001_000, sent.key, sent.value, sent.headers)


def span_of(*records: Record) -> Span:
    """The records as one span."""
    return Span(TopicPartition(records[0].topic, records[0].partition), records)


def ok(events: Sequence[object] = (), objects: Sequence[object] = ()) -> Outcome:
    """An outcome with these messages."""
    return Outcome(Status.OK, 1.5, [raw(event) for event in events], [raw(write) for write in objects])


def failed(status: Status, kind: str = "TypeError", message: str = "x is not a function") -> Outcome:
    """An outcome without messages."""
    return Outcome(status, 1.5, error=FunctionError(kind, message))


def raw(value: object) -> msgspec.Raw:
    """The value as JSON text."""
    return msgspec.Raw(msgspec.json.encode(value))


class ScriptedPool:
    """A `RunnerPool` that answers each invocation by a script; `calls` is what it was asked to run."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.calls: list[tuple[Code, list[Invocation]]] = []

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        self.calls.append((code, list(invocations)))
        await asyncio.sleep(0)
        return [self._script(code, invocation) for invocation in invocations]

    async def check(self, code: Code) -> FunctionError | None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None


class KeepingSender:
    """A `RecordSender` that keeps what it gets; `failures` are raised first, one per call."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self._failures = list(failures)
        self.sent: dict[str, list[NewRecord]] = {}

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        await asyncio.sleep(0)
        if self._failures:
            raise self._failures.pop(0)
        self.sent.setdefault(topic, []).extend(records)

    def of(self, topic: Topic) -> list[NewRecord]:
        """What was sent to the topic."""
        return self.sent.get(NAMES.full(topic), [])

    def reports(self) -> list[InvocationReport]:
        """What was sent to `invocations`."""
        return [codec.decode_report(record.value or b"") for record in self.of(Topic.INVOCATIONS)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None
