"""`hookmill replay`: run stored webhooks again, to fill gaps or to compute everything anew."""

import secrets
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from console.command import Common, is_confirmed, run_async
from console.rehearsal import Rehearsed, Verb, rehearse
from console.reports import describe_error, plural, printable
from console.times import parse_range, show_time
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import ExitCode
from hookmill.log import Log, open_log
from hookmill.records import TopicPartition
from hookmill.registry import Function, Registry, RegistryView, Source
from hookmill.topics import Topic
from processors.inputs import GROUP
from redelivery.replay import Preview, find_bounds, preview, run
from redelivery.replay_journal import Journals, Progress, State
from redelivery.replay_plan import Mode, ReplayPlan
from redelivery.replay_where import parse_condition
from redelivery.scan import Scan

FOLDER: Final = "replays"
_SENDING_COSTS: Final = 2.0
"""Times what reading costs, when nothing limits the rate. A guess: it depends on the disk."""

replay_app = App(name="replay", help="Run stored webhooks again: fill gaps, or compute everything anew.")


@replay_app.default
def replay(
    *,
    source: Annotated[str | None, Parameter(help="Whose webhooks.")] = None,
    since: Annotated[
        str | None, Parameter(name="--from", help="Received at this time or later: 36h, 2026-11-24.")
    ] = None,
    until: Annotated[str | None, Parameter(name="--to", help="Received before this time; now is one.")] = None,
    where: Annotated[
        list[str] | None,
        Parameter(
            negative=(), help="/json/pointer=value, header.NAME=value, query.NAME=value or != ; all of them must hold."
        ),
    ] = None,
    mode: Annotated[Mode, Parameter(help="repair: only what is missing appears. recompute: takes the place of it.")] = (
        Mode.REPAIR
    ),
    function_version: Annotated[
        str | None, Parameter(help="What runs, else what is deployed; its first digits do.")
    ] = None,
    to_sink: Annotated[str | None, Parameter(help="Only this sink gets what comes of it.")] = None,
    rate: Annotated[float | None, Parameter(help="Webhooks per second at most.")] = None,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Run the functions, show what would change, send nothing.")
    ] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    resume: Annotated[str | None, Parameter(help="Go on with this replay, which was interrupted.")] = None,
    common: Common = Common(),
) -> ExitCode:
    """Run the webhooks of a source and a range of time again; live webhooks go first."""
    config = common.config()
    if resume is not None:
        if any((source, since, until, where, function_version, to_sink, rate, dry_run)):
            raise ConfigError(
                "--resume takes the id of a replay, which says everything else: see `hookmill replay list`."
            )
        return run_async(_resume(config, resume))
    if source is None or since is None or until is None:
        raise ConfigError("Say which webhooks: --source, --from and --to, such as --from 36h --to now.")
    if rate is not None and not 0 < rate < float("inf"):
        raise ConfigError(f"--rate {rate:g} is no number of webhooks per second above 0.")
    for condition in where or ():
        parse_condition(condition)
    now_ms = time.time_ns() // 1_000_000
    from_ms, to_ms = parse_range(since, until, now_ms)
    assert from_ms is not None
    assert to_ms is not None

    async def work() -> ExitCode:
        log = open_log(config)
        registry = await _registry(config, log)
        known_source, function = _chosen(registry, source, function_version, to_sink)
        topic = config.topics.names.full(Topic.WEBHOOKS)
        starts, ends = await find_bounds(log, topic, from_ms, to_ms)
        is_pinned = function_version is not None or mode is Mode.RECOMPUTE
        plan = ReplayPlan(
            id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            created_at_ms=now_ms,
            source=source,
            from_ms=from_ms,
            to_ms=to_ms,
            where=tuple(where or ()),
            mode=mode,
            function_version=function.version if is_pinned else "",
            to_sink=to_sink or "",
            per_second=rate or 0,
            topic=topic,
            log=log.description,
            starts=starts,
            ends=ends,
        )
        if dry_run:
            return await _rehearse(config, log, plan, known_source, function)
        return await _begin(config, log, plan, function, is_sure=yes)

    return run_async(work())


@replay_app.command(name="list")
def list_replays(*, common: Common = Common()) -> ExitCode:
    """List replays, the newest last, and how many replayed webhooks wait for the function stage."""
    config = common.config()
    found = _journals(config).all()
    if not found:
        print("No replays.")
        return ExitCode.OK
    table = Table("id", "source", "from", "to", "mode", "sent", "state", box=None, pad_edge=False)
    for progress in found:
        plan = progress.plan
        cells = (plan.id, plan.source, show_time(plan.from_ms), show_time(plan.to_ms), plan.mode.value)
        table.add_row(*cells, f"{progress.sent:,} of {progress.matched:,}", progress.state.value)
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
    print(f"{run_async(_waiting(config)):,} replayed webhooks wait for the function stage.")
    return ExitCode.OK


@replay_app.command
def cancel(id: str, *, common: Common = Common()) -> ExitCode:
    """Stop a replay for good. What it has sent is run all the same.

    Parameters
    ----------
    id
        As `hookmill replay list` prints it.
    """
    progress = _journals(common.config()).cancel(id)
    if progress.state is State.DONE:
        raise ConfigError(f"Replay {id} is done: all of its {progress.sent:,} webhooks were sent.")
    print(f"Cancelled replay {id}; {progress.sent:,} of {progress.matched:,} webhooks were sent.")
    return ExitCode.OK


async def _begin(config: Config, log: Log, plan: ReplayPlan, function: Function, *, is_sure: bool) -> ExitCode:
    screen = Console(stderr=True, highlight=False)
    with Bar(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("Counting", total=sum(plan.ends.values()) - sum(plan.starts.values()))
        counted = await preview(log, plan, lambda count: bar.advance(task, count))
    _print_plan(plan, function, counted)
    if not counted.webhooks:
        return ExitCode.OK
    if not is_sure and not is_confirmed("Replay them? [y/N] "):
        print("Nothing was done.")
        return ExitCode.FAILED
    progress = Progress(plan, counted.webhooks, 0, plan.starts)
    journals = _journals(config)
    with journals.alone(plan.id):
        journals.save(progress)
        return await _run(config, log, progress)


async def _resume(config: Config, replay_id: str) -> ExitCode:
    log, journals = open_log(config), _journals(config)
    with journals.alone(journals.read(replay_id).plan.id):
        progress = journals.read(replay_id)
        if progress.state is not State.UNFINISHED:
            raise ConfigError(f"Replay {replay_id} is {progress.state}: there is nothing to resume.")
        if progress.plan.log != log.description:
            raise ConfigError(f"Replay {replay_id} belongs to {progress.plan.log}, this is {log.description}.")
        return await _run(config, log, progress)


async def _run(config: Config, log: Log, progress: Progress) -> ExitCode:
    plan, journals = progress.plan, _journals(config)
    screen = Console(stderr=True, highlight=False)
    print(f"Replay {plan.id}: Ctrl-C stops it, `hookmill replay --resume {plan.id}` goes on.", flush=True)
    with Bar(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("Replay", total=progress.matched, completed=progress.sent)
        progress = await run(log, config.topics.names, journals, progress, lambda count: bar.advance(task, count))
    print(f"Replay {plan.id} is {progress.state}: {plural(progress.sent, 'webhook')} sent to the function stage.")
    return ExitCode.OK if progress.state is State.DONE else ExitCode.FAILED


async def _rehearse(config: Config, log: Log, plan: ReplayPlan, source: Source, function: Function) -> ExitCode:
    totals: Counter[str] = Counter()
    async for each in rehearse(log, config.topics.names, config.processors, plan, source, function):
        totals["webhooks"] += 1
        totals["same"] += each.same
        totals.update(difference.verb.name for difference in each.differences)
        totals[each.report.next] += 1
        _print_rehearsed(each)
    failed = totals["webhooks"] - totals["delivered"] - totals["dropped"]
    print(
        f"{plural(totals['webhooks'], 'webhook')} with version {function.version}: {totals['delivered']:,} delivered, "
        f"{totals['dropped']:,} dropped, {failed:,} failed."
    )
    print(
        f"Messages: {totals['APPEARS']:,} would appear, {totals['CHANGES']:,} change, {totals['VANISHES']:,} vanish, "
        f"{totals['same']:,} stay as they are."
    )
    match plan.mode:
        case Mode.REPAIR:
            print("A repair only does what appears. Nothing was sent.")
        case Mode.RECOMPUTE:
            print("What would vanish stays in sinks that have it. Nothing was sent.")
    return ExitCode.OK


async def _registry(config: Config, log: Log) -> Registry:
    async with RegistryView(log, config.topics.names.full(Topic.REGISTRY)) as view:
        return view.registry


def _chosen(registry: Registry, source_id: str, version: str | None, sink: str | None) -> tuple[Source, Function]:
    """Errors: `ConfigError` for what the registry does not have, with what it has."""
    source = registry.sources.get(source_id)
    if source is None:
        has = ", ".join(sorted(registry.sources)) or "none"
        raise ConfigError(f"Source {source_id[:100]!r} is not deployed. Sources: {has}.")
    if sink is not None and sink not in registry.sinks:
        has = ", ".join(sorted(registry.sinks)) or "none"
        raise ConfigError(f"Sink {sink[:100]!r} is not in the registry. Sinks: {has}.")
    wanted = source.function_version if version is None else version
    versions = sorted(known for owner, known in registry.functions if owner == source_id)
    found = [known for known in versions if known.startswith(wanted)]
    if len(found) != 1 or not wanted:
        what = "does not exist" if not found else "is not one version alone"
        raise ConfigError(f"Version {wanted[:100]!r} of source {source_id!r} {what}. Versions: {', '.join(versions)}.")
    return source, registry.functions[source_id, found[0]]


async def _waiting(config: Config) -> int:
    log, names = open_log(config), config.topics.names
    topic = names.full(Topic.WEBHOOKS_REPLAY)
    committed = await log.committed(names.group(GROUP), [topic])
    async with Scan(log, [topic]) as scan:
        ends: dict[TopicPartition, int] = dict(scan.ends)
    return sum(end - committed.get(place, 0) for place, end in ends.items())


def _journals(config: Config) -> Journals:
    return Journals(config.data_dir / FOLDER)


def _print_plan(plan: ReplayPlan, function: Function, counted: Preview) -> None:
    print(
        f"{plan.mode} of source {plan.source}, version {function.version}, received from {show_time(plan.from_ms)}",
        end="",
    )
    print(f" to before {show_time(plan.to_ms)}" + (f", for sink {plan.to_sink} alone" if plan.to_sink else ""))
    for condition in plan.where:
        print(printable(f"  where {condition}"))
    seconds = counted.webhooks / plan.per_second if plan.per_second else counted.seconds * _SENDING_COSTS
    print(
        f"{plural(counted.webhooks, 'webhook')} of {counted.read:,} looked at, {counted.body_bytes:,} bytes; "
        f"sending them takes about {seconds:,.0f} s."
    )


def _print_rehearsed(each: Rehearsed) -> None:
    error = each.report.error
    has_failed = each.report.next not in ("delivered", "dropped")
    if not each.differences and not has_failed:
        return
    print(printable(f"{each.request_id}  received {each.received_at}  {each.report.status}"))
    if has_failed and error is not None:
        print(printable("  ! " + describe_error(error).replace("\n", "\n    ")))
    for verb, name, leaves in each.differences:
        print(printable(f"  {verb} {name}").replace("\n", " "))
        for path, old, new in leaves if verb is Verb.CHANGES else ():
            print(printable(f"      {path}: {old or 'nothing'} -> {new or 'nothing'}").replace("\n", " "))
    sys.stdout.flush()
