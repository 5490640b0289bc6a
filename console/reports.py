"""The `invocations` topic as lines for people: what became of each webhook."""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from hookmill.codec import FunctionError, InvocationReport, decode_report
from hookmill.errors import LogError
from hookmill.log import Log
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_POLL_S = 0.5
_TAB = 4


def describe_report(report: InvocationReport) -> str:
    """One line: source, outcome, messages, milliseconds; more lines for an error and for what the function printed."""
    counts = f"{plural(report.events, 'event')}, {plural(report.objects, 'object')}"
    line = f"{report.source}  {report.status}  {counts}  {report.duration_ms:.1f} ms  {report.request_id}"
    if report.next != "delivered":
        line += f"  -> {report.next}"
    if report.retry_in_s is not None:
        line += f" in {report.retry_in_s:g} s"
    if report.error is not None:
        line += "\n    " + describe_error(report.error).replace("\n", "\n    ")
    for printed in report.logs:
        line += f"\n    [{printed.level}] {printed.text}"
    return printable(line)


def describe_error(error: FunctionError) -> str:
    """Class, message and line; for a syntax error also the line itself, with a caret under what is wrong in it."""
    place = f" (line {error.line})" if error.line is not None else ""
    return f"{error.kind}: {error.message}{place}{quote_line(error)}"


def quote_line(error: FunctionError) -> str:
    """The line that the error is in and a caret under its column, each after a line break; empty if it is not told."""
    if not error.source_line:
        return ""
    quoted = "\n    " + printable(error.source_line.rstrip().expandtabs(_TAB))
    if error.column is None:
        return quoted
    before = error.source_line[: error.column - 1].ljust(error.column - 1)  # it may be beyond the end of the line
    return f"{quoted}\n    {' ' * len(before.expandtabs(_TAB))}^"


def printable(text: str) -> str:
    """The text without control characters: what webhooks and functions say must not steer the terminal."""
    return "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def plural(count: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class ReportTail:
    """Calls `heard` with every report that arrives after the start. A service."""

    name = "reports"

    def __init__(self, event_log: Log, topic: str, heard: Callable[[InvocationReport], None]) -> None:
        self._reader = event_log.reader([topic], group=None, from_end=True)
        self._heard = heard
        self._stack = contextlib.AsyncExitStack()
        self._tail: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listening."""
        await self._stack.enter_async_context(self._reader)
        self._tail = asyncio.create_task(self._follow(), name=self.name)

    async def wait(self) -> None:
        """Never ends by itself: reports are a courtesy, losing sight of them stops nothing."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """No longer listening."""
        if self._tail is not None:
            self._tail.cancel()
            await asyncio.gather(self._tail, return_exceptions=True)
        await self._stack.aclose()

    async def _follow(self) -> None:
        while True:
            try:
                spans = await self._reader.poll(_POLL_S)
            except LogError as error:
                log.warning("reports.unavailable", error=str(error))
                await asyncio.sleep(_POLL_S)
                continue
            for record in (record for span in spans for record in span.records):
                try:
                    self._heard(decode_report(record.value or b""))
                except msgspec.DecodeError as error:
                    log.warning("reports.unreadable", offset=record.offset, error=str(error))
