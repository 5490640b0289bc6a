"""Selectors: the option of a source that says where in a webhook a value is, such as the provider's delivery id."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

import msgspec

PATTERN: Final = r"^(header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|query:.+|(/([^/~]|~[01])*)+)$"
"""`header:NAME`, `query:NAME` or a JSON pointer (RFC 6901) into the body."""

_HEADER: Final = "header:"
_QUERY: Final = "query:"

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_LIST: Final = b"["
_QUOTE: Final = b'"'
_NUMBER: Final = b"-0123456789"


def select(selector: str, headers: Iterable[tuple[str, str]], target: str, body: bytes) -> str | None:
    """The value that the selector, which matches `PATTERN`, finds: the first of several. `None` for none, or an empty
    one.

    `target` is path and query, or a URL. Of JSON, strings count, and numbers by their digits as they were sent.
    """
    if selector.startswith(_HEADER):
        name = selector.removeprefix(_HEADER).lower()
        found = next((value for each, value in headers if each.lower() == name), None)
    elif selector.startswith(_QUERY):
        name = selector.removeprefix(_QUERY)
        found = next((value for each, value in parse_qsl(target.partition("?")[2]) if each == name), None)
    else:
        found = _at(_steps(selector), body)
    return found or None


@lru_cache(maxsize=1_024)
def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _at(steps: tuple[str, ...], body: bytes) -> str | None:
    """Goes down level by level and decodes no other: a large body costs one look at its bytes for each step."""
    raw: bytes | msgspec.Raw = body
    try:
        for step in steps:
            if bytes(raw).lstrip()[:1] == _LIST:
                raw = _items(raw)[int(step)] if step.isascii() and step.isdigit() else msgspec.Raw()
            else:
                raw = _members(raw)[step]
        token = bytes(raw)
        return _text(token) if token[:1] == _QUOTE else token.decode() if token[:1] in _NUMBER else None
    except (msgspec.DecodeError, ValueError, RecursionError, LookupError):
        return None
