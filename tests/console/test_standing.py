"""Where sinks stand, told from outside."""

import time
from pathlib import Path

import pytest

from console.standing import Pace, Standing, pace, read_standings
from hookmill.config import SinksConfig
from hookmill.lifecycle import running
from hookmill.registry import Pause, Registry, Sink
from hookmill.topics import Topic
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker
from tests.redelivery.installation import install
from tests.sinks.messages import event, event_record, object_record, write
from tests.sinks.test_worker import drained

CONFIG = SinksConfig(batch_timeout_s=0.02)
BOTH = Sink("both", "sqlite", events=True, objects=True)
OBJECTS = Sink("objects", "jsonl", events=False, objects=True)


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def servers(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else None


async def test_a_sink_is_behind_by_what_it_has_not_committed(servers: str | None, tmp_path: Path) -> None:
    installation = await install(tmp_path, servers)
    log, names = installation.log, installation.names
    registry = Registry()
    registry.sinks = {sink.name: sink for sink in (OBJECTS, BOTH)}
    registry.pauses = {"objects": Pause("objects", 5)}
    began_ms = time.time_ns() // 1_000_000
    await installation.send(Topic.OBJECTS, *(object_record(write(str(n), n, {"a": n})) for n in range(20)))

    async with running([worker := SinkWorker(CONFIG, BOTH, log, names, SqliteWarehouse(tmp_path / "w.db"))]):
        await drained(worker)
    await installation.send(Topic.EVENTS, *(event_record(event(f"m{n}", event="Paid")) for n in range(7)))
    both, objects = await read_standings(log, names, registry)

    assert (both.sink, objects.sink) == (BOTH, OBJECTS)
    assert (both.pause, objects.pause) == (None, Pause("objects", 5))
    short = {topic.removeprefix(names.prefix): lag for topic, lag in both.lag.items()}
    assert short == {"events": 7, "events.redelivery": 0, "objects": 0, "objects.redelivery": 0}
    assert objects.lag == {names.full(Topic.OBJECTS): 20, names.full(Topic.OBJECTS_REDELIVERY): 0}
    assert (both.position, objects.position) == (20, 0)
    assert objects.last_record_ms is None
    assert both.last_record_ms is not None
    assert both.last_record_ms >= began_ms


@pytest.mark.parametrize(
    ("lags", "positions", "expected"),
    [
        ((1_000, 800), (0, 300), Pace(150, 8)),  # 200 less in 2 s, so 800 more take 8 s
        ((1_000, 1_100), (0, 300), Pace(150, None)),
        ((1_000, 1_000), (50, 50), Pace(0, None)),
        ((50, 0), (0, 50), Pace(25, 0)),
        ((0, 0), (50, 50), Pace(0, 0)),
    ],
)
def test_the_pace_tells_when_a_sink_will_have_caught_up(
    lags: tuple[int, int], positions: tuple[int, int], expected: Pace
) -> None:
    before, after = (
        Standing(BOTH, None, {"t": lag}, position, None) for lag, position in zip(lags, positions, strict=True)
    )

    assert pace(before, after, 2.0) == expected
