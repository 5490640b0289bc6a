"""Records of webhooks: the exact body, and in the headers who it is for and how it was called."""

from typing import Final

from aiohttp.typedefs import RawHeaders

from hookmill import headers as h
from hookmill.codec import HttpRequest, encode
from hookmill.ids import ordering_key
from hookmill.records import NewRecord
from hookmill.selector import select
from ingest import metrics
from ingest.doors import TOKEN_HEADER, Door
from ingest.identity import Identities

_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", TOKEN_HEADER.lower()})

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Of this connection, not of the webhook (RFC 9110, 7.6.1)."""

_DROPPED: Final = _CREDENTIALS | _HOP_BY_HOP
_MAX_KNOWN_NAMES: Final = 1_024
_FORMAT: Final = (h.FORMAT, h.FORMAT_VERSION)
_FIRST_DELIVERY: Final = (h.DELIVERY_COUNT, b"1")


class _HeaderNames(dict[bytes, str]):
    """Names as sent, decoded once; empty for those that are not kept. Bounded, for senders make up names."""

    def __missing__(self, raw_name: bytes) -> str:
        name = raw_name.decode("utf-8", "replace")
        kept = "" if name.lower() in _DROPPED else name
        if len(self) < _MAX_KNOWN_NAMES:
            self[raw_name] = kept
        return kept


_names: Final = _HeaderNames()


def webhook_record(
    identities: Identities,
    method: str,
    raw_headers: RawHeaders,
    door: Door,
    base_url: str,
    body: bytes,
    now_us: int,
) -> tuple[str, NewRecord]:
    """The request id and the record. `base_url` is scheme and host, without a slash at the end."""
    kept = _kept_headers(raw_headers)
    request_id, received_at_us = identities.of(door, kept, body, now_us)
    called = encode(HttpRequest(method, _printable(base_url + door.target), kept))
    source = door.source.id.encode()
    headers = (
        _FORMAT,
        (h.REQUEST_ID, request_id.encode()),
        (h.SOURCE, source),
        (h.RECEIVED_AT, b"%d" % received_at_us),
        _FIRST_DELIVERY,
        (h.HTTP, called),
    )
    return request_id, NewRecord(body, _ordering_key(door, kept, body), headers)


def _ordering_key(door: Door, kept: list[tuple[str, str]], body: bytes) -> bytes | None:
    """The record's key, so that what has to stay in order is on one partition; `None`: it may go anywhere."""
    selector = door.source.order_by
    if selector is None:
        return None
    value = select(selector, kept, door.target, body)
    if value is None:
        metrics.count_without_ordering_key(door.source.id)
        return None
    return ordering_key(door.source.id, value)


def _kept_headers(raw_headers: RawHeaders) -> list[tuple[str, str]]:
    try:
        return [(name, value.decode()) for raw_name, value in raw_headers if (name := _names[raw_name])]
    except UnicodeDecodeError:
        readable = [(raw_name, value.decode("utf-8", "replace")) for raw_name, value in raw_headers]
        return [(name, value) for raw_name, value in readable if (name := _names[raw_name])]


def _printable(url: str) -> str:
    """The URL with bytes that are not UTF-8, which aiohttp gives as surrogates, replaced: JSON cannot hold those."""
    return url if url.isascii() else url.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
