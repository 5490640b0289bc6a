"""JSON in and out of Python functions: as JavaScript has it, and the same with orjson and without."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from importlib.util import find_spec
from math import inf, nan
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from processors.runtimes.python.hookmill_runtime import codec

CET = timezone(timedelta(hours=1))


class Plan(Enum):
    PRO = "pro"


@dataclass
class Deal:
    id: int


@pytest.fixture(params=["orjson", "portable"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "loads", codec.loads)
    monkeypatch.setattr(codec, "dumps", codec.dumps)
    if request.param == "orjson":
        found = find_spec("orjson")
        assert found is not None
        assert found.origin is not None
        monkeypatch.setattr(sys, "path", sys.path.copy())
        codec.use_orjson(str(Path(found.origin).parent.parent))


WRITTEN: list[tuple[Any, str]] = [
    ({"b": [1, 2.5, None, True], "a": ()}, '{"b":[1,2.5,null,true],"a":[]}'),
    ({"é": "\u2028🎉\x7f"}, '{"é":"\u2028🎉\x7f"}'),
    ({"\udc00": "🎉\ud83c!"}, '{"\ufffd":"🎉\ufffd!"}'),
    ([nan, inf, -inf], "[null,null,null]"),
    (datetime(2020, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC), '"2020-01-02T03:04:05.678Z"'),
    (datetime(2020, 1, 2, 3, 4, 5, tzinfo=CET), '"2020-01-02T02:04:05.000Z"'),
    (datetime(2020, 1, 2, 3, 4, 5), '"2020-01-02T03:04:05.000Z"'),  # noqa: DTZ001  # a time without a zone is UTC
    (date(2020, 1, 2), '"2020-01-02"'),
    (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (Plan.PRO, '"pro"'),
    (2**64 - 1, "18446744073709551615"),
    (-(2**63), "-9223372036854775808"),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_values_are_written_as_json_stringify_does(value: Any, text: str) -> None:
    assert codec.dumps(value).decode() == text


@pytest.mark.parametrize("content", [b"\xff{", b"[NaN]", b"[1,]", b"", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}"])
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        codec.loads(content)


def circle() -> dict[str, Any]:
    value: dict[str, Any] = {"a": {}}
    value["a"]["b"] = [value]
    return value


def tower(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: {"a": {"b c": [1, {2}]}}, 'a["b c"][1] is of type set, which JSON has no form for'),
    (lambda: {"price": Decimal("1.5")}, "price is of type Decimal, which JSON has no form for"),
    (lambda: {"a": object()}, "a is of type object, which JSON has no form for"),
    (lambda: {"a": time(1)}, "a is of type time, which JSON has no form for"),
    (lambda: {"a": Deal(1)}, "a is of type Deal, which JSON has no form for"),
    (lambda: {"a": b"x"}, "a is of type bytes, which JSON has no form for"),
    (lambda: {"a": [2**64]}, "a[0] is an integer of more than 64 bits"),
    (lambda: {"a": {1: "x"}}, "a has a key of type int; keys of JSON are strings"),
    (circle, "a.b[0] refers back to what it is in"),
    (lambda: tower(300), "it is nested deeper than 254 levels"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_json_has_no_form_for_is_named_by_its_path(value: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        codec.dumps(value())


def test_nesting_up_to_the_limit_is_written() -> None:
    assert codec.dumps(tower(254)).count(b"[") == 254


def test_nesting_over_the_limit_is_refused() -> None:
    with pytest.raises(TypeError):
        codec.dumps(tower(255))
