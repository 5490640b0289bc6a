"""`hookmill audit`: the books of the webhooks, and by name whatever they cannot account for."""

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from console.command import Common, run_async
from console.reports import printable
from console.times import parse_range, show_time
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import ExitCode
from hookmill.log import open_log
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from redelivery.books import Range, Readers, read_books
from redelivery.books_file import BooksFile, Doubled, Line, Missing

_DAY_MS: Final = 86_400_000
_MAX_NAMED: Final = 100
"""How many webhooks the table names; all are in the JSON."""


def audit(
    *,
    source: Annotated[str | None, Parameter(help="Of this source.")] = None,
    since: Annotated[
        str | None, Parameter(help="Received at this time or later: 36h, 2026-11-24, now; the last 24 h without it.")
    ] = None,
    until: Annotated[str | None, Parameter(help="Received before this time.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="A line of JSON for each line.")] = False,
    common: Common = Common(),
) -> ExitCode:
    """Account for every webhook: received = delivered + dropped + dead + waiting + in flight, by source and hour.

    Exit code 1 when a webhook is in none of these places, or a message is on the log with two contents; each is named.
    """
    config = common.config()
    wanted = _range(config, source, since, until)
    screen = Console(stderr=True)

    async def work() -> ExitCode:
        with tempfile.TemporaryDirectory() as folder, BooksFile(Path(folder) / "books") as books:
            with screen.status("Reading the log ...") if screen.is_terminal else nullcontext():
                readers = Readers(GROUP, WEBHOOK_TOPICS)
                await read_books(open_log(config), config.topics.names, readers, wanted, books)
            return _print_json(books) if as_json else _print_tables(books, wanted)

    return run_async(work())


def _range(config: Config, source: str | None, since: str | None, until: str | None) -> Range:
    """Errors: `ConfigError`, also for webhooks whose reports may be gone."""
    now_ms = time.time_ns() // 1_000_000
    since_ms, until_ms = parse_range(since, until, now_ms)
    since_ms = now_ms - _DAY_MS if since_ms is None else since_ms
    until_ms = now_ms if until_ms is None else until_ms
    if since_ms >= until_ms:
        raise ConfigError(f"The range is empty: it begins at {show_time(since_ms)} and ends at {show_time(until_ms)}.")
    names = config.topics.names
    kept_ms = {spec.name: spec.retention_ms for spec in names.specs()}[names.full(Topic.INVOCATIONS)] or 0
    if since_ms < now_ms - kept_ms:
        raise ConfigError(
            f"What became of webhooks is on the topic invocations for {kept_ms // _DAY_MS} days: begin at "
            f"{show_time(now_ms - kept_ms)} or later."
        )
    return Range(since_ms, until_ms, source)


def _print_tables(books: BooksFile, wanted: Range) -> ExitCode:
    lines = books.lines()
    if not lines:
        print(f"No webhook was received from {show_time(wanted.since_ms)} to {show_time(wanted.until_ms)}.")
        return ExitCode.OK
    _print_lines(lines)
    missing = sum(line.missing for line in lines)
    _print_named(f"missing: {each.request_id}  {each.source}  {_where(each)}" for each in books.missing())
    doubled = _print_named(f"doubled: {each.request_id}  {each.source}  {_where(each)}" for each in books.doubled())
    if missing or doubled:
        print(f"The books do not balance: {missing:,} webhooks are missing, {doubled:,} messages doubled.")
        return ExitCode.FAILED
    print("The books balance.")
    return ExitCode.OK


def _print_lines(lines: Iterable[Line]) -> None:
    names = ("received", "delivered", "dropped", "dead", "waiting", "in flight", "missing", "repeated")
    table = Table("hour", "source", box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right")
    for line in lines:
        counts = (f"{getattr(line, name.replace(' ', '_')):,}" for name in names)
        table.add_row(show_time(line.hour_ms), printable(line.source).replace("\n", " "), *counts)
    Console(highlight=False, markup=False).print(table)


def _print_named(names: Iterator[str]) -> int:
    """Prints the first and counts all."""
    count = 0
    for name in islice(names, _MAX_NAMED):
        count += 1
        print(printable(name).replace("\n", " "))
    more = sum(1 for _ in names)
    if more:
        print(f"... and {more:,} more; --json names all.")
    return count + more


def _where(each: Missing | Doubled) -> str:
    return f"{each.place}  {each.why}" if isinstance(each, Missing) else each.places


def _print_json(books: BooksFile) -> ExitCode:
    is_balanced = True
    for line in books.lines():
        print(json.dumps({"kind": "line", **line._asdict()}))
    for kind, found in (("missing", books.missing()), ("doubled", books.doubled())):
        for each in found:
            is_balanced = False
            print(json.dumps({"kind": kind, **each._asdict()}))
    return ExitCode.OK if is_balanced else ExitCode.FAILED
