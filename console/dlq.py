"""`hookmill dlq`: look at dead letters, send them back, give them up."""

import asyncio
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from console.command import Common, is_confirmed, run_async
from console.reports import printable
from console.times import parse_range, show_time
from hookmill import codec, headers
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import ExitCode
from hookmill.log import Log, open_log
from hookmill.records import Record
from hookmill.topics import Topic
from redelivery.letter_index import FoundLetter, LetterFilter, LetterGroup, LetterIndex
from redelivery.letters import Letter, LetterId
from redelivery.redrive import deliver_edited, drop, read_record, redrive
from redelivery.stages import FUNCTION

INDEX_FILE: Final = "dead-letters.index"
_MAX_SHOWN_BODY: Final = 4_000

dlq_app = App(name="dlq", help="Dead letters: what could not be delivered, and what to do with it.")


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which dead letters: those that match all that is given."""

    source: Annotated[str | None, Parameter(help="Of this source.")] = None
    stage: Annotated[str | None, Parameter(help="Failed here: function, events:<sink> or objects:<sink>.")] = None
    error_class: Annotated[str | None, Parameter(name=["--class"], help="Of this class of errors.")] = None
    fingerprint: Annotated[str | None, Parameter(help="Of this group, see `hookmill dlq group`.")] = None
    function_version: Annotated[str | None, Parameter(help="Failed in this version; its first digits do.")] = None
    since: Annotated[str | None, Parameter(help="Failed last at this time or later: 36h, 2026-11-24, now.")] = None
    until: Annotated[str | None, Parameter(help="Failed last before this time.")] = None

    def wanted(self, ids: Sequence[str] = (), with_settled: bool = False) -> LetterFilter:
        """Errors: `ConfigError`."""
        since_ms, until_ms = parse_range(self.since, self.until, time.time_ns() // 1_000_000)
        return LetterFilter(
            ids=[LetterId.parse(text) for text in ids],
            source=self.source,
            stage=self.stage,
            error_class=self.error_class,
            fingerprint=self.fingerprint,
            function_version=self.function_version,
            since_ms=since_ms,
            until_ms=until_ms,
            with_settled=with_settled,
        )


@dlq_app.command(name="list")
def list_letters(
    *,
    limit: Annotated[int, Parameter(help="How many at most, the newest first.")] = 50,
    settled: Annotated[bool, Parameter(help="Also those that were redriven or dropped.")] = False,
    json: Annotated[bool, Parameter(help="A line of JSON per letter.")] = False,
    filters: Filters = Filters(),
    common: Common = Common(),
) -> ExitCode:
    """List dead letters, the newest failure first."""
    config = common.config()
    wanted = filters.wanted(with_settled=settled)

    async def work() -> ExitCode:
        with _index(config, open_log(config)) as index:
            await index.catch_up()
            found, count = index.find(wanted, limit), index.count(wanted)
        if json:
            for each in found:
                _print_json(_fields(each))
        else:
            _print_letters(found, count)
        return ExitCode.OK

    return run_async(work())


@dlq_app.command
def group(
    *,
    json: Annotated[bool, Parameter(help="A line of JSON per group.")] = False,
    filters: Filters = Filters(),
    common: Common = Common(),
) -> ExitCode:
    """Count dead letters by trouble: same source, stage and error but for ids and numbers in it."""
    config = common.config()
    wanted = filters.wanted()

    async def work() -> ExitCode:
        with _index(config, open_log(config)) as index:
            await index.catch_up()
            groups = index.groups(wanted)
        if json:
            for each in groups:
                _print_json(_group_fields(each))
        else:
            _print_groups(groups)
        return ExitCode.OK

    return run_async(work())


@dlq_app.command
def show(
    id: str,
    *,
    body: Annotated[bool, Parameter(help="Print the body alone, byte for byte.")] = False,
    common: Common = Common(),
) -> ExitCode:
    """Show one dead letter: why it failed, its headers, its body.

    Parameters
    ----------
    id
        As `hookmill dlq list` prints it.
    """
    config = common.config()

    async def work() -> ExitCode:
        log = open_log(config)
        found, record = await _one(config, log, id)
        if body:
            sys.stdout.buffer.write(record.value or b"")
        else:
            _print_letter(found, record)
        return ExitCode.OK

    return run_async(work())


@dlq_app.command(name="redrive")
def redrive_letters(
    *ids: str,
    all: Annotated[bool, Parameter(help="Every dead letter, when nothing else says which.")] = False,
    edit: Annotated[
        bool, Parameter(help="Open the body of the one letter in $EDITOR and deliver what is saved.")
    ] = False,
    dry_run: Annotated[bool, Parameter(help="Only say what would be done.")] = False,
    yes: Annotated[bool, Parameter(help="Do not ask.")] = False,
    filters: Filters = Filters(),
    common: Common = Common(),
) -> ExitCode:
    """Send dead letters back to the stage that failed on them, as first deliveries, with the ids they had.

    Parameters
    ----------
    ids
        Which ones; or say it with the filters.
    """
    config = common.config()
    if edit:
        if len(ids) != 1 or dry_run:
            raise ConfigError("--edit takes the id of one dead letter, and no --dry-run.")
        return run_async(_edit(config, ids[0]))

    async def do(log: Log, letters: Sequence[Letter], settled: Callable[[int], None]) -> str:
        gone = await redrive(log, config.topics.names, letters, settled)
        left = f" {len(gone)} are gone by retention or name no stage, and stay as they are." if gone else ""
        return f"Redriven {len(letters) - len(gone):,}.{left}"

    return run_async(_settle_chosen(config, _chosen(ids, all, filters), "Redrive", do, dry_run=dry_run, yes=yes))


@dlq_app.command(name="drop")
def drop_letters(
    *ids: str,
    all: Annotated[bool, Parameter(help="Every dead letter, when nothing else says which.")] = False,
    dry_run: Annotated[bool, Parameter(help="Only say what would be done.")] = False,
    yes: Annotated[bool, Parameter(help="Do not ask.")] = False,
    filters: Filters = Filters(),
    common: Common = Common(),
) -> ExitCode:
    """Give dead letters up: they count as dropped and are no longer listed.

    Parameters
    ----------
    ids
        Which ones; or say it with the filters.
    """
    config = common.config()

    async def do(log: Log, letters: Sequence[Letter], settled: Callable[[int], None]) -> str:
        await drop(log, config.topics.names, letters, settled)
        return f"Dropped {len(letters):,}."

    return run_async(_settle_chosen(config, _chosen(ids, all, filters), "Drop", do, dry_run=dry_run, yes=yes))


def _chosen(ids: Sequence[str], every: bool, filters: Filters) -> LetterFilter:
    if not ids and not every and filters == Filters():
        raise ConfigError("Say which dead letters: their ids, filters such as --fingerprint, or --all.")
    return filters.wanted(ids)


async def _settle_chosen(
    config: Config,
    wanted: LetterFilter,
    verb: str,
    do: Callable[[Log, Sequence[Letter], Callable[[int], None]], Awaitable[str]],
    *,
    dry_run: bool,
    yes: bool,
) -> ExitCode:
    log = open_log(config)
    screen = Console(stderr=True, highlight=False)
    with _index(config, log) as index:
        await index.catch_up()
        letters = [found.letter for found in index.find(wanted)]
        groups = index.groups(wanted)
    missing = [str(id_) for id_ in wanted.ids if id_ not in {letter.id for letter in letters}]
    if missing:
        raise ConfigError(f"No dead letter {', '.join(missing)} is waiting: see `hookmill dlq list --settled`.")
    _print_groups(groups)
    print(f"{verb} {len(letters):,} dead {'letter' if len(letters) == 1 else 'letters'}")
    if dry_run or not letters:
        return ExitCode.OK
    if not yes and not is_confirmed(f"{verb} them? [y/N] "):
        print("Nothing was done.")
        return ExitCode.FAILED
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(verb, total=len(letters))
        print(await do(log, letters, lambda count: progress.advance(task, count)))
    return ExitCode.OK


async def _edit(config: Config, id_text: str) -> ExitCode:
    log = open_log(config)
    found, record = await _one(config, log, id_text)
    if found.settled is not None:
        raise ConfigError(f"Dead letter {id_text} was {found.settled} before.")
    if found.letter.stage != FUNCTION:
        raise ConfigError(
            f"Dead letter {id_text} is a message of stage {found.letter.stage}: only webhooks can be edited."
        )
    edited = await asyncio.to_thread(_edited, record.value or b"")
    if edited == (record.value or b""):
        print("The body is as it was: nothing was done. Without --edit it is redriven as it is.")
        return ExitCode.FAILED
    request_id = await deliver_edited(log, config.topics.names, found.letter, record, edited)
    print(f"Delivered as {request_id}.")
    return ExitCode.OK


def _edited(body: bytes) -> bytes:
    """The body after the user's editor. Errors: `ConfigError` when that fails."""
    editor = shlex.split(environ.get("VISUAL") or environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.json"
        path.write_bytes(body)
        try:
            code = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 # the user's own command
        except OSError as error:
            raise ConfigError(f"{editor[0]} does not start ({error.strerror}): set EDITOR.") from None
        if code:
            raise ConfigError(f"{editor[0]} ended with exit code {code}: nothing was done.")
        return path.read_bytes()


async def _one(config: Config, log: Log, id_text: str) -> tuple[FoundLetter, Record]:
    wanted = LetterFilter(ids=[LetterId.parse(id_text)], with_settled=True)
    with _index(config, log) as index:
        await index.catch_up()
        found = index.find(wanted)
    record = await read_record(log, config.topics.names, found[0].letter) if found else None
    if record is None:
        raise ConfigError(f"There is no dead letter {id_text}, or retention took it: see `hookmill dlq list`.")
    return found[0], record


def _index(config: Config, log: Log) -> LetterIndex:
    return LetterIndex(config.data_dir / INDEX_FILE, log, config.topics.names.full(Topic.DEAD_LETTERS))


def _print_letters(found: Sequence[FoundLetter], count: int) -> None:
    if not found:
        print("No dead letters.")
        return
    table = Table("id", "failed last", "source", "stage", "deliveries", "error", box=None, pad_edge=False)
    for letter, settled in found:
        error = f"{letter.error_class}: {letter.error}" + (f"  [{settled}]" if settled else "")
        cells = (str(letter.id), show_time(letter.last_failed_at_ms), letter.source, letter.stage)
        table.add_row(*map(_cell, (*cells, str(letter.delivery_count), error)))
    Console(highlight=False, markup=False).print(table)
    if count > len(found):
        print(f"{len(found):,} of {count:,}; --limit shows more.")


def _print_groups(groups: Sequence[LetterGroup]) -> None:
    if not groups:
        print("No dead letters.")
        return
    table = Table("count", "fingerprint", "source", "stage", "failed last", "newest error", box=None, pad_edge=False)
    for each in groups:
        cells = (f"{each.letters:,}", each.fingerprint, each.source, each.stage, show_time(each.last_failed_at_ms))
        table.add_row(*map(_cell, (*cells, f"{each.error_class}: {each.example}")))
    Console(highlight=False, markup=False).print(table)


def _cell(text: str) -> str:
    return printable(text).replace("\n", " ")


def _print_letter(found: FoundLetter, record: Record) -> None:
    letter, settled = found
    state = settled or "waiting"
    print(f"{letter.id}  {state}  {letter.stage}  source {printable(letter.source)}  fingerprint {letter.fingerprint}")
    print(f"failed {show_time(letter.first_failed_at_ms)} to {show_time(letter.last_failed_at_ms)}", end="")
    print(f", {letter.delivery_count} {'delivery' if letter.delivery_count == 1 else 'deliveries'}")
    print(printable(f"{letter.error_class}: {letter.error}"))
    print()
    for name, value in record.headers:
        if name not in (headers.ERROR, headers.ERROR_CLASS):
            print(printable(f"{name}: {value.decode('utf-8', 'replace')}"))
    print()
    body = record.value or b""
    print(printable(body[:_MAX_SHOWN_BODY].decode("utf-8", "replace")))
    if len(body) > _MAX_SHOWN_BODY:
        print(f"... {len(body):,} bytes in all; --body prints them.")


def _fields(found: FoundLetter) -> dict[str, object]:
    letter = found.letter
    return {
        "id": str(letter.id),
        "requestId": letter.request_id,
        "source": letter.source,
        "stage": letter.stage,
        "errorClass": letter.error_class,
        "error": letter.error,
        "fingerprint": letter.fingerprint,
        "functionVersion": letter.function_version,
        "deliveryCount": letter.delivery_count,
        "firstFailedAt": letter.first_failed_at_ms,
        "lastFailedAt": letter.last_failed_at_ms,
        "bodyBytes": letter.body_bytes,
        "settled": found.settled,
    }


def _group_fields(group: LetterGroup) -> dict[str, object]:
    return {
        "letters": group.letters,
        "source": group.source,
        "stage": group.stage,
        "fingerprint": group.fingerprint,
        "errorClass": group.error_class,
        "example": group.example,
        "firstFailedAt": group.first_failed_at_ms,
        "lastFailedAt": group.last_failed_at_ms,
    }


def _print_json(fields: dict[str, object]) -> None:
    print(codec.encode(fields).decode())
