"""Reading headers that anybody may have written."""

import pytest

from hookmill.headers import DELIVERY_COUNT, delivery_count, header, int_header, with_headers


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b"1", 1),
        (b"6", 6),
        (b"0", 1),
        (b"-1", 1),
        (b"999999", 1),
        (b"two", 1),
        (b"", 1),
        (b"9" * 64_000, 1),
        (b"\xff", 1),
    ],
)
def test_a_malformed_or_absurd_delivery_count_counts_as_the_first(value: bytes, count: int) -> None:
    assert delivery_count(((DELIVERY_COUNT, value),)) == count


def test_a_missing_delivery_count_is_the_first_delivery() -> None:
    assert delivery_count(()) == 1


def test_of_a_repeated_header_the_last_one_counts() -> None:
    assert header((("a", b"1"), ("a", b"2")), "a") == b"2"


def test_unknown_headers_are_carried_through() -> None:
    headers = (("foreign", b"kept"), ("stage", b"old"))

    assert with_headers(headers, {"stage": b"new"}) == (("foreign", b"kept"), ("stage", b"new"))


def test_a_number_that_is_none_is_the_default() -> None:
    assert int_header((("n", b"1e3"),), "n", 7) == 7
