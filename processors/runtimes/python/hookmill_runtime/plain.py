"""User values as JSON has them, and where one has something that JSON has no form for.

Same rules as `JSON.stringify` where Python has the like: a date is its text in UTC with milliseconds, NaN is null.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from math import isfinite
from typing import Any, Final
from uuid import UUID

MAX_LEVELS: Final = 254
"""Of nesting: what orjson takes."""


class NotJson(TypeError):
    """The text says where, from the value at the root, and why."""


def date_text(value: object) -> str:
    """ISO 8601 as a `Date` of JavaScript has it: UTC, milliseconds, `Z`. Without a zone it is UTC, as the runner is.

    Errors: `TypeError` for what is no date.
    """
    if isinstance(value, datetime):
        instant = value.astimezone(UTC) if value.tzinfo else value
        return f"{instant.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no date")


def whole(text: str) -> str:
    """The text as UTF-8 can have it: half a surrogate pair becomes U+FFFD, as in JavaScript functions."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def to_plain(value: Any) -> Any:
    """The value made of dicts, lists, strings, numbers, booleans and None only. Errors: `NotJson`."""
    return _plain(value, _Place())


@dataclass(frozen=True, slots=True)
class _Place:
    path: str = ""
    inside: tuple[int, ...] = ()
    """Identities of the containers around."""

    def key(self, name: str) -> str:
        if not name.isidentifier():
            return f"{self.path}[{json.dumps(name, ensure_ascii=False)}]"
        return f"{self.path}.{name}" if self.path else name

    def flaw(self, why: str) -> NotJson:
        return NotJson(f"{self.path or 'it'} {why}")


def _plain(value: Any, place: _Place) -> Any:
    match value:
        case None | bool():
            return value
        case Enum():
            return _plain(value.value, place)
        case str():
            return whole(value)
        case int():
            if not -(1 << 63) <= value < 1 << 64:
                raise place.flaw("is an integer of more than 64 bits")
            return int(value)
        case float():
            return value if isfinite(value) else None
        case date():
            return date_text(value)
        case UUID():
            return str(value)
        case dict() | list() | tuple():
            return _plain_container(value, place)
        case _:
            raise place.flaw(f"is of type {type(value).__name__}, which JSON has no form for")


def _plain_container(value: Any, place: _Place) -> Any:
    if id(value) in place.inside:
        raise place.flaw("refers back to what it is in")
    if len(place.inside) >= MAX_LEVELS:
        raise NotJson(f"it is nested deeper than {MAX_LEVELS} levels")
    inside = (*place.inside, id(value))
    if not isinstance(value, dict):
        return [_plain(item, _Place(f"{place.path}[{index}]", inside)) for index, item in enumerate(value)]
    plain = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise place.flaw(f"has a key of type {type(name).__name__}; keys of JSON are strings")
        plain[whole(name)] = _plain(item, _Place(place.key(name), inside))
    return plain
