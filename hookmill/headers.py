"""Record headers: their names, and how their values are read (DESIGN section 4)."""

from collections.abc import Collection
from typing import Final

from hookmill.records import Headers

FORMAT: Final = "format"
FORMAT_VERSION: Final = b"1"
REQUEST_ID: Final = "request-id"
SOURCE: Final = "source"
RECEIVED_AT: Final = "received-at"
"""Epoch microseconds, decimal."""
HTTP: Final = "http"
"""JSON of `hookmill.codec.HttpRequest`."""
DELIVERY_COUNT: Final = "delivery-count"
STAGE: Final = "stage"
NOT_BEFORE: Final = "not-before"
ORIGIN: Final = "origin"
FIRST_FAILED_AT: Final = "first-failed-at"
LAST_FAILED_AT: Final = "last-failed-at"
ERROR_CLASS: Final = "error-class"
ERROR: Final = "error"
FUNCTION: Final = "function"
FUNCTION_VERSION: Final = "function-version"
MESSAGE_ID: Final = "message-id"
KEY: Final = "key"
"""On the slow lane and among the parked, which have keys of their own: the key that the record had before, if any."""
CRASHES: Final = "crashes"
"""How often the function stage ended with an error of its own while the record was in work; absent means never."""
PARKED: Final = "parked"
"""On the topic of parked webhooks: a `hookmill.parked.Why`."""
HOLDS_ON: Final = "holds-on"
"""On a dead letter: the partition of parked webhooks where those of its key wait until it is settled."""
REPLAY_ID: Final = "replay-id"
"""Who asked for this delivery again; the other headers of a replay mean nothing without it."""
REPLAY_VERSION: Final = "replay-version"
"""The version of the function that has to run; absent: the one that is deployed."""
REPLAY_TO: Final = "replay-to"
"""The one sink that gets what comes of it; absent: all."""
GENERATION: Final = "generation"
"""Which writes of the same webhook win in a sink: `REPAIR_GENERATION`, or a recompute's number; absent means 0."""
REPAIR_GENERATION: Final = -1
"""Below every other: what a repair makes only appears where nothing is."""
REDRIVE_OF: Final = "redrive-of"
"""`<partition>-<offset>` of the dead letter."""
SETTLES: Final = "settles"
"""On the dead-letter topic: the letter that is settled, as above."""
SETTLED: Final = "settled"
"""How: `redriven` or `dropped`."""

_MAX_ERROR_BYTES: Final = 1_024
_MAX_DELIVERY_COUNT: Final = 1_000
"""A guard against forged headers: no schedule has more rungs."""


def header(headers: Headers, name: str) -> bytes | None:
    """Value of the header, the last one if a foreign writer repeated it; `None` when absent."""
    for candidate, value in reversed(headers):
        if candidate == name:
            return value
    return None


def text_header(headers: Headers, name: str, default: str = "") -> str:
    """Value as text; bytes that are not UTF-8 are replaced."""
    return as_text(header(headers, name), default)


def int_header(headers: Headers, name: str, default: int) -> int:
    """Value as an integer; `default` when missing, malformed, negative or longer than 18 digits."""
    return as_int(header(headers, name), default)


def delivery_count(headers: Headers) -> int:
    """Number of this delivery, 1 for the first; missing, malformed or absurd counts as 1 (DESIGN section 4)."""
    return as_delivery_count(header(headers, DELIVERY_COUNT))


def as_text(value: bytes | None, default: str = "") -> str:
    """As `text_header`, of a value at hand."""
    return default if value is None else value.decode("utf-8", "replace")


def as_int(value: bytes | None, default: int) -> int:
    """As `int_header`, of a value at hand."""
    if value is None or not value.isdigit() or len(value) > 18:
        return default
    return int(value)


def generation(headers: Headers) -> int:
    """The generation that made the record, 0 for live traffic and for anything that is no generation."""
    return as_generation(header(headers, GENERATION))


def as_generation(value: bytes | None) -> int:
    """As `generation`, of a value at hand."""
    return REPAIR_GENERATION if value == b"%d" % REPAIR_GENERATION else as_int(value, 0)


def as_delivery_count(value: bytes | None) -> int:
    """As `delivery_count`, of a value at hand."""
    if value is None:
        return 1
    count = as_int(value, 1)
    return count if 1 <= count <= _MAX_DELIVERY_COUNT else 1


def error_text(text: str) -> bytes:
    """A value of `ERROR`: at most 1 KiB (DESIGN section 4), whole characters."""
    return cut_text(text, _MAX_ERROR_BYTES)


def cut_text(text: str, limit_bytes: int) -> bytes:
    """At most so many bytes, whole characters."""
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore").encode()


def without_headers(headers: Headers, names: Collection[str]) -> Headers:
    """The headers but for those of these names."""
    return tuple(pair for pair in headers if pair[0] not in names)


def with_headers(headers: Headers, changes: dict[str, bytes]) -> Headers:
    """The headers with `changes` replacing or following what was there; unknown ones are carried through."""
    return without_headers(headers, changes) + tuple(changes.items())
