"""`hookmill sink`: run sink workers, see where sinks stand, check their destinations, pause and resume them."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from console.command import Common, run_async
from console.reports import printable
from console.standing import Pace, Standing, pace, read_standings
from console.times import show_time
from hookmill import codec
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import ExitCode, Readiness, serve
from hookmill.log import Log, open_log
from hookmill.registry import Only, Pause, Registry, RegistryView, Sink, pause_key, publish
from hookmill.topics import Topic

_WATCH_INTERVAL_S: Final = 2.0

sink_app = App(name="sink", help="Run sink workers; list, check, pause and resume sinks.")


@sink_app.default
def run_sinks(*names: str, common: Common = Common()) -> ExitCode:
    """Run sink workers: events and objects to where you keep data.

    Parameters
    ----------
    names
        Sinks of the registry to run; all of them when none is named.
    """
    from console.stages import sink_services

    config = common.config()

    async def work() -> ExitCode:
        readiness = Readiness()
        return await serve(await sink_services(config, readiness, names), readiness)

    return run_async(work())


@sink_app.command(name="list")
def list_sinks(
    *,
    watch: Annotated[
        bool, Parameter(negative=(), help="Every two seconds, with the pace and the time that catching up takes.")
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="A line of JSON per sink.")] = False,
    common: Common = Common(),
) -> ExitCode:
    """List sinks: what each gets, whether it is paused, how many records it has yet to read."""
    config = common.config()

    async def work() -> ExitCode:
        log = open_log(config)
        async with RegistryView(log, config.topics.names.full(Topic.REGISTRY)) as view:
            before: dict[str, tuple[float, Standing]] = {}
            while True:
                at = time.monotonic()
                standings = await read_standings(log, config.topics.names, view.registry)
                paces = {
                    each.sink.name: pace(known[1], each, at - known[0])
                    for each in standings
                    if (known := before.get(each.sink.name))
                }
                _print_standings(config, standings, paces, as_json=as_json)
                if not watch:
                    return ExitCode.OK
                before = {each.sink.name: (at, each) for each in standings}
                await asyncio.sleep(_WATCH_INTERVAL_S)

    return run_async(work())


@sink_app.command
def check(
    *names: str,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="A line of JSON per sink.")] = False,
    common: Common = Common(),
) -> ExitCode:
    """Try whether destinations can be reached and would take what comes, without giving them anything.

    Exit code 1 when something is missing; each line says what, and how to get it.

    Parameters
    ----------
    names
        Sinks of the registry; all of them when none is named.
    """
    from console.stages import chosen_sinks, sink_surroundings
    from sinks.check import what_is_missing

    config = common.config()

    async def work() -> ExitCode:
        log = open_log(config)
        around = sink_surroundings(config, log)
        is_fine = True
        for sink in chosen_sinks(await _registry(config, log), names):
            missing = await what_is_missing(sink, around)
            is_fine = is_fine and not missing
            _print_checked(sink, missing, as_json=as_json)
        return ExitCode.OK if is_fine else ExitCode.FAILED

    return run_async(work())


@sink_app.command(name="pause")
def pause_sink(name: str, *, common: Common = Common()) -> ExitCode:
    """Let a sink read nothing until it is resumed, in whichever processes it runs, now and after restarts.

    Parameters
    ----------
    name
        A sink of the registry.
    """
    config = common.config()

    async def work() -> ExitCode:
        log = open_log(config)
        pause = await _pause_of(config, log, name)
        if pause is not None:
            print(f"Sink {name} has been paused since {show_time(pause.since_ms)}.")
            return ExitCode.OK
        await publish(log, config.topics.names.full(Topic.REGISTRY), [Pause(name, time.time_ns() // 1_000_000)])
        print(f"Paused sink {name}. What comes waits on the log, for as long as the log keeps it.")
        return ExitCode.OK

    return run_async(work())


@sink_app.command(name="resume")
def resume_sink(name: str, *, common: Common = Common()) -> ExitCode:
    """Let a paused sink go on where it stopped.

    Parameters
    ----------
    name
        A sink of the registry.
    """
    config = common.config()

    async def work() -> ExitCode:
        log = open_log(config)
        if await _pause_of(config, log, name) is None:
            print(f"Sink {name} is not paused.")
            return ExitCode.OK
        await publish(log, config.topics.names.full(Topic.REGISTRY), [], [pause_key(name)])
        print(f"Resumed sink {name}; `hookmill sink list --watch` shows how it catches up.")
        return ExitCode.OK

    return run_async(work())


async def _registry(config: Config, log: Log) -> Registry:
    async with RegistryView(log, config.topics.names.full(Topic.REGISTRY)) as view:
        return view.registry


async def _pause_of(config: Config, log: Log, name: str) -> Pause | None:
    """Errors: `ConfigError` for a sink that the registry does not know."""
    registry = await _registry(config, log)
    if name not in registry.sinks:
        has = ", ".join(sorted(registry.sinks)) or "none"
        raise ConfigError(f"Sink {name[:100]!r} is not in the registry. Sinks: {has}.")
    return registry.pauses.get(name)


def _print_standings(config: Config, standings: Sequence[Standing], paces: dict[str, Pace], *, as_json: bool) -> None:
    if as_json:
        for each in standings:
            print(codec.encode(_fields(each, paces.get(each.sink.name))).decode(), flush=True)
        return
    if not standings:
        print("The registry holds no sink.")
        return
    table = Table("sink", "kind", "gets", "state", box=None, pad_edge=False)
    table.add_column("lag", justify="right")
    table.add_column("of topics")
    table.add_column("done until")
    if paces:
        table.add_column("records/s", justify="right")
        table.add_column("caught up in")
    for each in standings:
        found = paces.get(each.sink.name)
        cells = [each.sink.name, each.sink.kind, _gets(each.sink), _state(each), f"{sum(each.lag.values()):,}"]
        cells += [_topics(config, each), "" if each.last_record_ms is None else show_time(each.last_record_ms)]
        cells += [f"{found.records_per_s:,.0f}", _duration(found.caught_up_in_s)] if found else []
        table.add_row(*(printable(cell).replace("\n", " ") for cell in cells))
    screen = Console(highlight=False, markup=False, soft_wrap=True)
    if paces:
        screen.clear()
    screen.print(table)


def _gets(sink: Sink) -> str:
    kinds = [name for name, is_wanted in (("events", sink.events), ("objects", sink.objects)) if is_wanted]
    only = [f"{name} {', '.join(wanted)}" for name, wanted in _filter(sink.only).items()]
    return " and ".join(kinds) + (f"; only {'; '.join(only)}" if only else "")


def _filter(only: Only) -> dict[str, tuple[str, ...]]:
    return {name: wanted for name in only.__struct_fields__ if (wanted := getattr(only, name))}


def _state(standing: Standing) -> str:
    if standing.pause is None:
        return "active"
    return f"paused for {_duration(time.time() - standing.pause.since_ms / 1_000)}"


def _topics(config: Config, standing: Standing) -> str:
    prefix = config.topics.prefix
    return ", ".join(f"{topic.removeprefix(prefix)} {lag:,}" for topic, lag in standing.lag.items() if lag)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not in sight"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def _fields(standing: Standing, found: Pace | None) -> dict[str, object]:
    sink = standing.sink
    fields: dict[str, object] = {
        "name": sink.name,
        "kind": sink.kind,
        "events": sink.events,
        "objects": sink.objects,
        "only": _filter(sink.only),
        "state": "active" if standing.pause is None else "paused",
        "pausedSince": None if standing.pause is None else standing.pause.since_ms,
        "lag": dict(standing.lag),
        "newestRecordDone": standing.last_record_ms,
    }
    if found is not None:
        fields |= {"recordsPerSecond": found.records_per_s, "caughtUpInSeconds": found.caught_up_in_s}
    return fields


def _print_checked(sink: Sink, missing: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        fields: dict[str, object] = {"name": sink.name, "kind": sink.kind, "missing": list(missing)}
        print(codec.encode(fields).decode(), flush=True)
        return
    print(f"{sink.name}: {'something is missing' if missing else 'fine'}")
    for each in missing:
        print(printable(f"  {each}"), flush=True)
