"""JSON that crosses a stage: shapes of the `http` header and of the values on `events`, `objects` and `invocations`."""

from typing import Any, Final

import msgspec

JsonValue = Any
"""User JSON: whatever the function sent. The only `Any` we ship."""


class HttpRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a webhook was called: the `http` header of a `webhooks` record.

    `headers` is a list of [name, value] in the order of arrival, credentials removed; values that are not UTF-8 hold
    surrogate escapes replaced. `url` is absolute, as the sender called it, with the token removed.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    remote: str | None = None


class ObjectWrite(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One object write: the value of an `objects` record.

    `version` orders writes of one property: [received at in epoch microseconds, partition, offset, generation, index];
    compared left to right, the greater one wins whatever the order of arrival.

    `deleted`, absent unless true: the object ends with this write, which has no properties. A reader from before the
    field was there sees a write that sets nothing.
    """

    collection: str
    id: str
    version: tuple[int, int, int, int, int]
    message_id: str
    received_at: str
    properties: dict[str, JsonValue] = {}
    deleted: bool = False


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """A line the function printed: level (`debug`, `info`, `warn`, `error`), text, milliseconds since its start."""

    level: str
    text: str
    at_ms: float


class FunctionError(msgspec.Struct, frozen=True, rename={"kind": "class"}, omit_defaults=True):
    """An error of user code. `kind` is the class name, `line` the line in the user's file, 1-based; `stack` <= 4 KB.

    `column` (1-based) and `source_line`, the line itself, are those of a syntax error.
    """

    kind: str
    message: str
    line: int | None = None
    stack: str = ""
    column: int | None = None
    source_line: str = ""


class Fetches(msgspec.Struct, frozen=True, omit_defaults=True):
    """The calls that an invocation made to other hosts: how many, and bytes of bodies both ways."""

    count: int = 0
    bytes: int = 0


class InvocationReport(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The outcome of one invocation: the value of an `invocations` record."""

    request_id: str
    source: str
    function_version: str
    status: str
    duration_ms: float
    delivery_count: int
    received_at: int
    events: int
    objects: int
    next: str
    """What became of the webhook: `delivered`, `retry` (another delivery after `retry_in_s`), `dropped` or `dead`."""
    error: FunctionError | None = None
    logs: list[LogLine] = []
    cpu_ms: float | None = None
    """Time on the processor; absent where the runner does not tell it."""
    retry_in_s: float | None = None
    """Absent unless `next` is `retry`."""
    fetches: Fetches | None = None


_encoder: Final = msgspec.json.Encoder()
_http: Final = msgspec.json.Decoder(HttpRequest)
_object: Final = msgspec.json.Decoder(ObjectWrite)
_report: Final = msgspec.json.Decoder(InvocationReport)


def encode(value: msgspec.Struct | dict[str, JsonValue] | list[JsonValue]) -> bytes:
    """Compact JSON, UTF-8."""
    return _encoder.encode(value)


def decode_http(value: bytes) -> HttpRequest:
    """Errors: `msgspec.DecodeError` (malformed) or its subclass `ValidationError` (wrong shape)."""
    return _http.decode(value)


def decode_object(value: bytes) -> ObjectWrite:
    """Errors: as `decode_http`."""
    return _object.decode(value)


def decode_report(value: bytes) -> InvocationReport:
    """Errors: as `decode_http`."""
    return _report.decode(value)
