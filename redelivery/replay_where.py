"""The conditions of `hookmill replay --where`: what a webhook must say to be taken."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from hookmill import headers
from hookmill.codec import HttpRequest, JsonValue, decode_http
from hookmill.errors import ConfigError
from hookmill.records import Record

_CONDITION: Final = re.compile(
    r"(?:(?P<pointer>(?:/(?:[^/~=!]|!(?!=)|~[01])*)+)|header\.(?P<header>[!#$%&'*+.^_`|~0-9A-Za-z-]+?)|query\.(?P<query>[^=]+?))"
    r"(?P<operator>!?=)(?P<value>.*)",
    re.DOTALL,
)
_NO_CALL: Final = HttpRequest("", "", [])


class Condition(NamedTuple):
    """One of them: `find` gives the values at the place that it names, usually one; none of them is `None`."""

    find: Callable[[HttpRequest, bytes], Sequence[str]]
    value: str
    is_equal: bool

    def holds(self, call: HttpRequest, body: bytes) -> bool:
        """One of the values is the wanted one; for `!=`, none is."""
        return (self.value in self.find(call, body)) == self.is_equal


def parse_condition(text: str) -> Condition:
    """`/json/pointer=value`, `header.NAME=value`, `query.NAME=value`, or the same with `!=`.

    A pointer follows RFC 6901 and cannot go through keys with `=` in them. Numbers, true, false and null are compared
    with their JSON text, strings with their characters, lists and objects never. Errors: `ConfigError`.
    """
    parsed = _CONDITION.fullmatch(text)
    if parsed is None:
        raise ConfigError(
            f'"{text[:100]}" is no condition: write /json/pointer=value, header.NAME=value or query.NAME=value, '
            "or the same with !=."
        )
    return Condition(_finder(parsed), parsed["value"], parsed["operator"] == "=")


def all_hold(conditions: Sequence[Condition], record: Record) -> bool:
    """Every condition holds for the webhook of the record. One that nobody can read has no values anywhere."""
    if not conditions:
        return True
    try:
        call = decode_http(headers.header(record.headers, headers.HTTP) or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        call = _NO_CALL
    return all(condition.holds(call, record.value or b"") for condition in conditions)


def _finder(parsed: re.Match[str]) -> Callable[[HttpRequest, bytes], Sequence[str]]:
    if (header := parsed["header"]) is not None:
        name = header.lower()
        return lambda call, body: [value for each, value in call.headers if each.lower() == name]
    if (parameter := parsed["query"]) is not None:
        return lambda call, body: [value for each, value in _query(call.url) if each == parameter]
    steps = [step.replace("~1", "/").replace("~0", "~") for step in parsed["pointer"].split("/")[1:]]
    return lambda call, body: _at(steps, body)


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True)


def _at(steps: Sequence[str], body: bytes) -> Sequence[str]:
    try:
        # Numbers stay as they were written: 1.0 is not 1, and no digit is lost.
        value: JsonValue = json.loads(body, parse_int=_Digits, parse_float=_Digits, parse_constant=_Digits)
        for step in steps:
            value = value[int(step)] if isinstance(value, list) and step.isdecimal() else value[step]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    if isinstance(value, dict | list):
        return ()
    return (value if isinstance(value, str) else json.dumps(value),)


class _Digits(str):
    """A number as it was written."""

    __slots__ = ()
