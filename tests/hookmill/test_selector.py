"""Selectors: what they find in a webhook."""

import re

import pytest

from hookmill.selector import PATTERN, select

HEADERS = [("X-GitHub-Delivery", "d-1"), ("x-twice", "first"), ("X-Twice", "second"), ("X-Empty", "")]
TARGET = "/?x=1&id=a%2Fb&id=other&empty="
BODY = b' {"data": {"list": ["zero", {"a/b": "slash", "a~b": 1.50}], "id": 123456789012345678901}, "": "no name", \
"no": null, "yes": true, "blank": ""} '


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ("header:x-github-delivery", "d-1"),
        ("header:X-TWICE", "first"),
        ("header:X-Empty", None),
        ("header:X-Missing", None),
        ("query:id", "a/b"),
        ("query:empty", None),
        ("query:missing", None),
        ("/data/list/0", "zero"),
        ("/data/list/1/a~1b", "slash"),
        ("/data/list/1/a~0b", "1.50"),
        ("/data/id", "123456789012345678901"),
        ("/", "no name"),
        ("/no", None),
        ("/yes", None),
        ("/blank", None),
        ("/data", None),
        ("/data/list/2", None),
        ("/data/list/-", None),
        ("/data/list/" + "9" * 5_000, None),
        ("/data/id/deeper", None),
        ("/missing/entirely", None),
    ],
)
def test_a_selector_finds_one_value_or_none(selector: str, value: str | None) -> None:
    assert re.search(PATTERN, selector)
    assert select(selector, HEADERS, TARGET, BODY) == value


@pytest.mark.parametrize("body", [b"", b"\xff", b"not JSON", b'{"id":', b'{"id": ' + b"[" * 100_000, b"[]", b'"text"'])
def test_a_body_that_holds_no_such_value_has_none(body: bytes) -> None:
    assert select("/id", [], "/", body) is None
