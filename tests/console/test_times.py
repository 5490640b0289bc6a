"""Times on the command line."""

import pytest

from console.times import parse_range, parse_time, show_time
from hookmill.errors import ConfigError

NOW_MS = 1_795_521_600_000  # 2026-11-24T12:00:00Z


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("now", NOW_MS),
        ("90m", NOW_MS - 5_400_000),
        ("36h", NOW_MS - 129_600_000),
        ("7d", NOW_MS - 604_800_000),
        ("2026-11-24", NOW_MS - 43_200_000),
        ("2026-11-24T12:00:00", NOW_MS),
        ("2026-11-24T12:00:00Z", NOW_MS),
        ("2026-11-24T13:30:00.500+01:30", NOW_MS + 500),
    ],
)
def test_a_time_is_now_an_age_or_iso_8601_in_utc_unless_it_says_otherwise(text: str, expected_ms: int) -> None:
    assert parse_time(text, NOW_MS) == expected_ms


@pytest.mark.parametrize("text", ["", "yesterday", "5", "-3h", "3y", "2026-13-01", "12:00", "٣h"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time: write now, an age such as 90m"):
        parse_time(text, NOW_MS)


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("now", "now")])
def test_a_range_that_is_empty_is_refused(since: str, until: str) -> None:
    with pytest.raises(ConfigError, match="The range is empty"):
        parse_range(since, until, NOW_MS)


def test_absurd_times_are_shown_as_numbers() -> None:
    assert show_time(NOW_MS) == "2026-11-24T12:00:00Z"
    assert show_time(10**17) == "100000000000000000"
