"""Ids: of requests, made or derived where the webhook comes in, and of messages, always derived (DESIGN section 6)."""

import struct
import uuid
from hashlib import sha256
from typing import Final

import uuid_utils

from hookmill.records import Record

_SCHEME: Final = "hookmill-1"
"""Version of the derivation; changing it changes every id, so it never changes within a major version."""

_MAX_KEY_BYTES: Final = 256
"""Ours: ids of providers have 10 to 70 characters."""

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]
_UUID_CONTENT: Final = (1 << 128) - 1 ^ (0xF << 76 | 0b11 << 62)
_UUID_VERSION_8: Final = 8 << 76 | 0b10 << 62
_TWO_WORDS: Final = struct.Struct(">QQ").unpack_from


def new_request_id() -> str:
    """A UUIDv7: unique, and ordered by time of creation."""
    return str(uuid_utils.uuid7())


def place_request_id(record: Record) -> str:
    """Of a record whose producer gave none: its place and its time, the same however often it is read.

    The place alone would not do: a topic that is created anew has the same places again, and what sinks know by these
    ids they take for repetitions.
    """
    return f"{record.topic}:{record.partition}:{record.offset}:{record.timestamp_ms}"


def derived_request_id(source: str, delivery_id: str) -> str:
    """A UUIDv8 (RFC 9562, 5.8) of SHA-256: the same whenever the provider of the source sends the same delivery."""
    digest = sha256(f"{_SCHEME}\x00delivery\x00{source}\x00{delivery_id}".encode()).digest()
    number = int.from_bytes(digest[:16])
    return str(uuid.UUID(int=number & _UUID_CONTENT | _UUID_VERSION_8))


def ordering_key(source: str, value: str) -> bytes:
    """The key of a webhook whose source is ordered: the same for equal values, another one for every source.

    Long values are hashed: what a sender puts there is no measure for keys.
    """
    named = f"{source}\x00{value}".encode("utf-8", "surrogateescape")
    return named if len(named) <= _MAX_KEY_BYTES else f"{source}\x00\x00{sha256(named).hexdigest()}".encode()


def message_id(source: str, request_id: str, kind: str, index: int) -> str:
    """128 bits of SHA-256 in lower-case base32, 26 characters: the same for every repetition of the same work.

    `kind` is `event` or `object`, `index` counts the calls of that kind within the invocation from 0. Replays keep ids;
    the 0 at the end is from when they could have changed them.
    """
    return _hashed(f"{_SCHEME}\x00{source}\x00{request_id}\x00{kind}\x00{index}\x000")


def chosen_message_id(source: str, chosen: str) -> str:
    """The id of a message whose function set `messageId`: namespaced by source, as long as a derived one."""
    return _hashed(f"{_SCHEME}\x00chosen\x00{source}\x00{chosen}")


def _hashed(text: str) -> str:
    """The first 128 bits of the text's hash as base32 of RFC 4648 in lower case, without padding.

    Every message has an id: `base64.b32encode` takes 4.3 us for it, this 0.8. Pairs of characters are 10 bits each; the
    halves of 60 bits are the largest numbers that Python shifts quickly.
    """
    first, last = _TWO_WORDS(sha256(text.encode()).digest())
    high, low = first >> 4, (first & 15) << 56 | last >> 8
    return (
        f"{_PAIRS[high >> 50]}{_PAIRS[high >> 40 & 1023]}{_PAIRS[high >> 30 & 1023]}"
        f"{_PAIRS[high >> 20 & 1023]}{_PAIRS[high >> 10 & 1023]}{_PAIRS[high & 1023]}"
        f"{_PAIRS[low >> 50]}{_PAIRS[low >> 40 & 1023]}{_PAIRS[low >> 30 & 1023]}"
        f"{_PAIRS[low >> 20 & 1023]}{_PAIRS[low >> 10 & 1023]}{_PAIRS[low & 1023]}"
        f"{_PAIRS[last << 2 & 1023]}"
    )
