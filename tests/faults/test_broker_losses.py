"""Rows 33 and 35: brokers of a cluster of three are stopped and killed, one by one and all at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookmill.topics import Topic
from tests.faults.checker import check
from tests.faults.cluster import NODES, KafkaCluster
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, Progress, loading, settled
from tests.faults.trials import trials
from tests.faults.workload import Workload
from tests.processes import or_skip

pytestmark = [
    pytest.mark.kafka,
    # aiokafka's client of administration may leave a connection behind to a broker that was killed meanwhile.
    pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

RATE, SHORT_RATE = 50.0, 20.0
BETWEEN = 50
"""Webhooks accepted before each loss."""
KINDS = ("leader stopped", "leader killed", "any killed", "rolling restart")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path / "kafka")
    try:
        or_skip(cluster.start_all)
        yield cluster
    finally:
        cluster.kill_all()


async def install(tmp_path: Path, cluster: KafkaCluster, seed: int) -> Mill:
    """Bodies are small: what is watched is the log."""
    workload = Workload(seed, ENDLESS, sources=4, objects=1_000, of_100_kb=0, of_2_mib=0)
    return await install_mill(tmp_path, cluster.bootstrap_servers, workload, replication_factor=3)


@trials("losses", short=5, full=50, deadline_s=7_200)
async def test_while_two_of_three_brokers_are_there_webhooks_are_accepted_after_a_short_pause(
    tmp_path: Path, cluster: KafkaCluster, seed: int, losses: int, is_short: bool
) -> None:
    """Every kind of loss in turn, of brokers by chance; the next comes when all copies are in sync again."""
    mill = await install(tmp_path, cluster, seed)
    chance = random.Random(seed)
    kinds: Counter[str] = Counter()

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=SHORT_RATE if is_short else RATE) as progress:
            for number in range(losses):
                await progress.accepted(BETWEEN)
                kind = KINDS[number % len(KINDS)]
                await lose(cluster, mill, progress, kind, chance)
                kinds[kind] += 1
        await settled(mill, ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    assert max(progress.pauses_s) < 15
    print(f"row 33: {dict(kinds)}, longest pause {max(progress.pauses_s):.1f} s; {findings.figures}")


async def lose(cluster: KafkaCluster, mill: Mill, progress: Progress, kind: str, chance: random.Random) -> None:
    """The loss happened, webhooks were accepted without the broker, and it is back in sync."""
    leader = await asyncio.to_thread(cluster.leader_of, mill.installation.names.full(Topic.WEBHOOKS), 0)
    chosen = [chance.choice(NODES)] if kind == "any killed" else [leader]
    for number in NODES if kind == "rolling restart" else chosen:
        node = cluster.nodes[number]
        async with progress.pause_of():
            await asyncio.to_thread(node.kill if "killed" in kind else node.stop)
            await progress.accepted(1)
        async with progress.pause_of():
            await asyncio.to_thread(node.start)
            await asyncio.to_thread(cluster.wait_until_in_sync)


@trials("times", short=2, full=20, deadline_s=7_200)
async def test_nothing_accepted_is_lost_when_all_brokers_are_killed_at_once(
    tmp_path: Path, cluster: KafkaCluster, seed: int, times: int, is_short: bool
) -> None:
    mill = await install(tmp_path, cluster, seed)
    back_s = []

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=SHORT_RATE if is_short else RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                await asyncio.to_thread(cluster.kill_all)
                await asyncio.to_thread(cluster.start_all)
                back_s.append(await progress.accepted(1))
        await settled(mill, ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    print(
        f"row 35: all brokers killed {times} times, 202 again at most {max(back_s):.1f} s after they were in sync; "
        f"{findings.figures}"
    )
