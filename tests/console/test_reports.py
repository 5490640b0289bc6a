"""Invocation reports as lines for people."""

from console.reports import describe_error, describe_report, printable
from hookmill.codec import FunctionError, InvocationReport, LogLine


def report(**changes: object) -> InvocationReport:
    fields: dict[str, object] = {
        "request_id": "r-1",
        "source": "shop",
        "function_version": "v1",
        "status": "ok",
        "duration_ms": 1.25,
        "delivery_count": 1,
        "received_at": 0,
        "events": 1,
        "objects": 2,
        "next": "delivered",
    }
    return InvocationReport(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_delivered_webhook_is_one_line() -> None:
    assert describe_report(report()) == "shop  ok  1 event, 2 objects  1.2 ms  r-1"


def test_a_failure_says_where_it_went_and_what_was_wrong() -> None:
    error = FunctionError(kind="TypeError", message="x is not a function", line=3)

    text = describe_report(report(status="error", events=0, objects=0, next="dead", error=error))

    assert text.splitlines() == [
        "shop  error  0 events, 0 objects  1.2 ms  r-1  -> dead",
        "    TypeError: x is not a function (line 3)",
    ]


def test_a_failure_that_is_tried_again_says_when() -> None:
    text = describe_report(report(status="timeout", events=0, objects=0, next="retry", retry_in_s=25.0))

    assert text == "shop  timeout  0 events, 0 objects  1.2 ms  r-1  -> retry in 25 s"


def test_what_the_function_printed_is_shown_without_control_characters() -> None:
    text = describe_report(report(logs=[LogLine("info", "red \x1b[31m", 0.1)]))

    assert text.splitlines()[1] == "    [info] red \N{REPLACEMENT CHARACTER}[31m"


def test_printable_keeps_letters_of_every_language() -> None:
    assert printable("Grüße, 世界\n") == "Grüße, 世界\n"


def test_a_syntax_error_shows_the_line_and_a_mark_below_what_is_wrong() -> None:
    error = FunctionError("SyntaxError", "bad", line=2, column=3, source_line="\tx= \x1b[31m")

    assert describe_error(error).splitlines() == [
        "SyntaxError: bad (line 2)",
        "        x= \N{REPLACEMENT CHARACTER}[31m",
        "         ^",
    ]


def test_a_mark_may_be_beyond_the_end_of_the_line() -> None:
    error = FunctionError("SyntaxError", "bad", line=1, column=4, source_line="ab")

    assert describe_error(error).splitlines()[1:] == ["    ab", "       ^"]
