"""Verdicts: what passes for what a file expects, and what the difference looks like."""

from pathlib import Path
from typing import Any

import pytest

from console.examples import Example, Expectation, Sample
from console.trial import Produced
from console.verdict import Mark, Verdict, expectation_of, judge
from hookmill.codec import FunctionError, InvocationReport

RECEIVED_AT = "2026-01-01T00:00:00.000Z"
TRACK = {
    "type": "track",
    "event": "Paid",
    "userId": "u",
    "messageId": "m",
    "timestamp": RECEIVED_AT,
    "receivedAt": RECEIVED_AT,
}
ROW = {
    "collection": "rows",
    "id": "1",
    "version": [1, 0, 0, 0, 0],
    "messageId": "m",
    "receivedAt": RECEIVED_AT,
    "properties": {"n": 1},
}


def produced(
    *events: dict[str, Any], status: str = "ok", error: FunctionError | None = None, objects: tuple[Any, ...] = ()
) -> Produced:
    report = InvocationReport("r", "shop", "v", status, 1.0, 1, 0, len(events), len(objects), "delivered", error)
    return Produced(report, events, objects)


def verdict(expect: dict[str, Any] | None, what_came: Produced) -> Verdict:
    parsed = None if expect is None else Expectation.model_validate(expect)
    return judge(Example(Path("x.json"), Sample(b""), {}, parsed), what_came)


def test_fields_that_the_pipeline_fills_in_need_not_be_expected() -> None:
    expect = {
        "events": [{"type": "track", "event": "Paid", "userId": "u"}],
        "objects": [{"collection": "rows", "id": "1", "properties": {"n": 1}}],
    }

    assert verdict(expect, produced(TRACK, objects=(ROW,))).mark is Mark.PASSED


@pytest.mark.parametrize("field", ["messageId", "timestamp", "receivedAt"])
def test_fields_that_the_pipeline_fills_in_are_compared_where_expected(field: str) -> None:
    expect = {"events": [{"type": "track", "event": "Paid", "userId": "u", field: TRACK[field]}]}
    other = {**TRACK, field: "other"}

    assert verdict(expect, produced(TRACK)).mark is Mark.PASSED
    assert verdict(expect, produced(other)).mark is Mark.FAILED


def test_what_is_not_expected_must_not_come() -> None:
    assert verdict({}, produced()).mark is Mark.PASSED
    assert verdict({}, produced(TRACK)).mark is Mark.FAILED
    assert verdict({}, produced(objects=(ROW,))).mark is Mark.FAILED


def test_a_difference_shows_both_sides() -> None:
    failed = verdict({"events": [{"type": "track", "event": "Sold", "userId": "u"}]}, produced(TRACK))

    assert [line for line in failed.diff if line[0] in "+-"] == [
        "--- expected",
        "+++ got",
        '-      "event": "Sold",',
        '+      "event": "Paid",',
    ]


def test_whole_numbers_are_equal_in_both_notations() -> None:
    event = {"type": "track", "properties": {"n": [150.0, {"m": 2}], "flag": True}}

    expected = {"type": "track", "properties": {"n": [150, {"m": 2.0}], "flag": True}}

    assert verdict({"events": [expected]}, produced(event)).mark is Mark.PASSED


def test_true_is_not_one() -> None:
    assert verdict({"events": [{"flag": 1}]}, produced({"flag": True})).mark is Mark.FAILED


def test_an_expected_error_needs_no_status() -> None:
    came = produced(status="rejected", error=FunctionError("EventNotSupported", "not this one"))

    assert verdict({"error": {"class": "EventNotSupported"}}, came).mark is Mark.PASSED
    assert verdict({"error": {"message": "not this one"}}, came).mark is Mark.PASSED
    assert verdict({"error": {"class": "TypeError"}}, came).mark is Mark.FAILED
    assert verdict({"error": {}}, produced()).mark is Mark.FAILED


def test_an_expected_status_needs_no_error() -> None:
    came = produced(status="rejected", error=FunctionError("EventNotSupported", "not this one"))

    assert verdict({"status": "rejected"}, came).mark is Mark.PASSED
    assert verdict({"status": "error"}, came).mark is Mark.FAILED


def test_an_error_that_nobody_expected_is_in_the_difference() -> None:
    failed = verdict({}, produced(status="error", error=FunctionError("TypeError", "x is no function")))

    assert '+    "class": "TypeError",' in failed.diff
    assert '+  "status": "error"' in failed.diff


def test_without_an_expectation_nothing_passes_or_fails() -> None:
    assert verdict(None, produced(TRACK)).mark is Mark.UNCHECKED


@pytest.mark.parametrize(
    "came",
    [
        produced(TRACK, objects=(ROW,)),
        produced({**TRACK, "timestamp": "2020-01-01T00:00:00.000Z"}),
        produced(status="error", error=FunctionError("TypeError", "x is no function", line=3)),
        produced(status="dropped"),
    ],
)
def test_an_expectation_made_of_what_came_passes(came: Produced) -> None:
    assert verdict(expectation_of(came, None), came).mark is Mark.PASSED


def test_a_new_expectation_leaves_out_what_changes_with_each_receipt() -> None:
    assert expectation_of(produced(TRACK, objects=(ROW,)), None) == {
        "events": [{"type": "track", "event": "Paid", "userId": "u"}],
        "objects": [{"collection": "rows", "id": "1", "properties": {"n": 1}}],
    }


def test_a_new_expectation_keeps_the_time_that_the_function_chose() -> None:
    chosen = "2020-01-01T00:00:00.000Z"

    expect = expectation_of(produced({**TRACK, "timestamp": chosen}), None)

    assert expect["events"][0]["timestamp"] == chosen
