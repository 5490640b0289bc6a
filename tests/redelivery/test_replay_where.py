"""The conditions of `hookmill replay --where`."""

import pytest

from hookmill.codec import HttpRequest, encode
from hookmill.errors import ConfigError
from hookmill.records import Record
from redelivery.replay_where import all_hold, parse_condition

CALL = HttpRequest("POST", "https://in.example/v1?kind=a&kind=b&empty=#x", [("X-Shop", "berlin"), ("x-shop", "paris")])
BODY = (
    b'{"a": {"b/c": [1, {"d": "x"}], "t": true, "n": null, "f": 1.50, "big": 12345678901234567890}, "e=f": 1, "": "z"}'
)


def webhook(body: bytes = BODY, http: bytes = encode(CALL)) -> Record:
    return Record("webhooks", 0, 0, 0, None, body, (("http", http),))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("/a/b~1c/0=1", True),
        ("/a/b~1c/1/d=x", True),
        ("/a/b~1c/1/d=y", False),
        ("/a/b~1c/1/d!=y", True),
        ("/a/b~1c/7=1", False),
        ("/a/b~1c/x=1", False),
        ("/a/t=true", True),
        ("/a/n=null", True),
        ("/a/f=1.50", True),
        ("/a/f=1.5", False),
        ("/a/big=12345678901234567890", True),
        ("/=z", True),
        ("/a/t==true", False),
        ("/a=", False),
        ("/nothing=1", False),
        ("/nothing!=1", True),
        ("header.x-shop=berlin", True),
        ("header.X-SHOP=paris", True),
        ("header.x-shop!=paris", False),
        ("header.x-none!=1", True),
        ("query.kind=b", True),
        ("query.kind=c", False),
        ("query.empty=", True),
        ("query.none=", False),
    ],
)
def test_a_condition_looks_where_it_says(condition: str, holds: bool) -> None:
    assert parse_condition(condition).holds(CALL, BODY) is holds


@pytest.mark.parametrize("text", ["", "a=1", "/a", "header=1", "header.=1", "query.=1", "body.a=1", "/a~2=1", "=1"])
def test_what_is_no_condition_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"/json/pointer=value"):
        parse_condition(text)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 100_000, b"17", b'"text"'])
def test_a_body_that_is_no_json_has_no_values(body: bytes) -> None:
    assert not all_hold([parse_condition("/a=1")], webhook(body))
    assert all_hold([parse_condition("/a!=1"), parse_condition("query.kind=a")], webhook(body))


def test_all_conditions_must_hold() -> None:
    both = [parse_condition("/a/t=true"), parse_condition("query.kind=c")]

    assert not all_hold(both, webhook())
    assert all_hold(both[:1], webhook())


def test_a_webhook_that_nobody_can_read_has_no_headers_and_is_taken_without_conditions() -> None:
    assert not all_hold([parse_condition("header.x-shop=berlin")], webhook(http=b"{"))
    assert all_hold([], webhook(http=b"{"))
