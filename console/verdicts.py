"""Verdicts for people, for programs, and as the expectations of the next run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from console.apply import describe
from console.reports import describe_error, plural, printable
from console.trial import SourceTrial
from console.verdict import Mark, Verdict, expectation_of, judge
from hookmill.codec import JsonValue
from hookmill.errors import ConfigError

_STYLES: Final = {Mark.PASSED: "green", Mark.FAILED: "bold red", Mark.UNCHECKED: "yellow"}
_DIFF_STYLES: Final = {"-": "red", "+": "green", "@": "cyan"}


@dataclass(frozen=True)
class SourceVerdict:
    """The verdicts on a source's examples; `problem` says why its function does not load."""

    slug: str
    problem: str | None
    verdicts: Sequence[Verdict]


def judge_all(trials: Sequence[SourceTrial]) -> list[SourceVerdict]:
    """A verdict on every example that ran."""
    return [
        SourceVerdict(
            trial.source.slug,
            None if trial.load_error is None else describe(trial.source, trial.load_error),
            [judge(example, produced) for example, produced in trial.results],
        )
        for trial in trials
    ]


def has_failed(sources: Sequence[SourceVerdict]) -> bool:
    """Something is not as expected."""
    return any(
        source.problem is not None or any(verdict.mark is Mark.FAILED for verdict in source.verdicts)
        for source in sources
    )


def print_verdicts(screen: Console, sources: Sequence[SourceVerdict]) -> None:
    """A line per example by source; under it, where it did not pass, the difference and what the function printed."""
    for source in sources:
        screen.print(source.slug, style="bold")
        if source.problem is not None:
            screen.print(printable(source.problem), style="red")
        elif not source.verdicts:
            screen.print("  no examples", style="yellow")
        for verdict in source.verdicts:
            _print_verdict(screen, verdict)
    screen.print(_sum(sources))


def _print_verdict(screen: Console, verdict: Verdict) -> None:
    report = verdict.produced.report
    counts = f"{plural(report.events, 'event')}, {plural(report.objects, 'object')}"
    screen.print(f"  {verdict.mark:<14}", style=_STYLES[verdict.mark], end="")
    screen.print(f"  {verdict.example.name}  {report.status}, {counts}, {report.duration_ms:.1f} ms")
    if verdict.mark is Mark.PASSED:
        return
    for line in verdict.diff:
        screen.print(f"    {printable(line)}", style=_DIFF_STYLES.get(line[0]))
    if verdict.mark is Mark.UNCHECKED:
        for message in (*verdict.produced.events, *verdict.produced.objects):
            screen.print(f"    {printable(json.dumps(message, ensure_ascii=False))}")
    if report.error is not None:
        screen.print("    " + printable(describe_error(report.error)).replace("\n", "\n    "))
    for printed in report.logs:
        screen.print(f"    [{printed.level}] {printable(printed.text)}")


def _sum(sources: Sequence[SourceVerdict]) -> str:
    marks = [verdict.mark for source in sources for verdict in source.verdicts]
    parts = [f"{marks.count(Mark.PASSED)} passed", f"{marks.count(Mark.FAILED)} failed"]
    if Mark.UNCHECKED in marks:
        parts.append(f"{marks.count(Mark.UNCHECKED)} without expectation")
    broken = sum(source.problem is not None for source in sources)
    if broken:
        parts.append(f"{plural(broken, 'function')} not loaded")
    return ", ".join(parts)


def verdicts_json(sources: Sequence[SourceVerdict]) -> str:
    """The same for programs: one JSON object.

    Shape: `{"failed": bool, "sources": [{"source", "problem"?, "examples": [...]}]}`, an example being `{"name",
    "file", "result", "status", "durationMs", "events", "objects", "error"?, "logs"?, "diff"?}`.
    """
    listed = [
        _present(
            source=source.slug, problem=source.problem, examples=[_example_json(verdict) for verdict in source.verdicts]
        )
        for source in sources
    ]
    return json.dumps({"failed": has_failed(sources), "sources": listed}, ensure_ascii=False, indent=2)


def _example_json(verdict: Verdict) -> dict[str, JsonValue]:
    report = verdict.produced.report
    return _present(
        name=verdict.example.name,
        file=str(verdict.example.file),
        result=verdict.mark,
        status=report.status,
        durationMs=report.duration_ms,
        events=verdict.produced.events,
        objects=verdict.produced.objects,
        error=msgspec.to_builtins(report.error),
        logs=[msgspec.structs.asdict(line) for line in report.logs] or None,
        diff=verdict.diff or None,
    )


def _present(**fields: JsonValue) -> dict[str, JsonValue]:
    return {name: value for name, value in fields.items() if value is not None}


def update_expectations(sources: Sequence[SourceVerdict]) -> list[Path]:
    """Every file whose expectation was missing or wrong now expects what came; returns those files.

    Errors: `ConfigError` for a file that cannot be written.
    """
    updated = []
    for verdict in (verdict for source in sources for verdict in source.verdicts):
        if verdict.mark is not Mark.PASSED:
            file = verdict.example.file
            content = json.loads(file.read_text(encoding="utf-8"))
            content["expect"] = expectation_of(verdict.produced, verdict.example.expect)
            try:
                file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise ConfigError(f"{file} cannot be written: {error.strerror}.") from None
            updated.append(file)
    return updated
