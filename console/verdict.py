"""The verdict on an example: what came of it beside what its file expects."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from console.examples import Example, Expectation
from console.trial import Produced
from hookmill.codec import InvocationReport, JsonValue
from processors.runtimes.contract import Status

_MADE_BY_US: Final = {"messageId", "timestamp", "receivedAt", "version"}
"""Fields that the pipeline fills in; compared only where the expectation has them."""

_Json = dict[str, JsonValue]


class Mark(StrEnum):
    """How an example came out."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "no expectation"


@dataclass(frozen=True)
class Verdict:
    """An example, what came of it, and the lines of a unified diff from what was expected to that."""

    example: Example
    produced: Produced
    mark: Mark
    diff: Sequence[str] = ()


def judge(example: Example, produced: Produced) -> Verdict:
    """What came must be what the file expects: status, error, every event and object in order."""
    if example.expect is None:
        return Verdict(example, produced, Mark.UNCHECKED)
    wanted = _wanted(example.expect, produced.report)
    got = _got(produced, example.expect, wanted)
    diff = list(difflib.unified_diff(_lines(wanted), _lines(got), "expected", "got", lineterm=""))
    return Verdict(example, produced, Mark.FAILED if diff else Mark.PASSED, diff)


def expectation_of(produced: Produced, before: Expectation | None) -> _Json:
    """The `expect` of a file that what came would pass. Fields made by us are in it where `before` has them; a time
    that is not the time of receipt is the function's own."""
    before = before or Expectation()
    error = produced.report.error
    expect: _Json = {} if produced.report.status == Status.OK else {"status": produced.report.status}
    if error is not None:
        expect["error"] = {"class": error.kind, "message": error.message}
    events = _without_ours(produced.events, before.events)
    for event, full in zip(events, produced.events, strict=True):
        if full["timestamp"] != full["receivedAt"]:
            event["timestamp"] = full["timestamp"]
    return expect | {"events": events, "objects": _without_ours(produced.objects, before.objects)}


def _wanted(expect: Expectation, report: InvocationReport) -> _Json:
    document: _Json = {
        "status": _wanted_status(expect, report),
        "events": list(expect.events),
        "objects": list(expect.objects),
    }
    if expect.error is not None:
        document["error"] = expect.error.model_dump(by_alias=True, exclude_none=True)
    return document


def _wanted_status(expect: Expectation, report: InvocationReport) -> str:
    """Where a file only tells the error, any status with an error will do."""
    if expect.status is not None or expect.error is None:
        return expect.status or Status.OK
    return report.status if report.error is not None else Status.ERROR


def _got(produced: Produced, expect: Expectation, wanted: _Json) -> _Json:
    """What came, less what the expectation leaves open."""
    report = produced.report
    document: _Json = {
        "status": report.status,
        "events": _without_ours(produced.events, expect.events),
        "objects": _without_ours(produced.objects, expect.objects),
    }
    if report.error is not None:
        error = {"class": report.error.kind, "message": report.error.message}
        if report.status != wanted["status"]:
            document["error"] = error
        elif expect.error is not None:
            document["error"] = {name: error[name] for name in wanted["error"]}
    return document


def _without_ours(made: Sequence[_Json], wanted: Sequence[_Json]) -> list[_Json]:
    wanted = [*wanted, *({} for _ in made[len(wanted) :])]
    return [
        {name: value for name, value in message.items() if name not in _MADE_BY_US or name in expected}
        for message, expected in zip(made, wanted, strict=False)
    ]


def _lines(document: _Json) -> list[str]:
    return json.dumps(_plain(document), ensure_ascii=False, indent=2, sort_keys=True).split("\n")


def _plain(value: JsonValue) -> JsonValue:
    """The value with whole numbers in one notation: 150.0 of Python is 150 of JavaScript."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
