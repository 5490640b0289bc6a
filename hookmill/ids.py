"""Ids: of requests, made once by the receiver, and of messages, always derived (DESIGN section 6)."""

from base64 import b32encode
from hashlib import sha256
from typing import Final

import uuid_utils

_SCHEME: Final = b"hookmill-1"
"""Version of the derivation; changing it changes every id, so it never changes within a major version."""


def new_request_id() -> str:
    """A UUIDv7: unique, and ordered by time of creation."""
    return str(uuid_utils.uuid7())


def message_id(source: str, request_id: str, kind: str, index: int, generation: int = 0) -> str:
    """128 bits of SHA-256 in lower-case base32, 26 characters: the same for every repetition of the same work.

    `kind` is `event` or `object`, `index` counts the calls of that kind within the invocation from 0, `generation` is 0
    but for a replay that asks for new ids.
    """
    parts = (_SCHEME, source.encode(), request_id.encode(), kind.encode(), b"%d" % index, b"%d" % generation)
    digest = sha256(b"\x00".join(parts)).digest()
    return b32encode(digest[:16]).rstrip(b"=").decode().lower()


def chosen_message_id(source: str, chosen: str) -> str:
    """The id of a message whose function set `messageId`: namespaced by source, as long as a derived one."""
    digest = sha256(b"\x00".join((_SCHEME, b"chosen", source.encode(), chosen.encode()))).digest()
    return b32encode(digest[:16]).rstrip(b"=").decode().lower()
