"""Row 26: PostgreSQL is away for long; nothing is counted against any record, others go on, all is drained."""

import asyncio
from pathlib import Path

import pytest

from hookmill.lifecycle import running
from sinks.warehouses.postgres.sink import PostgresWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.faults.outlets import Timed, Traffic, counted_against, drained, outlet, percentile
from tests.postgres_server import PASSWORD, PASSWORD_ENV, PostgresServer
from tests.redelivery.installation import install
from tests.sinks.database import query

pytestmark = pytest.mark.quiet

RATE = 50
BEFORE_S = 10.0
BACKLOG = 40_000
"""Sent at once in the outage, so that draining lasts long enough to be measured."""
SLOWER = 1.5
NOISE_S = 0.3
"""What the 99th percentile differs by from run to run on a machine with other work."""
PAUSE_S = 31.0
"""The longest pause between two attempts, and the attempt."""


@pytest.mark.parametrize(
    "away_s",
    [
        pytest.param(15, marks=[pytest.mark.faults, pytest.mark.timeout(300)]),
        pytest.param(600, marks=[pytest.mark.faults_long, pytest.mark.timeout(1_800)]),
        pytest.param(1_800, marks=[pytest.mark.faults_long, pytest.mark.timeout(3_600)]),
    ],
)
async def test_a_database_that_is_away_costs_no_record_a_delivery_and_no_other_sink_its_speed(
    memory_path: Path, engine: str | None, away_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    installation = await install(memory_path / "data", engine)
    traffic, server = Traffic(installation), PostgresServer()
    try:
        await asyncio.to_thread(server.start)
        database = server.empty_database()
        broken, other = Timed(PostgresWarehouse(database.address())), Timed(SqliteWarehouse(memory_path / "w.db"))
        worker = outlet(installation, "broken", broken)
        async with running([worker, outlet(installation, "other", other)]):
            await traffic.flow(BEFORE_S, rate=RATE)
            before_s = other.taken()
            await drained(worker)
            server.kill()
            await traffic.flow(away_s, rate=RATE)
            away = other.taken()
            await traffic.burst(BACKLOG)
            waiting = sum((await worker.lag()).values())
            writes = len(broken.writes)
            await asyncio.to_thread(server.start)
            fresh = Timed(PostgresWarehouse(database.address(schema="fresh")))
            async with asyncio.timeout(PAUSE_S):
                while len(broken.writes) == writes:
                    await asyncio.sleep(0.01)
            async with running([beside := outlet(installation, "fresh", fresh)]):
                await drained(worker)
                await drained(beside)
        (rows,) = database.query("SELECT count(*) FROM pipedrive.paid")
        found = database.rows("pipedrive", "deals")
    finally:
        server.stop()

    counted = await counted_against(installation)
    both_s = fresh.writes[0][0], min(broken.writes[-1][0], fresh.writes[-1][0])
    rate, fresh_rate = broken.rate(*both_s), fresh.rate(*both_s)
    p99_s = percentile(before_s, 0.99), percentile(away, 0.99)
    print(
        f"row 26: away {away_s} s, {traffic.sent:,} events and writes, lag {waiting:,}, counted against {counted}, "
        f"p99 of the other sink {p99_s[0] * 1e3:.0f} ms before, {p99_s[1] * 1e3:.0f} ms meanwhile, drained with "
        f"{rate:,.0f} messages/s beside the {fresh_rate:,.0f} of a fresh one ({rate / fresh_rate:.0%})"
    )
    assert counted == 0
    assert waiting == 2 * (away_s * RATE + BACKLOG)
    assert sum(count for _, count in broken.writes[:writes]) == 2 * round(BEFORE_S * RATE)
    assert rows == (traffic.sent,)
    assert {name: without_ours(row) for name, row in found.items()} == traffic.objects()
    assert query(memory_path / "w.db", "SELECT count(*) FROM pipedrive__paid") == [(traffic.sent,)]
    assert p99_s[1] < SLOWER * p99_s[0] + NOISE_S
    assert rate >= 0.8 * fresh_rate


def without_ours(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in {"id", "received_at"}}
