"""Where sinks stand on their topics, seen from outside: nothing is joined and nobody disturbed."""

from collections.abc import Mapping
from dataclasses import dataclass

from hookmill.log import Log
from hookmill.records import TopicPartition
from hookmill.registry import Pause, Registry, Sink
from hookmill.topics import TopicNames
from redelivery.scan import Scan
from sinks.batch import intakes


@dataclass(frozen=True)
class Standing:
    """One sink as it is now."""

    sink: Sink
    pause: Pause | None
    lag: Mapping[str, int]
    """By full name of each of its topics, the records that it has yet to read."""
    position: int
    """Of all its partitions, added up: how much this grows is how much was read."""
    last_record_ms: int | None
    """When the newest record that it is done with came onto the log; `None` before the first."""


@dataclass(frozen=True)
class Pace:
    """How a sink came on between two looks at it."""

    records_per_s: float
    caught_up_in_s: float | None
    """`None` when its lag does not shrink."""


def pace(before: Standing, after: Standing, seconds: float) -> Pace:
    """The pace from one look to the next, `seconds` later."""
    lag = sum(after.lag.values())
    shrunk = sum(before.lag.values()) - lag
    if lag and shrunk <= 0:
        return Pace((after.position - before.position) / seconds, None)
    return Pace((after.position - before.position) / seconds, lag * seconds / shrunk if lag else 0.0)


async def read_standings(log: Log, names: TopicNames, registry: Registry) -> list[Standing]:
    """Every sink of the registry, by name. Errors: `LogError`."""
    sinks = [registry.sinks[name] for name in sorted(registry.sinks)]
    reads = {sink.name: list(intakes(sink.name, names, events=sink.events, objects=sink.objects)) for sink in sinks}
    async with Scan(log, sorted({topic for topics in reads.values() for topic in topics})) as scan:
        starts = await scan.starts_at(0)
        standings = []
        for sink in sinks:
            committed = await log.committed(names.group(f"sinks.{sink.name}"), reads[sink.name])
            positions = {
                place: max(committed.get(place, start), start)
                for place, start in starts.items()
                if place.topic in reads[sink.name]
            }
            lag = dict.fromkeys(reads[sink.name], 0)
            for place, position in positions.items():
                lag[place.topic] += max(0, scan.ends[place] - position)
            last_ms = await _last_record_ms(scan, starts, positions)
            pause = registry.pauses.get(sink.name)
            standings.append(Standing(sink, pause, lag, sum(positions.values()), last_ms))
    return standings


async def _last_record_ms(
    scan: Scan, starts: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]
) -> int | None:
    """The time of the newest of the records just before `positions`."""
    done = {place: position for place, position in positions.items() if position > starts[place]}
    found = [
        span.records[0].timestamp_ms
        async for span in scan.spans({place: position - 1 for place, position in done.items()}, done)
    ]
    return max(found, default=None)
